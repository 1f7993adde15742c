"""The times of the protocol, and how ``raft_multiplier`` scales them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of the caller's monotonic clock.

    ``heartbeat_timeout_s`` is the minimum election timeout of the thesis: a follower that hears no leader for between
    one and two of it starts an election, and grants no vote before one has passed. ``election_timeout_s`` is how long an
    election may take, and a leadership transfer. A leader that no quorum has answered for ``lease_timeout_s`` steps down.
    """

    heartbeat_timeout_s: float = 0.5
    election_timeout_s: float = 0.5
    lease_timeout_s: float = 0.5
    heartbeat_interval_s: float = 0.1

    def __post_init__(self) -> None:
        assert 0 < self.heartbeat_interval_s < self.lease_timeout_s <= self.heartbeat_timeout_s
        assert self.heartbeat_interval_s * 2 <= self.heartbeat_timeout_s


READ_PATIENCE_S: Final = 0.02
"""How long a quorum that was asked for the sake of reads may take before everybody is asked."""


def scaled_timing(multiplier: int) -> Timing:
    """The times at a ``raft_multiplier`` (1 to 10; Consul's default is 5).

    Consul's heartbeat timeout is 1 s times the multiplier. Ours is half of that: a follower waits up to twice its timeout
    before it stands, and a killed leader has to be replaced within 1.5 s at a multiplier of 1.
    """
    return Timing(0.5 * multiplier, 0.5 * multiplier, 0.5 * multiplier, 0.1 * multiplier)


DEVELOPMENT_TIMING = Timing(heartbeat_timeout_s=0.035, election_timeout_s=0.052, lease_timeout_s=0.020, heartbeat_interval_s=0.007)
"""One server that only ever asks itself; for ``-dev``, with the values Consul uses there."""
