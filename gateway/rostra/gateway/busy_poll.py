"""Staying awake between the requests of one quick conversation.

A client that sends its next request as soon as it has its answer finds a loop that has just gone to sleep, and waking it takes longer
than answering: two to three times as long on a virtual machine, whose idle cores stop. So after an answer the loop looks for more for
some microseconds, without waiting, before it sleeps.

That is only done where it pays: after requests that follow each other quickly, and less and less often where none comes in that time.
An agent at rest never does it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

QUICK_S: Final = 0.0005
"""Requests that are further apart are no conversation."""
LONGEST_PAUSE: Final = 1023
"""Answers after which the loop goes to sleep at once, where staying awake did not pay again and again."""


class BusyPoll:
    """One for all connections of a loop. ``stay_s`` is how long the loop stays awake after an answer; 0 for not at all."""

    def __init__(self, stay_s: float) -> None:
        self._stay_s = stay_s
        self._answered_at = 0.0
        self._until = 0.0
        self._is_polling = False
        self._pause = 0
        self._pause_left = 0

    def answered(self) -> None:
        """To be called with every answer."""
        now = time.monotonic()
        is_quick = now - self._answered_at < QUICK_S
        self._answered_at = now
        if self._is_polling:
            self._until = now + self._stay_s
            self._pause = 0
        elif is_quick:
            if self._pause_left:
                self._pause_left -= 1
            elif self._stay_s:
                self._is_polling = True
                self._until = now + self._stay_s
                asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """A callback that comes again: with one that is due, the loop asks its sockets without waiting for them."""
        if time.monotonic() < self._until:
            asyncio.get_running_loop().call_soon(self._look)
        else:
            self._is_polling = False
            self._pause_left = self._pause = min(2 * self._pause + 1, LONGEST_PAUSE)
