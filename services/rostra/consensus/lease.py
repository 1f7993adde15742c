"""The leader lease (thesis section 6.4.1), from promises that are said instead of assumed.

Each append response promises for how long its sender grants no vote, counted from when it received the request. A leader
does not know when that was, only when it sent the request, which is earlier: so the lease runs from the *send* time, for
the promise times 0.9, which leaves room for clocks whose rates differ by a tenth. It holds as long as a quorum's
promises do: no other server can be elected, since two quorums share a voter.
"""

from __future__ import annotations

from collections import OrderedDict

CLOCK_RATE_MARGIN = 0.9
"""The part of a promise that a leader relies on."""


class SendTimes:
    """When each round was sent, for as long as a response to it can be of use."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._sent_at: OrderedDict[int, float] = OrderedDict()

    def sent(self, round_: int, now: float) -> None:
        """Round ``round_`` leaves now."""
        self._sent_at[round_] = now
        while self._sent_at and next(iter(self._sent_at.values())) < now - self._keep_s:
            self._sent_at.popitem(last=False)

    def sent_at(self, round_: int) -> float | None:
        """When it left, unless that is too long ago to matter."""
        return self._sent_at.get(round_)


def promised_until(sent_at: float, promise_s: float) -> float:
    """Until when a leader may rely on one voter's promise."""
    return sent_at + promise_s * CLOCK_RATE_MARGIN
