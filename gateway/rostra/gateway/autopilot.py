"""``/v1/operator/autopilot``: how the servers are kept, and how they are.

https://developer.hashicorp.com/consul/api-docs/operator/autopilot. Consul's enterprise keys are shown as they are when unused.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct, field

from rostra.config.durations import format_duration, parse_duration
from rostra.errors import Conflict, NoServers
from rostra.gateway.answer import Answer, HttpError
from rostra.gateway.ask import Ask
from rostra.gateway.bodies import decode_body
from rostra.gateway.catalog import render_json
from rostra.gateway.settings import GatewaySettings
from rostra.model.autopilot import AutopilotChange, AutopilotConfiguration, AutopilotServer, AutopilotState

UNHEALTHY = 429
BAD_CONFIGURATION = "Bad request: Error parsing autopilot config: "


class AutopilotDoor(Protocol):
    """Autopilot of the datacenter, wherever the leader is."""

    async def get_autopilot(self, datacenter: str = "") -> AutopilotState: ...

    async def set_autopilot(self, change: AutopilotChange, datacenter: str = "") -> int:
        """Raises ``Conflict`` where the configuration was written since ``only_at_index``."""
        ...


class NoAutopilot:
    """Where there are no servers to ask."""

    async def get_autopilot(self, datacenter: str = "") -> AutopilotState:
        raise NoServers

    async def set_autopilot(self, change: AutopilotChange, datacenter: str = "") -> int:
        raise NoServers


class ConfigurationBody(Struct, rename="pascal", forbid_unknown_fields=True):
    """What is left out is set to nothing, as in Consul."""

    cleanup_dead_servers: bool = False
    last_contact_threshold: str = "0s"
    max_trailing_logs: int = 0
    min_quorum: int = 0
    server_stabilization_time: str = "0s"
    redundancy_zone_tag: str = ""
    disable_upgrade_migration: bool = False
    upgrade_version_tag: str = ""
    create_index: int = 0
    modify_index: int = 0


class ServerRecord(Struct, rename="pascal"):
    """One server in ``/health``."""

    id: str = field(name="ID")
    name: str
    address: str
    serf_status: str
    version: str
    leader: bool
    last_contact: str
    last_term: int
    last_index: int
    healthy: bool
    voter: bool
    stable_since: str


class HealthRecord(Struct, rename="pascal"):
    """``/health``."""

    healthy: bool
    failure_tolerance: int
    servers: Sequence[ServerRecord]


class StateServerRecord(Struct, rename="pascal"):
    """One server in ``/state``."""

    id: str = field(name="ID")
    name: str
    address: str
    node_status: str
    version: str
    last_contact: str
    last_term: int
    last_index: int
    healthy: bool
    stable_since: str
    read_replica: bool
    status: str
    node_type: str
    meta: dict[str, str] | None = None


class StateRecord(Struct, rename="pascal"):
    """``/state``."""

    healthy: bool
    failure_tolerance: int
    optimistic_failure_tolerance: int
    servers: dict[str, StateServerRecord]
    leader: str
    voters: Sequence[str]


class AutopilotEndpoints:
    """Each public method is an endpoint."""

    def __init__(self, autopilot: AutopilotDoor, settings: GatewaySettings) -> None:
        self._autopilot = autopilot
        self._settings = settings

    async def configuration(self, ask: Ask) -> Answer:
        state = await self._state(ask)
        found = state.configuration
        record = ConfigurationBody(
            cleanup_dead_servers=found.cleanup_dead_servers,
            last_contact_threshold=format_duration(found.last_contact_threshold_s),
            max_trailing_logs=found.max_trailing_logs,
            min_quorum=found.min_quorum,
            server_stabilization_time=format_duration(found.server_stabilization_time_s),
            create_index=found.create_index,
            modify_index=found.modify_index,
        )
        return render_json(ask, record, self._settings)

    async def set_configuration(self, ask: Ask) -> Answer:
        """With ``cas`` the answer says whether it was still the one written at that index."""
        change = AutopilotChange(_configuration(decode_body(ask.body, ConfigurationBody, BAD_CONFIGURATION)), _cas(ask))
        try:
            await self._autopilot.set_autopilot(change, ask.parameters.get("dc"))
        except Conflict:
            return render_json(ask, False, self._settings)
        return render_json(ask, True, self._settings)

    async def health(self, ask: Ask) -> Answer:
        """429 when a server is not healthy."""
        state = await self._state(ask)
        record = HealthRecord(state.healthy, state.failure_tolerance, [_server(server) for server in state.servers])
        return render_json(ask, record, self._settings, status=200 if state.healthy else UNHEALTHY)

    async def state(self, ask: Ask) -> Answer:
        state = await self._state(ask)
        record = StateRecord(
            healthy=state.healthy,
            failure_tolerance=state.failure_tolerance,
            optimistic_failure_tolerance=state.failure_tolerance,
            servers={server.id: _state_server(server) for server in state.servers},
            leader=next((server.id for server in state.servers if server.leader), ""),
            voters=[server.id for server in state.servers if server.voter],
        )
        return render_json(ask, record, self._settings)

    async def _state(self, ask: Ask) -> AutopilotState:
        return await self._autopilot.get_autopilot(ask.parameters.get("dc"))


def _configuration(body: ConfigurationBody) -> AutopilotConfiguration:
    for name, text in (("RedundancyZoneTag", body.redundancy_zone_tag), ("UpgradeVersionTag", body.upgrade_version_tag)):
        if text:
            raise HttpError(400, f"{BAD_CONFIGURATION}{name} is not in this version")
    for name, number in (("MaxTrailingLogs", body.max_trailing_logs), ("MinQuorum", body.min_quorum)):
        if not 0 <= number < 1 << 32:
            raise HttpError(400, f"{BAD_CONFIGURATION}{name} must not be negative")
    return AutopilotConfiguration(
        cleanup_dead_servers=body.cleanup_dead_servers,
        last_contact_threshold_s=_duration("LastContactThreshold", body.last_contact_threshold),
        max_trailing_logs=body.max_trailing_logs,
        min_quorum=body.min_quorum,
        server_stabilization_time_s=_duration("ServerStabilizationTime", body.server_stabilization_time),
    )


def _duration(name: str, text: str) -> float:
    try:
        duration_s = parse_duration(text)
    except ValueError:
        raise HttpError(400, f"{BAD_CONFIGURATION}{name}: {text!r} is not a duration") from None
    if duration_s < 0:
        raise HttpError(400, f"{BAD_CONFIGURATION}{name} must not be negative")
    return duration_s


def _cas(ask: Ask) -> int | None:
    if "cas" not in ask.parameters:
        return None
    text = ask.parameters.get("cas")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise HttpError(400, f'Bad request: Error parsing cas value: strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def _server(server: AutopilotServer) -> ServerRecord:
    return ServerRecord(
        id=server.id,
        name=server.name,
        address=server.address,
        serf_status=server.serf_status,
        version=server.version,
        leader=server.leader,
        last_contact=_contact(server),
        last_term=server.last_term,
        last_index=server.last_index,
        healthy=server.healthy,
        voter=server.voter,
        stable_since=_time(server.stable_since_ns),
    )


def _state_server(server: AutopilotServer) -> StateServerRecord:
    return StateServerRecord(
        id=server.id,
        name=server.name,
        address=server.address,
        node_status=server.serf_status,
        version=server.version,
        last_contact=_contact(server),
        last_term=server.last_term,
        last_index=server.last_index,
        healthy=server.healthy,
        stable_since=_time(server.stable_since_ns),
        read_replica=False,
        status="leader" if server.leader else "voter" if server.voter else "non-voter",
        node_type="voter",
    )


def _contact(server: AutopilotServer) -> str:
    return format_duration(server.last_contact_ms / 1000) if server.last_contact_ms is not None else "never"


def _time(time_ns: int) -> str:
    """RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
