"""Raft's membership kept to the servers that gossip shows, one change at a time (docs/guides/servers.md).

A server that is found alive becomes a learner, and a voter once it has been stable. One that is gone is removed only if Raft has
lost contact with it *and* gossip says that it failed or left, and never below the quorum that is to be kept; one that only
failed stays while fewer than ``KEEP_VOTERS`` would remain, since it may well come back. A node that returns with another store
(a wiped disk) is another member: the old one goes when the new one is ready to vote in its place. ``decide`` is pure.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

from rostra.catalog.server_health import Observation, ServerHealth
from rostra.clients.consensus import Configuration, RaftMember
from rostra.errors import NotLeader, RostraError
from rostra.model.autopilot import AutopilotConfiguration, AutopilotState
from rostra.model.members import Member, MemberStatus
from rostra.model.servers import bearer_of, is_server, server_address

log = logging.getLogger("rostra.catalog")

LOOK_S: Final = 1.0
KEEP_VOTERS: Final = 3
"""Voters that are kept although one of them failed: two cannot lose another."""
RETURN_S: Final = 60.0
"""How long a server that was removed and is alive stays out: it is leaving, or an operator wanted it so for a moment."""


MAX_TOLD: Final = 64
"""Different lines of the log that are remembered as said."""
LOST_AFTER_S: Final = 3.0
"""How long Raft must not have heard a server before it is lost."""


class ChangeKind(enum.Enum):
    """What is done; the value is what the log says."""

    ADD = "adding server to raft"
    MOVE = "following server to its address"
    LOOK = "looking whether the server has another store"
    PROMOTE = "promoting server to voter"
    REMOVE = "removing server from raft"


@dataclass(frozen=True, slots=True)
class Change:
    """One membership change, and why."""

    kind: ChangeKind
    member: RaftMember
    reason: str


Store: TypeAlias = tuple[str, str]
"""A Raft member: node ID and store ID."""


def store_of(member: RaftMember) -> Store:
    return (member.node_id, member.store_id)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision leans on. ``servers`` are gossip's servers of this datacenter by node ID, in any status, those that gossip has
    forgotten since as they were last; absence from it is no evidence. ``stable_since`` says since when each member has been alive and in
    contact. ``leaving``: nodes that had themselves removed and that gossip still shows alive. ``settled``: gossip has had the time to hear
    of everybody."""

    configuration: Configuration
    servers: Mapping[str, Member]
    stable_since: Mapping[Store, float]
    leaving: Collection[str]
    settled: bool
    last_index: int
    now: float


def servers_by_id(servers: Collection[Member], configuration: Configuration) -> Mapping[str, Member]:
    """Gossip's servers by node ID. One that several claim is the one where Raft knows it; if none of them is there, it is left out."""
    claims: dict[str, list[Member]] = {}
    for server in servers:
        if node_id := server.tags.get("id"):
            claims.setdefault(node_id, []).append(server)
    known = {member.node_id: member.address for member in configuration.members}
    bearers = {node_id: bearer_of(found, known.get(node_id, "")) for node_id, found in claims.items()}
    return {node_id: bearer for node_id, bearer in bearers.items() if bearer is not None}


def decide(seen: Situation, settings: AutopilotConfiguration) -> Change | None:
    """The next change, if one is due."""
    members = seen.configuration.members
    if len(members) > 1 and all(member.last_contact_ms is None for member in members):
        return None  # the server that said so has just lost its office: a leader hears of each
    learners = [member for member in members if not member.voter]
    for learner in learners:
        if _is_ready_to_vote(learner, seen, settings):
            former = next((each for each in members if each.voter and each.node_id == learner.node_id), None)
            if former is None:
                return Change(ChangeKind.PROMOTE, learner, "stable")
            if _lost(former):
                return Change(ChangeKind.REMOVE, former, "its node has another store")
    change = _found_by_gossip(seen)
    if change is not None:
        return change
    if not seen.settled or any(store_of(learner) in seen.stable_since for learner in learners):
        return None  # a learner that catches up comes before any removal
    return _removal(seen, settings)


def _is_ready_to_vote(learner: RaftMember, seen: Situation, settings: AutopilotConfiguration) -> bool:
    since = seen.stable_since.get(store_of(learner))
    behind = seen.last_index - (learner.match_index or 0)
    return since is not None and seen.now - since >= settings.server_stabilization_time_s and behind <= settings.max_trailing_logs


def _found_by_gossip(seen: Situation) -> Change | None:
    """Whom gossip shows alive and Raft does not know, knows elsewhere, or does not hear."""
    for node_id, server in sorted(seen.servers.items()):
        if server.status is not MemberStatus.ALIVE:
            continue
        known = [member for member in seen.configuration.members if member.node_id == node_id]
        address = server_address(server)
        found = RaftMember(node_id, "", server.name, address, voter=False)
        if not known:
            if node_id not in seen.leaving:
                return Change(ChangeKind.ADD, found, "found by gossip")
        elif len(known) == 1 and (known[0].address, known[0].node_name) != (address, server.name):
            return Change(ChangeKind.MOVE, replace(known[0], address=address, node_name=server.name), address)
        elif len(known) == 1 and node_id != seen.configuration.leader_id and _lost(known[0]):
            return Change(ChangeKind.LOOK, found, "gossip shows it alive, and raft does not hear it")
    return None


def _removal(seen: Situation, settings: AutopilotConfiguration) -> Change | None:
    members = seen.configuration.members
    voters = sum(member.voter for member in members)
    for member in members:
        server = seen.servers.get(member.node_id)
        if server is None or member.node_id == seen.configuration.leader_id or not _lost(member):
            continue
        remaining = voters - member.voter
        if server.status is MemberStatus.LEFT and remaining >= 1:
            return Change(ChangeKind.REMOVE, member, "it left")
        failed = server.status is MemberStatus.FAILED and settings.cleanup_dead_servers
        if failed and remaining >= max(settings.min_quorum, KEEP_VOTERS):
            return Change(ChangeKind.REMOVE, member, "it failed, and enough others remain")
    return None


def _lost(member: RaftMember) -> bool:
    return member.last_contact_ms is None or member.last_contact_ms > LOST_AFTER_S * 1000


class Consensus(Protocol):
    """The part of the consensus client that is needed here."""

    async def get_configuration(self, timeout_s: float = ...) -> Configuration: ...

    async def add_learner(self, member: RaftMember, *, only_at_index: int = 0, timeout_s: float = ...) -> int: ...

    async def promote(self, member: RaftMember, *, only_at_index: int = 0, timeout_s: float = ...) -> int: ...

    async def remove(self, member: RaftMember, *, only_at_index: int = 0, timeout_s: float = ...) -> int: ...


class Departures:
    """Nodes that had themselves removed. Gossip shows them alive for a moment more, and they must not be taken in for that: not
    before gossip has once shown them gone, or ``RETURN_S`` have passed."""

    def __init__(self) -> None:
        self._members: frozenset[str] = frozenset()
        self._left_at: dict[str, float] = {}

    def look(self, configuration: Configuration, servers: Mapping[str, Member], now: float) -> Collection[str]:
        """Those that are leaving. To be called on followers as well: a leader that leaves is removed by the next one at once."""
        members = frozenset(member.node_id for member in configuration.members)
        for node_id in self._members - members:
            self._left_at[node_id] = now
        self._members = members
        self._left_at = {
            node_id: left_at
            for node_id, left_at in self._left_at.items()
            if now - left_at < RETURN_S and node_id in servers and servers[node_id].status is MemberStatus.ALIVE
        }
        return self._left_at.keys()


class Autopilot:
    """Runs on the primary catalog of every server; changes something on the leader's only."""

    def __init__(
        self,
        consensus: Consensus,
        datacenter: str,
        members: Callable[[], tuple[Mapping[str, Member], bool]],
        leads: Callable[[], bool],
        term: Callable[[], int],
        commit_index: Callable[[], int],
        settings: Callable[[], AutopilotConfiguration],
        heartbeat_s: float,
    ) -> None:
        """``heartbeat_s``: how long a server in good health may not be heard, where nothing is written."""
        self._consensus = consensus
        self._datacenter = datacenter
        self._members = members
        self._leads = leads
        self._term = term
        self._commit_index = commit_index
        self._settings = settings
        self._heartbeat_s = heartbeat_s
        self._health = ServerHealth()
        self._stable_since: dict[Store, float] = {}
        self._departures = Departures()
        self._told: set[str] = set()

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self._look(asyncio.get_running_loop().time())
            except RostraError as error:
                self._tell(f"raft membership not changed: {error}")
            await asyncio.sleep(LOOK_S)

    async def state(self) -> AutopilotState:
        """How the servers are. Raises ``NotLeader`` on a server that does not lead."""
        if not self._leads():
            raise NotLeader
        configuration = await self._consensus.get_configuration(timeout_s=1.0)
        return self._report(configuration, self._servers(configuration)[0])

    def _servers(self, configuration: Configuration) -> tuple[Mapping[str, Member], bool]:
        listed, settled = self._members()
        return servers_by_id([member for member in listed.values() if is_server(member.tags, self._datacenter)], configuration), settled

    def _report(self, configuration: Configuration, servers: Mapping[str, Member]) -> AutopilotState:
        seen = Observation(configuration, servers, self._term(), self._commit_index(), self._heartbeat_s, time.time_ns())
        return self._health.report(seen, self._settings())

    async def _look(self, now: float) -> None:
        configuration = await self._consensus.get_configuration(timeout_s=1.0)
        servers, settled = self._servers(configuration)
        leaving = self._departures.look(configuration, servers, now)
        if not self._leads():
            self._stable_since.clear()
            self._health.forget()
            return
        self._follow(configuration, servers, now)
        self._report(configuration, servers)
        seen = Situation(configuration, servers, self._stable_since, leaving, settled, self._commit_index(), now)
        change = decide(seen, self._settings())
        if change is None:
            self._told.clear()
            return
        self._tell(f"{change.kind.value}: {change.member.node_name} ({change.reason})")
        act = {
            ChangeKind.ADD: self._consensus.add_learner,
            ChangeKind.MOVE: self._consensus.add_learner,
            ChangeKind.LOOK: self._consensus.add_learner,
            ChangeKind.PROMOTE: self._consensus.promote,
            ChangeKind.REMOVE: self._consensus.remove,
        }[change.kind]
        await act(change.member, only_at_index=configuration.index)

    def _follow(self, configuration: Configuration, servers: Mapping[str, Member], now: float) -> None:
        """A member is stable while gossip shows it alive and Raft hears it."""
        for member in configuration.members:
            server = servers.get(member.node_id)
            alive = server is not None and server.status is MemberStatus.ALIVE
            if alive and not _lost(member):
                self._stable_since.setdefault(store_of(member), now)
            else:
                self._stable_since.pop(store_of(member), None)

    def _tell(self, what: str) -> None:
        """Once, until there is nothing to do: what cannot be done is tried again every second, and fails for the same reason."""
        if what not in self._told:
            if len(self._told) >= MAX_TOLD:
                self._told.clear()
            self._told.add(what)
            log.info("%s", what)
