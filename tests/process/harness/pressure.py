"""How much longer everything takes when more programs want the cores than there are cores."""

from __future__ import annotations

import os

CORES = os.cpu_count() or 1


def stretched(limit_s: float) -> float:
    """A limit as it is on a machine with cores to spare; where N programs share each core, N times as long.

    What is promised is promised of a machine that is not overrun; a test that fails because others run beside it says nothing.
    """
    return limit_s * max(1.0, os.getloadavg()[0] / CORES)
