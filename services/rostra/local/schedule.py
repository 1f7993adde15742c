"""When which check is run. Pure: times are passed as ``now``, randomness is given.

A first run comes at a random moment within the interval, so that checks registered together do not stay together for ever. The next
is due an interval after the last has *ended*: a check never runs twice at a time, and a slow one delays only itself.
"""

from __future__ import annotations

import heapq
import random


class Schedule:
    """Checks by ID."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._heap: list[tuple[float, int, str]] = []
        self._turns: dict[str, tuple[int, float]] = {}
        """Number of the turn that counts, and the interval; what the heap has of other turns is void."""
        self._turn = 0

    @property
    def deadline(self) -> float | None:
        """When ``due`` has something."""
        self._forget_void()
        return self._heap[0][0] if self._heap else None

    def add(self, check_id: str, interval_s: float, now: float) -> None:
        """Begins, or begins anew."""
        self._set(check_id, interval_s, now + self._rng.uniform(0.0, interval_s))

    def remove(self, check_id: str) -> None:
        self._turns.pop(check_id, None)

    def due(self, now: float) -> list[str]:
        """Those to run now. Each is due again only after ``ended``."""
        found = []
        self._forget_void()
        while self._heap and self._heap[0][0] <= now:
            found.append(heapq.heappop(self._heap)[2])
            self._forget_void()
        return found

    def ended(self, check_id: str, now: float) -> None:
        """A run is over. One that was removed meanwhile stays removed."""
        if check_id in self._turns:
            interval_s = self._turns[check_id][1]
            self._set(check_id, interval_s, now + interval_s)

    def _set(self, check_id: str, interval_s: float, at: float) -> None:
        self._turn += 1
        self._turns[check_id] = (self._turn, interval_s)
        heapq.heappush(self._heap, (at, self._turn, check_id))

    def _forget_void(self) -> None:
        while self._heap and self._turns.get(self._heap[0][2], (0, 0.0))[0] != self._heap[0][1]:
            heapq.heappop(self._heap)
