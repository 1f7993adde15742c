"""Many deadlines under one timer of the loop.

Most requests are done long before their time is up, so a timer of its own costs a request more than it is worth: measured, a tenth of a
registration's way. Here adding and taking away are a dictionary's; who is late is looked for when the earliest is due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

COARSE_S: Final = 0.02
"""Deadlines may be noticed so much too late, so that a crowd of them is not looked through for each."""


class Deadlines(Generic[T]):
    """Calls ``expired`` with each thing whose time came before it was taken away, which takes it away."""

    def __init__(self, expired: Callable[[T], object]) -> None:
        self._expired = expired
        self._deadlines: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def add(self, thing: T, deadline: float) -> None:
        """``deadline`` is a time of the loop."""
        self._deadlines[thing] = deadline
        if self._timer is None or deadline < self._due:
            self._arm(deadline)

    def discard(self, thing: T) -> None:
        """It needs no deadline any more, if it had one."""
        self._deadlines.pop(thing, None)

    def clear(self) -> None:
        """Forgets all of them."""
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = asyncio.get_running_loop().call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for thing in [thing for thing, deadline in self._deadlines.items() if deadline <= now]:
            if self._deadlines.pop(thing, None) is not None:
                self._expired(thing)
        if self._deadlines and self._timer is None:
            self._arm(max(min(self._deadlines.values()), now + COARSE_S))
