"""How the servers are, as the leader sees them: what Raft says of each, what gossip says, and since when it has been so. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rostra.clients.consensus import Configuration, RaftMember
from rostra.model.autopilot import AutopilotConfiguration, AutopilotServer, AutopilotState
from rostra.model.members import Member, MemberStatus

UNKNOWN: Final = "none"


@dataclass(frozen=True, slots=True)
class Observation:
    """What a report leans on. ``servers`` are gossip's by node ID; ``heartbeat_s`` may pass before a healthy server is heard again."""

    configuration: Configuration
    servers: Mapping[str, Member]
    term: int
    last_index: int
    heartbeat_s: float
    now_ns: int


class ServerHealth:
    """Remembers since when each server has been healthy, or not."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[bool, int]] = {}

    def report(self, seen: Observation, settings: AutopilotConfiguration) -> AutopilotState:
        """The servers in the Raft configuration, in order of name."""
        members = sorted(seen.configuration.members, key=lambda member: (member.node_name, member.store_id))
        servers = [self._server(member, seen, settings) for member in members]
        self._since = {server.id: self._since[server.id] for server in servers}
        voters = [server for server in servers if server.voter]
        quorum = len(voters) // 2 + 1
        healthy = sum(server.healthy for server in voters)
        return AutopilotState(settings, servers, max(0, healthy - quorum))

    def forget(self) -> None:
        """This server does not lead, so it cannot tell."""
        self._since.clear()

    def _server(self, member: RaftMember, seen: Observation, settings: AutopilotConfiguration) -> AutopilotServer:
        gossip = seen.servers.get(member.node_id)
        leads = member.node_id == seen.configuration.leader_id
        last_index = seen.last_index if leads else member.match_index or 0
        contact_ms = 0 if leads else member.last_contact_ms
        healthy = (
            gossip is not None
            and gossip.status is MemberStatus.ALIVE
            and contact_ms is not None
            and contact_ms <= (settings.last_contact_threshold_s + seen.heartbeat_s) * 1000
            and seen.last_index - last_index <= settings.max_trailing_logs
        )
        was, since_ns = self._since.get(member.node_id, (not healthy, 0))
        if was is not healthy:
            since_ns = seen.now_ns
        self._since[member.node_id] = (healthy, since_ns)
        return AutopilotServer(
            id=member.node_id,
            name=member.node_name,
            address=member.address,
            serf_status=gossip.status.value if gossip is not None else UNKNOWN,
            version=gossip.tags.get("build", "") if gossip is not None else "",
            leader=leads,
            voter=member.voter,
            last_contact_ms=contact_ms,
            last_term=seen.term,
            last_index=last_index,
            healthy=healthy,
            stable_since_ns=since_ns,
        )
