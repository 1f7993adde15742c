"""When garbage is collected, so that cycles do not pile up for months and a collection does not hold up the event loop.

Most of what a process drops is freed at once; only cycles wait for the collector (a connection and what it waits for, an error and
the frames that it passed through). The interpreter would look at everything it holds whenever it deems that worth it: measured, 40 ms
of processor time for a catalog of 10,000 nodes, 200 ms for 50,000. So the oldest generation is looked at here, while the process is
idle, and what then turned out to be many living things is set aside (``gc.freeze``): the next time costs what has come since. Those
set aside have their turn once an hour, for a cycle may have died among them. A process that is never idle is not spared for ever,
or it would run out of memory.
"""

from __future__ import annotations

import gc
import time
from typing import Final

YOUNG_S: Final = 10.0
OLD_S: Final = 60.0
ALL_S: Final = 3600.0
PATIENCE: Final = 10
"""So many times as long a busy process may go without."""
IDLE: Final = 0.25
"""A process that used less than this part of a processor is idle."""
LONG_S: Final = 0.01
"""A collection that took longer found much that lives."""


class Garbage:
    """``look`` is called every half second or so. Nothing else collects but the interpreter itself, and it the young generations only."""

    def __init__(self, now: float) -> None:
        self._young_at = self._old_at = self._all_at = now

    def look(self, now: float, busy: float) -> None:
        """Collects what is due. ``busy`` is the part of a processor that this process used of late."""
        patience = 1 if busy < IDLE else PATIENCE
        if now - self._all_at >= ALL_S * patience:
            gc.unfreeze()
            self._collect_old()
            self._all_at = self._old_at = now
        elif now - self._old_at >= OLD_S * patience:
            self._collect_old()
            self._old_at = now
        elif now - self._young_at >= YOUNG_S:
            gc.collect(1)
            self._young_at = now

    def _collect_old(self) -> None:
        started = time.perf_counter()
        gc.collect()
        if time.perf_counter() - started > LONG_S:
            gc.freeze()


def leave_old_generation_alone() -> None:
    """What a process that has started holds stays. From now on the interpreter collects the young generations only."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 1_000_000)
