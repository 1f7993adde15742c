"""The catalog's records and the commands that change them, by Consul's names (https://developer.hashicorp.com/consul/api-docs/catalog).

Records are immutable: a change is a new record (``msgspec.structs.replace``). ``create_index`` and ``modify_index`` are log indexes; a
record that a caller makes for a registration leaves them 0. They are msgspec's structs for their speed alone: measured, made, changed and
compared at a tenth of a frozen dataclass's time, and a write makes a dozen.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, TypeAlias

from msgspec import Struct

from rostra.model.autopilot import AutopilotChange

SERF_HEALTH: Final = "serfHealth"
"""Check ID of the check that gossip drives on every member's node."""

CONSUL_SERVICE: Final = "consul"
"""Name and ID of the service that every server carries."""


class HealthStatus(enum.Enum):
    """State of a check; the value is Consul's spelling."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def severity(self) -> int:
        """0 passing, 1 warning, 2 critical: the worst of several is the greatest."""
        return _SEVERITY[self]


_SEVERITY = {HealthStatus.PASSING: 0, HealthStatus.WARNING: 1, HealthStatus.CRITICAL: 2}


class Node(Struct, frozen=True):
    """A node. ``id`` is a UUID or empty; ``name`` is unique whatever the case of its letters."""

    name: str
    address: str
    id: str = ""
    tagged_addresses: Mapping[str, str] = {}
    meta: Mapping[str, str] = {}
    create_index: int = 0
    modify_index: int = 0


class ServiceAddress(Struct, frozen=True):
    """An address with its port."""

    address: str
    port: int


class Weights(Struct, frozen=True):
    """How often DNS names an instance first, by its state."""

    passing: int = 1
    warning: int = 1


class Service(Struct, frozen=True):
    """An instance of a service on a node; ``id`` is unique on the node, ``address`` is empty for the node's."""

    id: str
    name: str
    kind: str = ""
    tags: tuple[str, ...] = ()
    address: str = ""
    tagged_addresses: Mapping[str, ServiceAddress] = {}
    meta: Mapping[str, str] = {}
    port: int = 0
    socket_path: str = ""
    weights: Weights = Weights()
    enable_tag_override: bool = False
    create_index: int = 0
    modify_index: int = 0


class CheckDefinition(Struct, frozen=True):
    """How a check is run; durations in seconds. Exactly one kind is set on a check that an agent runs."""

    http: str = ""
    method: str = ""
    header: Mapping[str, tuple[str, ...]] = {}
    body: str = ""
    tcp: str = ""
    tcp_use_tls: bool = False
    udp: str = ""
    grpc: str = ""
    grpc_use_tls: bool = False
    h2ping: str = ""
    h2ping_plaintext: bool = False
    ttl_s: float = 0.0
    args: tuple[str, ...] = ()
    docker_container_id: str = ""
    shell: str = ""
    alias_node: str = ""
    alias_service: str = ""
    os_service: str = ""
    interval_s: float = 0.0
    timeout_s: float = 0.0
    deregister_critical_service_after_s: float = 0.0
    tls_server_name: str = ""
    tls_skip_verify: bool = False
    success_before_passing: int = 0
    failures_before_critical: int = 0
    failures_before_warning: int = 0
    disable_redirects: bool = False
    output_max_size: int = 0


NO_DEFINITION: Final = CheckDefinition()


class Check(Struct, frozen=True):
    """The state of a check on ``node``; of the service ``service_id``, or of the node itself when that is empty."""

    node: str
    check_id: str
    name: str
    status: HealthStatus = HealthStatus.CRITICAL
    notes: str = ""
    output: str = ""
    service_id: str = ""
    service_name: str = ""
    service_tags: tuple[str, ...] = ()
    type: str = ""
    definition: CheckDefinition = NO_DEFINITION
    create_index: int = 0
    modify_index: int = 0


class ServiceInstance(Struct, frozen=True):
    """An instance with its node and every check that concerns it: the node's, then its own, each in order of ID."""

    node: Node
    service: Service
    checks: tuple[Check, ...]

    @property
    def status(self) -> HealthStatus:
        """The worst of the checks; passing when there are none."""
        return max((check.status for check in self.checks), key=lambda status: status.severity, default=HealthStatus.PASSING)


class ServiceSummary(Struct, frozen=True):
    """A service name, all tags in use by its instances (sorted), and how many instances there are."""

    name: str
    tags: tuple[str, ...]
    instances: int


class Registration(Struct, frozen=True):
    """Adds or updates a node and, if given, a service and checks on it."""

    node: Node
    skip_node_update: bool = False
    service: Service | None = None
    checks: tuple[Check, ...] = ()


class Deregistration(Struct, frozen=True):
    """Removes a service with its checks, else a check, else a node with everything on it: in that order where several are named."""

    node: str
    service_id: str = ""
    check_id: str = ""


class CommandGroup(Struct, frozen=True):
    """Several commands as one: all take effect at one log index, or none does."""

    commands: tuple[Registration | Deregistration, ...]


class RestorePart(Struct, frozen=True):
    """One piece of a restore, see ``rostra.v1.RestorePart``; ``frames`` are compressed."""

    restore_id: bytes
    number: int
    frames: bytes
    last: bool


Command: TypeAlias = Registration | Deregistration | CommandGroup | AutopilotChange | RestorePart
