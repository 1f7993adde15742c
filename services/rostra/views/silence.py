"""When a server is taken for dead that never said so: its host has lost power, its process hangs, the network swallows what it sends.

A server says how fresh it is every second, and every ``ASKED_CONTACT_S`` while somebody waits for a barrier on the stream, be it only
that it still looks for a leader. So there are two limits. Where nobody waits, silence may last ``idle_s``. Where somebody does and
another server could answer, ``asked_s`` is enough: the answer is to come from the next one within a second of the death. So a server whose
word is overdue is asked for one, on behalf of those who wait for a change and never ask. A process that was itself kept from running heard
nothing through its own fault, and blames nobody for that. Pure.
"""

from __future__ import annotations

from typing import Final

OVERDUE_S: Final = 1.4
"""A server says how fresh it is every second; what is so late is not on its way any more, or its host is very busy."""
ASKED_CONTACT_S: Final = 0.2
LOOK_S: Final = 0.5
ASKED_LOOK_S: Final = 0.1
"""Pauses between two looks, the second while somebody waits."""
OWN_DELAY_S: Final = 0.2
"""A look that comes so much too late says more of this process than of the server."""


class Silence:
    """Of one stream. Feed it what is heard; ``look`` regularly, each time at ``next_look``."""

    def __init__(self, idle_s: float, asked_s: float, now: float) -> None:
        self._idle_s = idle_s
        self._asked_s = asked_s
        self.heard_at = now
        self.next_look = now + LOOK_S

    def hear(self, now: float) -> None:
        """The server said something."""
        self.heard_at = now

    def is_overdue(self, now: float) -> bool:
        """Whether the server should have said something by now."""
        return now - self.heard_at > OVERDUE_S

    def look(self, now: float, asked_at: float | None) -> str:
        """Why the server is dead; empty while it may live. ``asked_at``: since when somebody waits who may be sent elsewhere."""
        kept_from_running = now - self.next_look > OWN_DELAY_S
        self.next_look = now + (LOOK_S if asked_at is None else ASKED_LOOK_S)
        if now - self.heard_at > self._idle_s:
            return f"the server was silent for {self._idle_s:g} s"
        if asked_at is not None and not kept_from_running and now - max(self.heard_at, asked_at) > self._asked_s:
            return f"the server was silent for {self._asked_s:g} s while somebody waited"
        return ""
