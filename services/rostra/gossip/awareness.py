"""Local health (Lifeguard, LHA-Probe): a member that fails to do its own part gives others more time before it accuses them."""

from __future__ import annotations


class Awareness:
    """A score from 0, healthy, to ``maximum - 1``."""

    def __init__(self, maximum: int) -> None:
        self._highest = maximum - 1
        self.score = 0

    def adjust(self, delta: int) -> None:
        self.score = min(max(self.score + delta, 0), self._highest)

    def scale(self, seconds: float) -> float:
        return seconds * (self.score + 1)
