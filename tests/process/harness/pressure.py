"""How much longer everything takes when more programs want the cores than there are cores."""

from __future__ import annotations

import os

CORES = os.cpu_count() or 1
ALWAYS = 4.0
"""Times as long as promised, at least. The system's load is the average of a minute, so it does not yet show what has just begun; nor
does it show, in a container, how much of the cores is ours."""


def stretched(limit_s: float) -> float:
    """A limit as it is on a machine with cores to spare; where N programs share each core, N times as long.

    What is promised is promised of a machine that is not overrun; a test that fails because others run beside it says nothing. A hang, or
    a time that is another one than promised, is still told apart; what it takes to the tenth of a second is measured in ``benchmarks/``.
    """
    return limit_s * max(ALWAYS, os.getloadavg()[0] / CORES)
