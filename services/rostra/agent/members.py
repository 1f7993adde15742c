"""What the process reads of the member list for its own needs: where the servers are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

from rostra.agent.any_catalog import AnyCatalog
from rostra.clients.consensus import Configuration, ConsensusClient, RaftMember
from rostra.clients.gossip import MemberEvent, Members, Settled
from rostra.errors import NoServers, RostraError, Unavailable, UnknownOutcome
from rostra.model.identity import Identity
from rostra.model.members import Member, MemberChange, MemberChangeKind, MemberStatus
from rostra.model.servers import is_ours, is_server, server_address
from rostra.rpc.channels import Connector
from rostra.views.upstreams import Upstream

AGAIN_S: Final = 0.5

T = TypeVar("T")


class MemberWatch(Protocol):
    """The parts of the gossip client that are needed here."""

    def watch_members(self, pool: str = "lan") -> AsyncIterator[MemberEvent]: ...


class MemberList(Protocol):
    """The same."""

    async def list_members(
        self, pool: str = "lan", status: MemberStatus | None = None, timeout_s: float | None = None
    ) -> tuple[Sequence[Member], bool]: ...


class ServersByGossip:
    """A client's catalogs: the live servers that gossip shows (``rostra.views.upstreams.Upstreams``)."""

    def __init__(self, gossip: MemberWatch, identity: Identity, connector: Connector, joins: Sequence[str]) -> None:
        """``joins``: the members through which this node was told to find the others."""
        self._gossip = gossip
        self._identity = identity
        self._connector = connector
        self._joins = joins
        self._servers: dict[str, Member] = {}
        self._agents: set[str] = set()
        self._upstreams: dict[str, Upstream] = {}

    def candidates(self) -> Sequence[Upstream]:
        return tuple(self._upstreams.values())

    def sought(self) -> Sequence[str]:
        """The servers that have not left, failed ones too; where none was ever seen, the members to join."""
        return sorted(server_address(server) for server in self._servers.values()) or self._joins

    def population(self) -> int:
        """The agents of the datacenter that are alive, this one among them."""
        return len(self._agents)

    async def run(self) -> None:
        """Follows the member list for ever."""
        while True:
            try:
                async for event in self._gossip.watch_members():
                    self._take(event)
            except RostraError:
                pass  # gossip is away: the servers it last showed may well be there
            await asyncio.sleep(AGAIN_S)

    def _take(self, event: MemberEvent) -> None:
        match event:
            case Members():
                servers = {member.name: member for member in event.members if self._is_server(member)}
                self._servers = servers or self._servers  # a gossip that has just begun knows nobody yet
                self._agents = {member.name for member in event.members if self._is_agent(member)}
            case MemberChange(member=member) if event.kind is not MemberChangeKind.REAPED and self._is_server(member):
                self._servers[member.name] = member
            case MemberChange(member=member):
                self._servers.pop(member.name, None)
            case Settled():
                return
        if isinstance(event, MemberChange):
            (self._agents.add if self._is_agent(event.member) else self._agents.discard)(event.member.name)
        alive = [server_address(server) for server in self._servers.values() if server.status is MemberStatus.ALIVE]
        known, connect = self._upstreams, self._connector.connect
        self._upstreams = {address: known.get(address) or Upstream(address, connect(address)) for address in alive}

    def _is_agent(self, member: Member) -> bool:
        return is_ours(member.tags, self._identity.datacenter) and member.status is MemberStatus.ALIVE

    def _is_server(self, member: Member) -> bool:
        return is_server(member.tags, self._identity.datacenter) and member.status is not MemberStatus.LEFT


class RaftByGossip:
    """The servers as gossip shows them, for a gateway that has no consensus beside it."""

    def __init__(self, gossip: MemberList, identity: Identity, connector: Connector, leader: LeaderSource) -> None:
        self._gossip = gossip
        self._identity = identity
        self._connector = connector
        self._leader = leader

    async def leader_address(self) -> str:
        return self._leader.contact.leader_address

    async def peers(self) -> Sequence[str]:
        return sorted(server_address(each) for each in await self._servers() if each.status is not MemberStatus.LEFT)

    async def configuration(self, *, stale: bool = False) -> Configuration:
        return await self._ask(lambda consensus: consensus.get_configuration(from_leader=not stale))

    async def remove(self, member: RaftMember) -> None:
        await self._ask(lambda consensus: consensus.remove(member))

    async def transfer_leader(self, node_id: str = "") -> None:
        await self._ask(lambda consensus: consensus.transfer_leadership(node_id))

    async def _servers(self) -> Sequence[Member]:
        members, _ = await self._gossip.list_members("lan", timeout_s=1.0)
        return [each for each in members if is_server(each.tags, self._identity.datacenter)]

    async def _ask(self, what: Callable[[ConsensusClient], Awaitable[T]]) -> T:
        """The first server that answers; each hands on to the leader what only that may say."""
        addresses = [server_address(each) for each in await self._servers() if each.status is MemberStatus.ALIVE]
        problem: RostraError = NoServers()
        for address in addresses:
            async with self._connector.connect(address) as channel:
                try:
                    return await what(ConsensusClient(channel))
                except UnknownOutcome:
                    raise
                except Unavailable as error:
                    problem = error
        raise problem


class _Contact(Protocol):
    @property
    def leader_address(self) -> str: ...


class LeaderSource(Protocol):
    """The hub, as far as it says who leads."""

    @property
    def contact(self) -> _Contact: ...


class RaftByConsensus:
    """The Raft configuration, where consensus is reachable. Consensus is asked itself: it knows the leader before any view does."""

    def __init__(self, consensus: ConsensusClient, leader: LeaderSource) -> None:
        self._consensus = consensus
        self._leader = leader

    async def leader_address(self) -> str:
        try:
            return (await self._consensus.get_status(timeout_s=1.0)).leadership.leader_address
        except RostraError:
            return self._leader.contact.leader_address

    async def peers(self) -> Sequence[str]:
        configuration = await self._consensus.get_configuration(timeout_s=1.0)
        return sorted(member.address for member in configuration.members)

    async def configuration(self, *, stale: bool = False) -> Configuration:
        return await self._consensus.get_configuration(from_leader=not stale)

    async def remove(self, member: RaftMember) -> None:
        await self._consensus.remove(member)

    async def transfer_leader(self, node_id: str = "") -> None:
        await self._consensus.transfer_leadership(node_id)


class ServersElsewhere:
    """The servers of another datacenter, whom a catalog of this one asks."""

    def __init__(self, catalogs: AnyCatalog, datacenter: str) -> None:
        self._catalogs = catalogs
        self._datacenter = datacenter

    async def configuration(self, *, stale: bool = False) -> Configuration:
        return await self._catalogs.get_servers(self._datacenter, stale=stale)

    async def remove(self, member: RaftMember) -> None:
        await self._catalogs.remove_server(member, self._datacenter)

    async def transfer_leader(self, node_id: str = "") -> None:
        await self._catalogs.hand_over_leadership(node_id, self._datacenter)
