"""How the servers of a datacenter are kept, and how they are (https://developer.hashicorp.com/consul/api-docs/operator/autopilot)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AutopilotConfiguration:
    """Consul's ``autopilot`` keys that are not of its enterprise edition. Indexes are 0 until it is first written."""

    cleanup_dead_servers: bool = True
    last_contact_threshold_s: float = 0.2
    max_trailing_logs: int = 250
    min_quorum: int = 0
    server_stabilization_time_s: float = 10.0
    create_index: int = 0
    modify_index: int = 0


@dataclass(frozen=True, slots=True)
class AutopilotChange:
    """Replaces the configuration; with ``only_at_index`` only if it was last written there."""

    configuration: AutopilotConfiguration
    only_at_index: int | None = None


@dataclass(frozen=True, slots=True)
class AutopilotServer:
    """One server as the leader sees it. ``last_contact_ms`` is None where it was never heard; ``stable_since_ns`` since 1970."""

    id: str
    name: str
    address: str
    serf_status: str
    version: str
    leader: bool
    voter: bool
    last_contact_ms: int | None
    last_term: int
    last_index: int
    healthy: bool
    stable_since_ns: int


@dataclass(frozen=True, slots=True)
class AutopilotState:
    """``servers`` in order of name; ``failure_tolerance`` of them may be lost without an outage."""

    configuration: AutopilotConfiguration
    servers: Sequence[AutopilotServer]
    failure_tolerance: int

    @property
    def healthy(self) -> bool:
        """Whether all are."""
        return all(server.healthy for server in self.servers)
