"""Long work in steps, so that nothing blocks the loop over 10 ms, and the cores still know no loop.

Work is a generator: each ``yield`` ends a step, says what it cost, and gets the time at which the next step runs. ``Turns`` does
as many steps as one turn may cost, and goes on at the next. The cost is counted, not measured, so that a seed replays it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterator
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")

Steps: TypeAlias = Generator[int, float, T]
"""Costs are microseconds, roughly, on a machine of 2020."""

GROUP: Final = 64
"""Items so cheap that counting each would cost as much are counted in groups of this size."""

TURN: Final = 1000
"""What one turn may cost. Its last step may exceed that by what one step costs."""

_WAITING_MAX: Final = 1024
_WAITING_BYTES_MAX: Final = 64 * 1024 * 1024


class _Work(NamedTuple):
    came_at: float
    steps: Steps[object]
    size: int


class Turns:
    """Work that waits, first come first served. Who adds work asks whether it ``has_room`` before."""

    def __init__(self) -> None:
        self._waiting: deque[_Work] = deque()
        self._waiting_bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def has_room(self, size: int) -> bool:
        """For work that keeps so many bytes in memory. There is always room for one."""
        return not self._waiting or (len(self._waiting) < _WAITING_MAX and self._waiting_bytes + size <= _WAITING_BYTES_MAX)

    @property
    def deadline(self) -> float:
        """When the work first in line came: that is, at once."""
        return self._waiting[0].came_at if self._waiting else math.inf

    def add(self, steps: Steps[object], size: int, now: float) -> None:
        assert self.has_room(size)
        next(steps)  # up to the first ``yield``, which asks for the time
        self._waiting.append(_Work(now, steps, size))
        self._waiting_bytes += size

    def run(self, now: float) -> None:
        """One turn."""
        spent = 0
        while self._waiting and spent < TURN:
            try:
                spent += self._waiting[0].steps.send(now)
            except StopIteration:
                self._waiting_bytes -= self._waiting.popleft().size


def finish(work: Steps[T]) -> T:
    """All of it at once, where time does not matter."""
    try:
        while True:
            next(work)
    except StopIteration as end:
        value: Any = end.value
        return value  # type: ignore[no-any-return]


def groups(count: int) -> Iterator[int]:
    """The sizes of the groups that ``count`` items make."""
    for start in range(0, count, GROUP):
        yield min(GROUP, count - start)
