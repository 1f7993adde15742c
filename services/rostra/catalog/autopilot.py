"""Raft's membership kept to the servers that gossip shows, one change at a time (DESIGN section 3, "Servers").

A server that is found alive becomes a learner, and a voter once it has been stable. One that is gone is removed only if Raft has
lost contact with it *and* gossip says that it failed or left, and never below the quorum that is to be kept; one that only
failed stays while fewer than ``KEEP_VOTERS`` would remain, since it may well come back. ``decide`` is pure.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from rostra.clients.consensus import Configuration, RaftMember
from rostra.errors import RostraError
from rostra.model.members import Member, MemberStatus
from rostra.model.servers import is_server

log = logging.getLogger("rostra.catalog")

LOOK_S: Final = 1.0
KEEP_VOTERS: Final = 3
"""Voters that are kept although one of them failed: two cannot lose another."""


@dataclass(frozen=True, slots=True)
class AutopilotSettings:
    """Consul's ``autopilot`` keys, and how long Raft must not have heard a server before it is lost."""

    cleanup_dead_servers: bool = True
    max_trailing_logs: int = 250
    min_quorum: int = 0
    server_stabilization_time_s: float = 10.0
    lost_after_s: float = 3.0


class ChangeKind(enum.Enum):
    """What is done; the value is what the log says."""

    ADD = "adding server to raft"
    PROMOTE = "promoting server to voter"
    REMOVE = "removing server from raft"


@dataclass(frozen=True, slots=True)
class Change:
    """One membership change, and why."""

    kind: ChangeKind
    member: RaftMember
    reason: str


def decide(
    configuration: Configuration,
    servers: Mapping[str, Member],
    stable_since: Mapping[str, float],
    now: float,
    settings: AutopilotSettings,
    *,
    settled: bool,
    last_index: int,
) -> Change | None:
    """The next change, if one is due. ``servers`` are gossip's servers of this datacenter by node ID, in any status; absence from it
    is no evidence. ``stable_since`` says since when each has been alive and in contact."""
    members = configuration.members
    learners = [member for member in members if not member.voter]
    for learner in learners:
        since = stable_since.get(learner.node_id)
        behind = last_index - (learner.match_index or 0)
        if since is not None and now - since >= settings.server_stabilization_time_s and behind <= settings.max_trailing_logs:
            return Change(ChangeKind.PROMOTE, learner, "stable")
    known = {member.node_id for member in members}
    for node_id, server in sorted(servers.items()):
        if server.status is MemberStatus.ALIVE and node_id not in known:
            found = RaftMember(node_id, "", server.name, address_of(server), voter=False)
            return Change(ChangeKind.ADD, found, "found by gossip")
    if not settled or any(stable_since.get(learner.node_id) is not None for learner in learners):
        return None  # a learner that catches up comes before any removal
    return _removal(members, configuration.leader_id, servers, settings)


def _removal(members: Sequence[RaftMember], leader_id: str, servers: Mapping[str, Member], settings: AutopilotSettings) -> Change | None:
    voters = sum(member.voter for member in members)
    for member in members:
        server = servers.get(member.node_id)
        if server is None or member.node_id == leader_id or not _lost(member, settings):
            continue
        remaining = voters - member.voter
        if server.status is MemberStatus.LEFT and remaining >= 1:
            return Change(ChangeKind.REMOVE, member, "it left")
        failed = server.status is MemberStatus.FAILED and settings.cleanup_dead_servers
        if failed and remaining >= max(settings.min_quorum, KEEP_VOTERS):
            return Change(ChangeKind.REMOVE, member, "it failed, and enough others remain")
    return None


def _lost(member: RaftMember, settings: AutopilotSettings) -> bool:
    return member.last_contact_ms is None or member.last_contact_ms > settings.lost_after_s * 1000


def address_of(server: Member) -> str:
    """HOST:PORT of a server's port 8300."""
    host = f"[{server.address}]" if ":" in server.address else server.address
    return f"{host}:{server.tags['port']}"


class Consensus(Protocol):
    """The part of the consensus client that is needed here."""

    async def get_configuration(self, timeout_s: float = ...) -> Configuration: ...

    async def add_learner(self, member: RaftMember, *, only_at_index: int = 0, timeout_s: float = ...) -> int: ...

    async def promote(self, member: RaftMember, *, only_at_index: int = 0, timeout_s: float = ...) -> int: ...

    async def remove(self, member: RaftMember, *, only_at_index: int = 0, timeout_s: float = ...) -> int: ...


class Autopilot:
    """Runs on the primary catalog of every server; changes something on the leader's only."""

    def __init__(
        self,
        consensus: Consensus,
        datacenter: str,
        members: Callable[[], tuple[Mapping[str, Member], bool]],
        leads: Callable[[], bool],
        commit_index: Callable[[], int],
        settings: AutopilotSettings,
    ) -> None:
        self._consensus = consensus
        self._datacenter = datacenter
        self._members = members
        self._leads = leads
        self._commit_index = commit_index
        self._settings = settings
        self._stable_since: dict[str, float] = {}
        self._told = ""

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                if self._leads():
                    await self._look(asyncio.get_running_loop().time())
                else:
                    self._stable_since.clear()
            except RostraError as error:
                self._tell(f"raft membership not changed: {error}")
            await asyncio.sleep(LOOK_S)

    async def _look(self, now: float) -> None:
        listed, settled = self._members()
        servers = {
            member.tags["id"]: member for member in listed.values() if is_server(member.tags, self._datacenter) and member.tags.get("id")
        }
        configuration = await self._consensus.get_configuration(timeout_s=1.0)
        self._follow(configuration, servers, now)
        change = decide(configuration, servers, self._stable_since, now, self._settings, settled=settled, last_index=self._commit_index())
        if change is None:
            return
        self._tell(f"{change.kind.value}: {change.member.node_name} ({change.reason})")
        act = {
            ChangeKind.ADD: self._consensus.add_learner,
            ChangeKind.PROMOTE: self._consensus.promote,
            ChangeKind.REMOVE: self._consensus.remove,
        }[change.kind]
        await act(change.member, only_at_index=configuration.index)

    def _follow(self, configuration: Configuration, servers: Mapping[str, Member], now: float) -> None:
        """A member is stable while gossip shows it alive and Raft hears it."""
        for member in configuration.members:
            server = servers.get(member.node_id)
            alive = server is not None and server.status is MemberStatus.ALIVE
            if alive and not _lost(member, self._settings):
                self._stable_since.setdefault(member.node_id, now)
            else:
                self._stable_since.pop(member.node_id, None)

    def _tell(self, what: str) -> None:
        if what != self._told:
            self._told = what
            log.info("%s", what)
