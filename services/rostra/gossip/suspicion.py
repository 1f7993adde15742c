"""Suspicion timeout (Lifeguard, LHA-Suspicion; gossip-wire section 9.5): starts at the maximum and falls with each independent
confirmation, so one slow accuser cannot evict a healthy member on its own."""

from __future__ import annotations

import math

from rostra.gossip.timing import Timing


class Suspicion:
    """One running suspicion. ``deadline`` is when it becomes a verdict."""

    def __init__(self, accuser: str, started_at: float, *, members: int, timing: Timing) -> None:
        self._started_at = started_at
        self._accusers = {accuser}
        self._wanted = wanted_confirmations(members, timing)
        self._minimum_s = minimum_timeout_s(members, timing)
        self._maximum_s = self._minimum_s * timing.suspicion_max_timeout_mult
        self.deadline = self._deadline()

    def confirm(self, accuser: str) -> bool:
        """Count another accuser. True when it is news: the deadline fell, and others should hear of it."""
        if accuser in self._accusers or len(self._accusers) - 1 >= self._wanted:
            return False
        self._accusers.add(accuser)
        self.deadline = self._deadline()
        return True

    def _deadline(self) -> float:
        return self._started_at + timeout_s(len(self._accusers) - 1, self._wanted, self._minimum_s, self._maximum_s)


def wanted_confirmations(members: int, timing: Timing) -> int:
    """How many confirmations bring the timeout down to its minimum; 0 where there are too few members to give them."""
    wanted = timing.suspicion_mult - 2
    return wanted if members - 2 >= wanted else 0


def minimum_timeout_s(members: int, timing: Timing) -> float:
    """Grows with the logarithm of the pool, as the time does that a refutation needs to get around."""
    scale = max(1.0, math.log10(max(1, members)))
    return timing.suspicion_mult * math.trunc(scale * 1000) / 1000 * timing.probe_interval_s


def timeout_s(confirmations: int, wanted: int, minimum_s: float, maximum_s: float) -> float:
    if wanted < 1:
        return minimum_s
    timeout = maximum_s - (maximum_s - minimum_s) * math.log(confirmations + 1) / math.log(wanted + 1)
    return max(minimum_s, math.trunc(timeout * 1000) / 1000)
