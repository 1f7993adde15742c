"""Jittered back-off: who lost the same server at the same moment must not come back all at once."""

from __future__ import annotations

import random
from typing import Final

MIN_S: Final = 0.010
MAX_S: Final = 0.500


class BackOff:
    """Delays between attempts: the first up to 20 ms, each later one up to twice the limit of the one before, at most 500 ms."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._limit_s = MIN_S

    def next_delay_s(self) -> float:
        """How long to wait before the next attempt."""
        self._limit_s = min(MAX_S, self._limit_s * 2)
        return self._rng.uniform(MIN_S, self._limit_s)

    def reset(self) -> None:
        """After a success."""
        self._limit_s = MIN_S

    @property
    def fresh(self) -> bool:
        """Whether the last attempt was a success."""
        return self._limit_s == MIN_S
