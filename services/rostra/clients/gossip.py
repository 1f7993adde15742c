"""Client of ``GossipService``: who is in the pool, and what to ask of it. Domain values in and out."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from grpc import aio

from rostra.errors import RostraError, Unavailable
from rostra.model.coordinates import Coordinate
from rostra.model.identity import Identity
from rostra.model.members import Member, MemberChange, MemberChangeKind, MemberStatus
from rostra.model.proto import coordinates_from_proto
from rostra.rpc.hello import check_hello, make_hello
from rostra.rpc.pages import all_pages
from rostra.rpc.status import error_from_rpc
from rostra.v1 import gossip_pb2
from rostra.v1.gossip_pb2_grpc import GossipServiceStub

TIMEOUT_S: Final = 7.0
"""The hold time: longest wait for a unary answer."""
JOIN_TIMEOUT_S: Final = 30.0
"""Joining tries each address in turn."""
LEAVE_TIMEOUT_S: Final = 30.0
"""Leaving waits until the pool has been told."""
LAN: Final = "lan"
WAN: Final = "wan"
KEYS_TIMEOUT_S: Final = 30.0
"""Key questions go to every member and wait for their answers."""


class KeyAction(enum.Enum):
    """The value is the number in the contract."""

    INSTALL = 1
    USE = 2
    REMOVE = 3


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool as the asked node sees it; ``settled``: its member list can be taken as complete."""

    port: int
    settled: bool
    encrypted: bool
    stats: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GossipStatus:
    """Who the node is, and how its pools do."""

    identity: Identity
    build: str
    pools: Mapping[str, PoolStatus]


@dataclass(frozen=True, slots=True)
class Members:
    """The whole list, by name; ``settled``: it can be taken as complete."""

    members: Sequence[Member]
    settled: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """From now on the list can be taken as complete."""


MemberEvent: TypeAlias = Members | MemberChange | Settled


@dataclass(frozen=True, slots=True)
class JoinOutcome:
    """How many addresses answered, and why each other one did not."""

    joined: int
    failures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UserEvent:
    """A user event; ``lost`` earlier ones were dropped because the reader was too slow."""

    name: str
    payload: bytes
    ltime: int
    coalesce: bool
    lost: int = 0


@dataclass(frozen=True, slots=True)
class KeyList:
    """Key (base64) to number of members that hold it, or whose primary it is; what went wrong by member."""

    keys: Mapping[str, int]
    primary_keys: Mapping[str, int]
    members: int
    errors: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class KeyChange:
    """How many members were asked and answered, and what went wrong by member."""

    members: int
    responses: int
    errors: Mapping[str, str]


_POOL_NAMES: Final = {gossip_pb2.POOL_LAN: LAN, gossip_pb2.POOL_WAN: WAN}
_POOL_NUMBERS: Final = {name: number for number, name in _POOL_NAMES.items()}
_STATUSES: Final = {
    gossip_pb2.MEMBER_STATUS_ALIVE: MemberStatus.ALIVE,
    gossip_pb2.MEMBER_STATUS_LEAVING: MemberStatus.LEAVING,
    gossip_pb2.MEMBER_STATUS_LEFT: MemberStatus.LEFT,
    gossip_pb2.MEMBER_STATUS_FAILED: MemberStatus.FAILED,
}
_STATUS_NUMBERS: Final = {status: number for number, status in _STATUSES.items()}
_CHANGES: Final = {
    gossip_pb2.MEMBER_CHANGE_KIND_JOINED: MemberChangeKind.JOINED,
    gossip_pb2.MEMBER_CHANGE_KIND_UPDATED: MemberChangeKind.UPDATED,
    gossip_pb2.MEMBER_CHANGE_KIND_LEAVING: MemberChangeKind.LEAVING,
    gossip_pb2.MEMBER_CHANGE_KIND_LEFT: MemberChangeKind.LEFT,
    gossip_pb2.MEMBER_CHANGE_KIND_FAILED: MemberChangeKind.FAILED,
    gossip_pb2.MEMBER_CHANGE_KIND_REAPED: MemberChangeKind.REAPED,
}


class GossipClient:
    """``role`` is the caller's; the channel stays the caller's to close. Raises ``rostra.errors``.

    ``identity`` is None for a caller who does not know yet which node it belongs to.
    """

    def __init__(self, channel: aio.Channel, identity: Identity | None = None, role: str = "client") -> None:
        self._stub = GossipServiceStub(channel)
        self._hello = make_hello(identity or Identity("", "", ""), role)

    async def get_status(self, timeout_s: float = TIMEOUT_S) -> GossipStatus:
        """Who the node is."""
        answer = await _call(self._stub.GetStatus(gossip_pb2.GetStatusRequest(), timeout=timeout_s))
        identity = Identity(
            name=answer.node.name,
            id=answer.node.id,
            datacenter=answer.node.datacenter,
            address=answer.advertise_address,
            wan_address=answer.advertise_wan_address,
            server=answer.server,
        )
        pools = {
            _POOL_NAMES[one.pool]: PoolStatus(one.port, one.settled, one.encrypted, dict(one.stats))
            for one in answer.pools
            if one.pool in _POOL_NAMES
        }
        return GossipStatus(identity, answer.build, pools)

    async def list_members(
        self, pool: str = LAN, status: MemberStatus | None = None, timeout_s: float | None = None
    ) -> tuple[Sequence[Member], bool]:
        """The members by name, and whether the list can be taken as complete."""
        wanted = _STATUS_NUMBERS[status] if status is not None else gossip_pb2.MEMBER_STATUS_UNSPECIFIED
        members: list[Member] = []
        settled = False

        def ask(after: str) -> Awaitable[gossip_pb2.ListMembersResponse]:
            request = gossip_pb2.ListMembersRequest(pool=_pool(pool), status=wanted, paged=True, after=after)
            return _call(self._stub.ListMembers(request, timeout=timeout_s or TIMEOUT_S))

        async for answer in all_pages(ask, lambda answer: str(answer.members[-1].name)):
            members += map(member_from_proto, answer.members)
            settled = answer.settled
        return members, settled

    async def watch_members(self, pool: str = LAN) -> AsyncIterator[MemberEvent]:
        """The whole list, then changes in order; a whole list again replaces what came before it."""
        call = self._stub.WatchMembers(gossip_pb2.WatchMembersRequest(hello=self._hello, pool=_pool(pool)))
        parts: list[Member] = []
        try:
            async for message in call:
                event = _member_event(message)
                if isinstance(event, Members):
                    parts += event.members
                    if message.snapshot.more:
                        continue
                    event, parts = Members(parts, event.settled), []
                if event is not None:
                    yield event
        except aio.AioRpcError as error:
            raise error_from_rpc(error) from None
        finally:
            call.cancel()

    async def join(self, addresses: Sequence[str], pool: str = LAN, timeout_s: float = JOIN_TIMEOUT_S) -> int:
        """Merges with the addresses that answer: how many did. Raises when none did."""
        return (await self.join_each(addresses, pool, timeout_s)).joined

    async def join_each(self, addresses: Sequence[str], pool: str = LAN, timeout_s: float = JOIN_TIMEOUT_S) -> JoinOutcome:
        """As ``join``, and says why each other address did not answer."""
        request = gossip_pb2.JoinRequest(pool=_pool(pool), addresses=addresses)
        answer = await _call(self._stub.Join(request, timeout=timeout_s))
        return JoinOutcome(answer.joined, {failure.address: failure.reason for failure in answer.failures})

    async def leave(self, pool: str | None = None, timeout_s: float = LEAVE_TIMEOUT_S) -> None:
        """Tells the pool (both, when None) that this node goes; gossip then stops."""
        await _call(self._stub.Leave(gossip_pb2.LeaveRequest(pool=_pool(pool)), timeout=timeout_s))

    async def force_leave(self, name: str, prune: bool = False, pool: str = LAN, timeout_s: float = TIMEOUT_S) -> None:
        """Turns a failed member into one that has left."""
        request = gossip_pb2.ForceLeaveRequest(name=name, prune=prune, pool=_pool(pool))
        await _call(self._stub.ForceLeave(request, timeout=timeout_s))

    async def set_tags(
        self, tags: Mapping[str, str], remove: Iterable[str] = (), pool: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> Mapping[str, str]:
        """Sets and removes tags of this member; its tags as they now are."""
        request = gossip_pb2.SetTagsRequest(pool=_pool(pool), set=tags, remove=remove)
        return dict((await _call(self._stub.SetTags(request, timeout=timeout_s))).tags)

    async def send_user_event(
        self, name: str, payload: bytes = b"", *, coalesce: bool = False, pool: str = LAN, timeout_s: float = TIMEOUT_S
    ) -> int:
        """Broadcasts an event; its Lamport time."""
        request = gossip_pb2.SendUserEventRequest(name=name, payload=payload, coalesce=coalesce, pool=_pool(pool))
        return int((await _call(self._stub.SendUserEvent(request, timeout=timeout_s))).ltime)

    async def watch_user_events(self, pool: str = LAN) -> AsyncIterator[UserEvent]:
        """The events that arrive from now on."""
        call = self._stub.WatchUserEvents(gossip_pb2.WatchUserEventsRequest(hello=self._hello, pool=_pool(pool)))
        lost = 0
        try:
            async for message in call:
                match message.WhichOneof("event"):
                    case "hello":
                        check_hello(message.hello)
                    case "lost":
                        lost += message.lost
                    case "user_event":
                        event = message.user_event
                        yield UserEvent(event.name, event.payload, event.ltime, event.coalesce, lost)
                        lost = 0
        except aio.AioRpcError as error:
            raise error_from_rpc(error) from None
        finally:
            call.cancel()

    async def list_keys(
        self, pool: str = LAN, *, relay_factor: int = 0, local_only: bool = False, timeout_s: float = KEYS_TIMEOUT_S
    ) -> KeyList:
        """Who holds which gossip keys."""
        request = gossip_pb2.ListKeysRequest(pool=_pool(pool), relay_factor=relay_factor, local_only=local_only)
        answer = await _call(self._stub.ListKeys(request, timeout=timeout_s))
        return KeyList(dict(answer.keys), dict(answer.primary_keys), answer.members, dict(answer.errors))

    async def change_key(
        self, action: KeyAction, key: bytes, pool: str = LAN, *, relay_factor: int = 0, timeout_s: float = KEYS_TIMEOUT_S
    ) -> KeyChange:
        """Installs, uses or removes a key on every member."""
        number = gossip_pb2.KeyAction.ValueType(action.value)
        request = gossip_pb2.ChangeKeyRequest(action=number, key=key, pool=_pool(pool), relay_factor=relay_factor)
        answer = await _call(self._stub.ChangeKey(request, timeout=timeout_s))
        return KeyChange(answer.members, answer.responses, dict(answer.errors))

    async def stats(self, timeout_s: float = 1.0) -> Mapping[str, Mapping[str, str]]:
        """The pools' numbers as groups of ``rostra info``."""
        status = await self.get_status(timeout_s)
        return {f"serf_{name}": pool.stats for name, pool in status.pools.items()}

    async def list_coordinates(self, pool: str = LAN, timeout_s: float = TIMEOUT_S) -> Mapping[str, Coordinate]:
        """Network coordinates by member name."""
        found: dict[str, Coordinate] = {}

        def ask(after: str) -> Awaitable[gossip_pb2.ListCoordinatesResponse]:
            request = gossip_pb2.ListCoordinatesRequest(pool=_pool(pool), paged=True, after=after)
            return _call(self._stub.ListCoordinates(request, timeout=timeout_s))

        async for answer in all_pages(ask, lambda answer: str(answer.coordinates[-1].name)):
            found |= coordinates_from_proto(answer.coordinates)
        return found


def member_from_proto(message: gossip_pb2.Member) -> Member:
    """A status that this version does not know is taken for failed: it is not reachable as far as we can tell."""
    versions = message.versions if len(message.versions) == 6 else bytes((1, 5, 2, 2, 5, 4))
    return Member(
        name=message.name,
        address=message.address,
        port=message.port,
        tags=dict(message.tags),
        status=_STATUSES.get(message.status, MemberStatus.FAILED),
        incarnation=message.incarnation,
        status_ltime=message.status_ltime,
        pmin=versions[0],
        pmax=versions[1],
        pcur=versions[2],
        dmin=versions[3],
        dmax=versions[4],
        dcur=versions[5],
    )


def _member_event(message: gossip_pb2.WatchMembersResponse) -> MemberEvent | None:
    match message.WhichOneof("event"):
        case "hello":
            check_hello(message.hello)
        case "snapshot":
            return Members([member_from_proto(member) for member in message.snapshot.members], message.snapshot.settled)
        case "change":
            kind = _CHANGES.get(message.change.kind)
            return MemberChange(kind, member_from_proto(message.change.member)) if kind is not None else None
        case "settled":
            return Settled()
    return None


def _pool(pool: str | None) -> gossip_pb2.Pool.ValueType:
    return gossip_pb2.POOL_UNSPECIFIED if pool is None else _POOL_NUMBERS[pool]


async def _call(call: Any) -> Any:
    try:
        return await call
    except aio.AioRpcError as error:
        raise error_from_rpc(error) from None
    except aio.UsageError as error:
        problem: RostraError = Unavailable(str(error))
        raise problem from None
