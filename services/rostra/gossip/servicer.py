"""GossipService: proto to domain and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Protocol

from rostra.errors import BadRequest, Resync, Unavailable, Unsupported
from rostra.gossip.feed import Subscription
from rostra.gossip.joining import JoinResult
from rostra.gossip.pool import MemberWatch
from rostra.gossip.wire.serf_messages import UserEvent
from rostra.model.coordinates import Coordinate
from rostra.model.identity import Identity
from rostra.model.members import Member, MemberChange, MemberChangeKind, MemberStatus
from rostra.rpc.hello import make_hello
from rostra.v1 import common_pb2, gossip_pb2, gossip_pb2_grpc
from rostra.version import VERSION

SETTLED_POLL_S: Final = 0.25

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


class GossipPool(Protocol):
    """One pool, as the servicer needs it."""

    def members(self) -> Sequence[Member]: ...

    def watch(self) -> MemberWatch: ...

    def watch_user_events(self) -> Subscription[UserEvent]: ...

    def coordinates(self) -> Mapping[str, Coordinate]: ...

    def local_member(self) -> Member: ...

    async def join(self, addresses: Sequence[str]) -> Sequence[JoinResult]: ...

    def force_leave(self, name: str, *, prune: bool = False) -> None: ...

    def set_tags(self, tags: Mapping[str, str]) -> None: ...

    def user_event(self, name: str, payload: bytes, *, coalesce: bool = False) -> None: ...


class Gossip(Protocol):
    """The role, as the servicer needs it."""

    @property
    def identity(self) -> Identity: ...

    @property
    def pools(self) -> Mapping[str, GossipPool]: ...

    def pool_stats(self, name: str) -> Mapping[str, str]: ...

    def is_settled(self, name: str) -> bool: ...

    def port(self, name: str) -> int: ...

    def is_encrypted(self) -> bool: ...

    async def leave(self, pools: Sequence[str]) -> None: ...


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
                    encrypted=self._gossip.is_encrypted(),
                    stats=self._gossip.pool_stats(name),
                )
                for name in self._gossip.pools
            ],
        )

    async def ListMembers(self, request: gossip_pb2.ListMembersRequest, context: Any) -> gossip_pb2.ListMembersResponse:
        name, pool = self._pool(request.pool)
        members = sorted(pool.members(), key=lambda member: member.name)
        found = [member_to_proto(member) for member in members if request.status in (0, _STATUS[member.status])]
        return gossip_pb2.ListMembersResponse(members=found, settled=self._gossip.is_settled(name))

    async def WatchMembers(self, request: gossip_pb2.WatchMembersRequest, context: Any) -> AsyncIterator[gossip_pb2.WatchMembersResponse]:
        name, pool = self._pool(request.pool)
        yield gossip_pb2.WatchMembersResponse(hello=make_hello(self._gossip.identity, "gossip"))
        while True:
            watch = pool.watch()
            with watch.changes:
                settled = self._gossip.is_settled(name)
                members = [member_to_proto(member) for member in sorted(watch.snapshot, key=lambda member: member.name)]
                yield gossip_pb2.WatchMembersResponse(snapshot=gossip_pb2.MemberSnapshot(members=members, settled=settled))
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
            raise Unavailable("; ".join(f"{failure.address}: {failure.reason}" for failure in failures))
        return gossip_pb2.JoinResponse(joined=len(results) - len(failures), failures=failures)

    async def Leave(self, request: gossip_pb2.LeaveRequest, context: Any) -> gossip_pb2.LeaveResponse:
        everywhere = request.pool == gossip_pb2.POOL_UNSPECIFIED
        await self._gossip.leave(["wan", "lan"] if everywhere else [self._pool(request.pool)[0]])
        return gossip_pb2.LeaveResponse()

    async def ForceLeave(self, request: gossip_pb2.ForceLeaveRequest, context: Any) -> gossip_pb2.ForceLeaveResponse:
        if not request.name:
            raise BadRequest("name is required", field="name")
        self._pool(request.pool)[1].force_leave(request.name, prune=request.prune)
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
        name, pool = self._pool(request.pool)
        pool.user_event(request.name, request.payload, coalesce=request.coalesce)
        return gossip_pb2.SendUserEventResponse(ltime=int(self._gossip.pool_stats(name).get("event_time", "1")) - 1)

    async def WatchUserEvents(
        self, request: gossip_pb2.WatchUserEventsRequest, context: Any
    ) -> AsyncIterator[gossip_pb2.WatchUserEventsResponse]:
        _, pool = self._pool(request.pool)
        yield gossip_pb2.WatchUserEventsResponse(hello=make_hello(self._gossip.identity, "gossip"))
        while True:
            with pool.watch_user_events() as events:
                try:
                    async for event in events:
                        message = gossip_pb2.UserEvent(name=event.name, payload=event.payload, ltime=event.ltime, coalesce=event.coalesce)
                        yield gossip_pb2.WatchUserEventsResponse(user_event=message)
                except Resync:
                    yield gossip_pb2.WatchUserEventsResponse(lost=events.queue_max)

    async def ListKeys(self, request: gossip_pb2.ListKeysRequest, context: Any) -> gossip_pb2.ListKeysResponse:
        raise Unsupported("gossip encryption is not in this version")

    async def ChangeKey(self, request: gossip_pb2.ChangeKeyRequest, context: Any) -> gossip_pb2.ChangeKeyResponse:
        raise Unsupported("gossip encryption is not in this version")

    async def ListCoordinates(self, request: gossip_pb2.ListCoordinatesRequest, context: Any) -> gossip_pb2.ListCoordinatesResponse:
        _, pool = self._pool(request.pool)
        return gossip_pb2.ListCoordinatesResponse(
            coordinates=[
                gossip_pb2.MemberCoordinate(
                    name=name,
                    coordinate=gossip_pb2.Coordinate(vec=each.vector, error=each.error, adjustment=each.adjustment, height=each.height),
                )
                for name, each in sorted(pool.coordinates().items())
            ]
        )

    def _pool(self, number: gossip_pb2.Pool.ValueType) -> tuple[str, GossipPool]:
        name = _POOL_NAMES.get(number)
        if name is None:
            raise BadRequest(f"pool {number} is not one that this version knows", field="pool")
        if name not in self._gossip.pools:
            raise BadRequest("pool: a client is not in the WAN pool", field="pool")
        return name, self._gossip.pools[name]


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
