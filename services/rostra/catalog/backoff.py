"""How long to wait before an upstream that went away is tried again: 10 ms to 500 ms, doubling, with jitter."""

from __future__ import annotations

import random
from typing import Final

FIRST_S: Final = 0.01
LONGEST_S: Final = 0.5


class Backoff:
    """Ask ``next_s`` before each further try; ``reset`` once one has worked."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._delay_s = FIRST_S

    def reset(self) -> None:
        self._delay_s = FIRST_S

    def next_s(self) -> float:
        delay_s = self._delay_s
        self._delay_s = min(delay_s * 2, LONGEST_S)
        return delay_s * self._rng.uniform(0.5, 1.0)
