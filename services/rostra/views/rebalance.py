"""When a server comes, a fair part of the fleet moves to it: each process for itself, with nobody to ask.

With ``n`` servers known, a process moves to a newcomer with probability ``1 / n``, after a pause drawn at random: so that newcomers come to
carry their share, all others keep theirs, and a server that returns is not met by everyone at once. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Sequence


class Rebalance:
    """``spread_s``: the longest pause before a move."""

    def __init__(self, rng: random.Random, spread_s: float) -> None:
        self._rng = rng
        self._spread_s = spread_s
        self._known: frozenset[str] = frozenset()
        self._target = ""
        self._due = 0.0

    def look(self, addresses: Sequence[str], current: str, now: float) -> str:
        """Where to move at once; empty: stay. ``addresses`` are the servers known now; the first known are nobody's newcomers."""
        came = [address for address in addresses if address not in self._known and address != current]
        if self._known and came and self._rng.random() < len(came) / len(addresses):
            self._target, self._due = self._rng.choice(came), now + self._rng.uniform(0.0, self._spread_s)
        self._known = frozenset(addresses) or self._known
        if not self._target or now < self._due:
            return ""
        target, self._target = self._target, ""
        return target if target in self._known and target != current else ""
