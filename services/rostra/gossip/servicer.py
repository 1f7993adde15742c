"""GossipService: proto to domain and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from rostra.errors import BadRequest, Resync, Unavailable
from rostra.gossip.asking import KeyringResult
from rostra.gossip.feed import Subscription
from rostra.gossip.joining import JoinResult
from rostra.gossip.key_queries import KeyOperation
from rostra.gossip.pool import MemberWatch
from rostra.gossip.wire.boxes import KEY_SIZES
from rostra.gossip.wire.serf_messages import UserEvent
from rostra.model.coordinates import Coordinate
from rostra.model.identity import Identity
from rostra.model.members import Member, MemberChange, MemberChangeKind, MemberStatus
from rostra.model.proto import coordinates_to_proto
from rostra.rpc.hello import make_hello
from rostra.rpc.pages import first_page
from rostra.v1 import common_pb2, gossip_pb2, gossip_pb2_grpc
from rostra.version import VERSION

SETTLED_POLL_S: Final = 0.25
RELAY_FACTOR_MAX: Final = 5
MEMBERS_IN_PART: Final = 512
"""A member is a few hundred bytes, and at most two thousand: so a part is within what one message takes, and some milliseconds' work."""

_STATUS = {
    MemberStatus.ALIVE: gossip_pb2.MEMBER_STATUS_ALIVE,
    MemberStatus.LEAVING: gossip_pb2.MEMBER_STATUS_LEAVING,
    MemberStatus.LEFT: gossip_pb2.MEMBER_STATUS_LEFT,
    MemberStatus.FAILED: gossip_pb2.MEMBER_STATUS_FAILED,
}
_CHANGE = {
    MemberChangeKind.JOINED: gossip_pb2.MEMBER_CHANGE_KIND_JOINED,
    MemberChangeKind.RETURNED: gossip_pb2.MEMBER_CHANGE_KIND_JOINED,
    MemberChangeKind.UPDATED: gossip_pb2.MEMBER_CHANGE_KIND_UPDATED,
    MemberChangeKind.LEAVING: gossip_pb2.MEMBER_CHANGE_KIND_LEAVING,
    MemberChangeKind.LEFT: gossip_pb2.MEMBER_CHANGE_KIND_LEFT,
    MemberChangeKind.FAILED: gossip_pb2.MEMBER_CHANGE_KIND_FAILED,
    MemberChangeKind.REAPED: gossip_pb2.MEMBER_CHANGE_KIND_REAPED,
}
_POOL_NAMES = {gossip_pb2.POOL_UNSPECIFIED: "lan", gossip_pb2.POOL_LAN: "lan", gossip_pb2.POOL_WAN: "wan"}
_POOLS = {"lan": gossip_pb2.POOL_LAN, "wan": gossip_pb2.POOL_WAN}


_OPERATIONS = {
    gossip_pb2.KEY_ACTION_INSTALL: KeyOperation.INSTALL,
    gossip_pb2.KEY_ACTION_USE: KeyOperation.USE,
    gossip_pb2.KEY_ACTION_REMOVE: KeyOperation.REMOVE,
}


class GossipPool(Protocol):
    """One pool, as the servicer needs it."""

    def members(self) -> Sequence[Member]: ...

    def watch(self) -> MemberWatch: ...

    def watch_user_events(self) -> Subscription[UserEvent]: ...

    def coordinates(self) -> Mapping[str, Coordinate]: ...

    def local_member(self) -> Member: ...

    async def join(self, addresses: Sequence[str]) -> Sequence[JoinResult]: ...

    def set_tags(self, tags: Mapping[str, str]) -> None: ...

    def user_event(self, name: str, payload: bytes, *, coalesce: bool = False) -> int: ...

    @property
    def is_encrypted(self) -> bool: ...

    async def list_keys(self, *, relay_factor: int = 0, local_only: bool = False) -> KeyringResult: ...

    async def change_keys(self, operation: KeyOperation, key: bytes = b"", *, relay_factor: int = 0) -> KeyringResult: ...


class Gossip(Protocol):
    """The role, as the servicer needs it."""

    @property
    def identity(self) -> Identity: ...

    @property
    def pools(self) -> Mapping[str, GossipPool]: ...

    def pool_stats(self, name: str) -> Mapping[str, str]: ...

    def is_settled(self, name: str) -> bool: ...

    def port(self, name: str) -> int: ...

    async def leave(self, pools: Sequence[str]) -> None: ...

    def force_leave(self, pool: str, name: str, *, prune: bool) -> None: ...


class GossipServicer(gossip_pb2_grpc.GossipServiceServicer):
    """Every decision is in the pools and the role."""

    def __init__(self, gossip: Gossip) -> None:
        self._gossip = gossip

    async def GetStatus(self, request: gossip_pb2.GetStatusRequest, context: Any) -> gossip_pb2.GetStatusResponse:
        who = self._gossip.identity
        return gossip_pb2.GetStatusResponse(
            node=common_pb2.NodeIdentity(name=who.name, id=who.id, datacenter=who.datacenter),
            server=who.server,
            advertise_address=who.address,
            advertise_wan_address=who.wan_address,
            build=VERSION,
            pools=[
                gossip_pb2.PoolStatus(
                    pool=_POOLS[name],
                    port=self._gossip.port(name),
                    settled=self._gossip.is_settled(name),
                    encrypted=pool.is_encrypted,
                    stats=self._gossip.pool_stats(name),
                )
                for name, pool in self._gossip.pools.items()
            ],
        )

    async def ListMembers(self, request: gossip_pb2.ListMembersRequest, context: Any) -> gossip_pb2.ListMembersResponse:
        name, pool = self._pool(request.pool)
        members = sorted((member for member in pool.members() if member.name > request.after), key=lambda member: member.name)
        found = (member_to_proto(member) for member in members if request.status in (0, _STATUS[member.status]))
        page, more = first_page(found, paged=request.paged)
        return gossip_pb2.ListMembersResponse(members=page, settled=self._gossip.is_settled(name), more=more)

    async def WatchMembers(self, request: gossip_pb2.WatchMembersRequest, context: Any) -> AsyncIterator[gossip_pb2.WatchMembersResponse]:
        name, pool = self._pool(request.pool)
        yield gossip_pb2.WatchMembersResponse(hello=make_hello(self._gossip.identity, "gossip"))
        while True:
            watch = pool.watch()
            with watch.changes:
                settled = self._gossip.is_settled(name)
                for part in _parts(sorted(watch.snapshot, key=lambda member: member.name), settled=settled):
                    yield gossip_pb2.WatchMembersResponse(snapshot=part)
                    await asyncio.sleep(0)
                try:
                    async for message in self._changes(name, watch.changes, settled=settled):
                        yield message
                except Resync:
                    continue

    async def _changes(
        self, name: str, changes: Subscription[MemberChange], *, settled: bool
    ) -> AsyncIterator[gossip_pb2.WatchMembersResponse]:
        while True:
            try:
                async with asyncio.timeout(None if settled else SETTLED_POLL_S):
                    change = await anext(changes)
                message = gossip_pb2.MemberChange(kind=_CHANGE[change.kind], member=member_to_proto(change.member))
                yield gossip_pb2.WatchMembersResponse(change=message)
            except TimeoutError:
                pass
            if not settled and self._gossip.is_settled(name):
                settled = True
                count = len(self._gossip.pools[name].members())
                yield gossip_pb2.WatchMembersResponse(settled=gossip_pb2.PoolSettled(members=count))

    async def Join(self, request: gossip_pb2.JoinRequest, context: Any) -> gossip_pb2.JoinResponse:
        if not request.addresses:
            raise BadRequest("addresses: at least one is needed", field="addresses")
        _, pool = self._pool(request.pool)
        results = await pool.join(list(request.addresses))
        failures = [gossip_pb2.JoinFailure(address=each.address, reason=each.error) for each in results if each.error]
        if len(failures) == len(results):
            raise Unavailable("; ".join(_told(failure.address, failure.reason) for failure in failures))
        return gossip_pb2.JoinResponse(joined=len(results) - len(failures), failures=failures)

    async def Leave(self, request: gossip_pb2.LeaveRequest, context: Any) -> gossip_pb2.LeaveResponse:
        everywhere = request.pool == gossip_pb2.POOL_UNSPECIFIED
        await self._gossip.leave(["wan", "lan"] if everywhere else [self._pool(request.pool)[0]])
        return gossip_pb2.LeaveResponse()

    async def ForceLeave(self, request: gossip_pb2.ForceLeaveRequest, context: Any) -> gossip_pb2.ForceLeaveResponse:
        if not request.name:
            raise BadRequest("name is required", field="name")
        self._gossip.force_leave(self._pool(request.pool)[0], request.name, prune=request.prune)
        return gossip_pb2.ForceLeaveResponse()

    async def SetTags(self, request: gossip_pb2.SetTagsRequest, context: Any) -> gossip_pb2.SetTagsResponse:
        names = list(self._gossip.pools) if request.pool == gossip_pb2.POOL_UNSPECIFIED else [self._pool(request.pool)[0]]
        for name in names:
            pool = self._gossip.pools[name]
            kept = {tag: value for tag, value in pool.local_member().tags.items() if tag not in request.remove}
            pool.set_tags(kept | dict(request.set))
        return gossip_pb2.SetTagsResponse(tags=self._gossip.pools[names[0]].local_member().tags)

    async def SendUserEvent(self, request: gossip_pb2.SendUserEventRequest, context: Any) -> gossip_pb2.SendUserEventResponse:
        if not request.name:
            raise BadRequest("name is required", field="name")
        ltime = self._pool(request.pool)[1].user_event(request.name, request.payload, coalesce=request.coalesce)
        return gossip_pb2.SendUserEventResponse(ltime=ltime)

    async def WatchUserEvents(
        self, request: gossip_pb2.WatchUserEventsRequest, context: Any
    ) -> AsyncIterator[gossip_pb2.WatchUserEventsResponse]:
        _, pool = self._pool(request.pool)
        first = gossip_pb2.WatchUserEventsResponse(hello=make_hello(self._gossip.identity, "gossip"))
        while True:
            with pool.watch_user_events() as events:  # before anything is sent: what comes from then on is counted
                yield first
                try:
                    async for event in events:
                        message = gossip_pb2.UserEvent(name=event.name, payload=event.payload, ltime=event.ltime, coalesce=event.coalesce)
                        yield gossip_pb2.WatchUserEventsResponse(user_event=message)
                except Resync:
                    first = gossip_pb2.WatchUserEventsResponse(lost=events.lost)

    async def ListKeys(self, request: gossip_pb2.ListKeysRequest, context: Any) -> gossip_pb2.ListKeysResponse:
        _, pool = self._pool(request.pool)
        found = await pool.list_keys(relay_factor=_relay_factor(request.relay_factor), local_only=request.local_only)
        # A member that could not list all its keys has answered, but not the question.
        errors = {**found.messages, **found.errors}
        return gossip_pb2.ListKeysResponse(keys=found.keys, primary_keys=found.primary_keys, members=found.members, errors=errors)

    async def ChangeKey(self, request: gossip_pb2.ChangeKeyRequest, context: Any) -> gossip_pb2.ChangeKeyResponse:
        _, pool = self._pool(request.pool)
        operation = _OPERATIONS.get(request.action)
        if operation is None:
            raise BadRequest(f"action {request.action} is not one that this version knows", field="action")
        if len(request.key) not in KEY_SIZES:
            raise BadRequest(f"key: a gossip key has 16, 24 or 32 bytes, this one has {len(request.key)}", field="key")
        done = await pool.change_keys(operation, request.key, relay_factor=_relay_factor(request.relay_factor))
        return gossip_pb2.ChangeKeyResponse(members=done.members, responses=done.responses, errors=done.errors)

    async def ListCoordinates(self, request: gossip_pb2.ListCoordinatesRequest, context: Any) -> gossip_pb2.ListCoordinatesResponse:
        _, pool = self._pool(request.pool)
        wanted = {name: each for name, each in pool.coordinates().items() if name > request.after}
        page, more = first_page(coordinates_to_proto(wanted), paged=request.paged)
        return gossip_pb2.ListCoordinatesResponse(coordinates=page, more=more)

    def _pool(self, number: gossip_pb2.Pool.ValueType) -> tuple[str, GossipPool]:
        name = _POOL_NAMES.get(number)
        if name is None:
            raise BadRequest(f"pool {number} is not one that this version knows", field="pool")
        if name not in self._gossip.pools:
            raise BadRequest("pool: a client is not in the WAN pool", field="pool")
        return name, self._gossip.pools[name]


def _relay_factor(number: int) -> int:
    if number > RELAY_FACTOR_MAX:
        raise BadRequest(f"relay_factor: at most {RELAY_FACTOR_MAX}", field="relay_factor")
    return number


def _parts(members: Sequence[Member], *, settled: bool) -> Iterator[gossip_pb2.MemberSnapshot]:
    """The list in messages of bounded size; an empty one is one, too."""
    for first in range(0, max(1, len(members)), MEMBERS_IN_PART):
        part = [member_to_proto(member) for member in members[first : first + MEMBERS_IN_PART]]
        yield gossip_pb2.MemberSnapshot(members=part, settled=settled, more=first + MEMBERS_IN_PART < len(members))


def member_to_proto(member: Member) -> gossip_pb2.Member:
    return gossip_pb2.Member(
        name=member.name,
        address=member.address,
        port=member.port,
        tags=member.tags,
        status=_STATUS[member.status],
        incarnation=member.incarnation,
        versions=bytes((member.pmin, member.pmax, member.pcur, member.dmin, member.dmax, member.dcur)),
        status_ltime=member.status_ltime,
    )


def _told(address: str, reason: str) -> str:
    """The reason tells the address that was tried, which may be the one that was given."""
    return reason if reason.startswith(f"{address}: ") else f"{address}: {reason}"
