"""Lamport clocks (Lamport 1978; gossip-wire section 12.2)."""

from __future__ import annotations

from typing import Final

_HIGHEST: Final = 2**64 - 2


class LamportClock:
    """Starts at 1. A time of the far future is witnessed as far as 64 bits go, never beyond."""

    def __init__(self) -> None:
        self.time = 1

    def increment(self) -> int:
        self.time = min(self.time + 1, _HIGHEST)
        return self.time

    def witness(self, time: int) -> None:
        """Something was seen to happen at ``time``: we are later."""
        if time >= self.time:
            self.time = min(time, _HIGHEST - 1) + 1
