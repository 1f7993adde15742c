"""Long work in steps, so that nothing blocks the loop for long (DESIGN section 6), and the cores still know no loop.

Work is a generator: each ``yield`` ends a step, says what it cost, and gets the time at which the next step runs. ``Turns`` does
as many steps as one turn may cost, and goes on at the next. The cost is counted, not measured, so that a seed replays it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterator
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")

Steps: TypeAlias = Generator[int, float, T]
"""Costs are microseconds, roughly, on a machine of 2020."""

GROUP: Final = 64
"""Items so cheap that counting each would cost as much are counted in groups of this size."""

TURN: Final = 1000
"""What one turn may cost. Its last step may exceed that by what one step costs."""

_WAITING_MAX: Final = 16


class Turns:
    """Work that waits, first come first served. Who adds work looks at ``is_full`` before."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Steps[object]]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= _WAITING_MAX

    @property
    def deadline(self) -> float:
        """When the work first in line came: that is, at once."""
        return self._waiting[0][0] if self._waiting else math.inf

    def add(self, work: Steps[object], now: float) -> None:
        assert not self.is_full
        next(work)  # up to its first ``yield``, which asks for the time
        self._waiting.append((now, work))

    def run(self, now: float) -> None:
        """One turn."""
        spent = 0
        while self._waiting and spent < TURN:
            try:
                spent += self._waiting[0][1].send(now)
            except StopIteration:
                self._waiting.popleft()


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
