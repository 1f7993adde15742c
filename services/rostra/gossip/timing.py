"""All timings and counts of one pool, as profiles (gossip-wire sections 11.1, 12.4 and 16.3). Seconds throughout."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from rostra.errors import ConfigError

HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Defaults are those of a Consul LAN pool. The first block is SWIM's and Lifeguard's, the second Serf's."""

    probe_interval_s: float = 1.0
    probe_timeout_s: float = 0.5
    indirect_checks: int = 3
    suspicion_mult: int = 4
    suspicion_max_timeout_mult: int = 6
    awareness_max_multiplier: int = 8
    gossip_interval_s: float = 0.2
    gossip_nodes: int = 3
    gossip_to_the_dead_s: float = 30.0
    retransmit_mult: int = 4
    push_pull_interval_s: float = 30.0
    stream_timeout_s: float = 10.0
    dead_node_reclaim_s: float = 30.0
    """A dead member's name may return from another address after this long; 0: never. A left one's at once."""

    packet_bytes: int = 1400
    """What a datagram may hold, before compression."""

    broadcast_timeout_s: float = 5.0
    leave_propagate_delay_s: float = 3.0
    reap_interval_s: float = 15.0
    reconnect_interval_s: float = 30.0
    reconnect_timeout_s: float = 72 * HOUR_S
    tombstone_timeout_s: float = 24 * HOUR_S
    recent_intent_timeout_s: float = 300.0
    query_timeout_mult: int = 16

    def __post_init__(self) -> None:
        problems = [
            f"{field.name} must be above 0"
            for field in dataclasses.fields(self)
            if field.name not in ("dead_node_reclaim_s", "leave_propagate_delay_s", "gossip_to_the_dead_s", "indirect_checks")
            and getattr(self, field.name) <= 0
        ]
        if problems:
            raise ConfigError(problems)


LAN: Final = Timing()

WAN: Final = Timing(
    stream_timeout_s=30.0,
    suspicion_mult=6,
    push_pull_interval_s=60.0,
    probe_interval_s=5.0,
    probe_timeout_s=3.0,
    gossip_interval_s=0.5,
    gossip_nodes=3,  # memberlist's own WAN profile has 4; Consul's agents run with 3
    gossip_to_the_dead_s=60.0,
)

LOCAL: Final = Timing(
    stream_timeout_s=1.0,
    indirect_checks=1,
    retransmit_mult=2,
    suspicion_mult=3,
    push_pull_interval_s=15.0,
    probe_timeout_s=0.2,
    gossip_interval_s=0.1,
    gossip_to_the_dead_s=15.0,
)

DEV: Final = Timing(
    probe_interval_s=0.1,
    probe_timeout_s=0.1,
    gossip_interval_s=0.1,
    suspicion_mult=3,
    leave_propagate_delay_s=0.0,
)
"""``-dev``: one node that shall be quick, on the loopback interface."""
