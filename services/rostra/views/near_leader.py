"""Who lives on the leader: while a fleet is small, everybody, since a default read and a write then take one hop and not two.

With ``n`` processes known, one has a seat on the leader with probability ``seats / n``: each process for itself, with nobody to ask, so
that the leader of a large fleet carries its share and ``seats`` more. It moves after a pause drawn at random, again when another server
leads, and ever later to a leader that it lost or could not reach: others may reach one that is cut off from here. Pure.

Who leads is a hint and no more. Barriers and writes are right on any server: one that does not lead asks the one that does.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

LONGEST_PAUSE_S: Final = 600.0


class NearLeader:
    """``spread_s``: the longest pause before a move to a leader that was not lost yet."""

    def __init__(self, rng: random.Random, seats: int, spread_s: float) -> None:
        self._rng = rng
        self._lot = rng.random()
        self._seats = seats
        self._spread_s = spread_s
        self._leader = ""
        self._losses = 0
        self._due = 0.0

    def has_seat(self, population: int) -> bool:
        """Whether this process is one of those, where so many are known; 0: nobody knows how many, and none is."""
        return population > 0 and self._lot * population < self._seats

    def look(self, leader: str, addresses: Sequence[str], current: str, population: int, now: float) -> str:
        """Where to move at once; empty: stay. ``leader`` is empty while none is known."""
        if not leader or leader not in addresses or not self.has_seat(population):
            return ""
        if leader != self._leader:
            self._leader, self._losses = leader, 0
            self._due = now + self._rng.uniform(0.0, self._spread_s)
        return leader if leader != current and now >= self._due else ""

    def lost(self, address: str, now: float) -> None:
        """The server there failed, or could not be reached."""
        if address == self._leader:
            self._losses = min(self._losses + 1, 16)
            longest_s = min(LONGEST_PAUSE_S, self._spread_s * 4**self._losses)
            self._due = now + longest_s * self._rng.uniform(0.5, 1.0)
