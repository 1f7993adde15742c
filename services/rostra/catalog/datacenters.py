"""The other datacenters, as the WAN pool shows them, and the way there: what is for one of them is handed on to a server of it.

https://developer.hashicorp.com/consul/api-docs/catalog#list-datacenters
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from grpc import aio

from rostra.clients.gossip import WAN
from rostra.errors import NoPath, RostraError
from rostra.model.coordinates import Coordinate
from rostra.model.identity import Identity
from rostra.model.members import Member, MemberStatus
from rostra.model.nearness import distances_from
from rostra.model.servers import Datacenter, is_server, server_address
from rostra.rpc.companions import Companions
from rostra.rpc.status import error_from_rpc
from rostra.v1 import catalog_pb2_grpc

ConnectElsewhere = Callable[[str, str], aio.Channel]
"""From HOST:PORT of a server and its datacenter to a channel."""


def nowhere(address: str, datacenter: str) -> aio.Channel:
    """For a catalog that reaches no server but its own."""
    raise NoPath


class Gossip(Protocol):
    """The part of the gossip client that is needed here."""

    async def list_members(self, pool: str = ...) -> tuple[Sequence[Member], bool]: ...

    async def list_coordinates(self, pool: str = ...) -> Mapping[str, Coordinate]: ...


class Datacenters:
    """``connect`` makes a channel to a server elsewhere; each is kept while its server is alive."""

    def __init__(self, identity: Identity, gossip: Gossip, connect: ConnectElsewhere, rng: random.Random) -> None:
        self._identity = identity
        self._gossip = gossip
        self._connect = connect
        self._rng = rng
        self._channels: dict[str, aio.Channel] = {}

    @property
    def own(self) -> str:
        """The datacenter of this server."""
        return self._identity.datacenter

    def is_elsewhere(self, datacenter: str) -> bool:
        """Whether what is for ``datacenter`` has to be handed on; empty means this one."""
        return datacenter.lower() not in ("", self._identity.datacenter.lower())

    async def list(self) -> Sequence[Datacenter]:
        """Nearest first; this one alone where there is no WAN pool, or gossip does not answer."""
        own = self._identity.datacenter
        try:
            members, _ = await self._gossip.list_members(WAN)
            coordinates = await self._gossip.list_coordinates(WAN)
        except RostraError:
            return [Datacenter(own)]
        return by_distance(own, f"{self._identity.name}.{own}", members, coordinates)

    async def node_coordinates(self) -> Mapping[str, Coordinate]:
        """Where the nodes of this datacenter are, by name. Raises ``Unavailable``."""
        return await self._gossip.list_coordinates()

    async def hand_on(self, method: str, request: Any, datacenter: str, timeout_s: float | None) -> Any:
        """The answer of a server there to a unary call of CatalogService. Raises ``NoPath``."""
        stub = catalog_pb2_grpc.CatalogServiceStub(await self._channel(datacenter))
        try:
            return await getattr(stub, method)(request, timeout=timeout_s)
        except aio.AioRpcError as error:
            raise error_from_rpc(error) from None

    async def carry(
        self, service: Callable[[aio.Channel], Any], method: str, datacenter: str, first: Any, more: Any = None
    ) -> AsyncGenerator[Any, None]:
        """The answers of a server there to ``first``, or to a stream that opens with it and goes on with ``more``. ``service`` makes the
        stub. Raises ``NoPath``."""
        start: Any = getattr(service(await self._channel(datacenter)), method)
        call: Any = start(first) if more is None else start()
        try:
            async with Companions() as companions:
                if more is not None:
                    await call.write(first)
                    companions.start(_pump(more, call), f"catalog: {method} to {datacenter}")
                async for answer in call:
                    yield answer
        except aio.AioRpcError as error:
            raise error_from_rpc(error) from None
        finally:
            call.cancel()

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def _channel(self, datacenter: str) -> aio.Channel:
        known = {each.name.lower(): each for each in await self.list()}
        there = known.get(datacenter.lower())
        if there is None or not there.servers:
            raise NoPath
        alive = {address for each in known.values() for address in each.servers}
        for address in self._channels.keys() - alive:
            await self._channels.pop(address).close()
        address = self._rng.choice(there.servers)
        if address not in self._channels:
            self._channels[address] = self._connect(address, there.name)
        return self._channels[address]


async def _pump(requests: Any, call: Any) -> None:
    try:
        async for request in requests:
            await call.write(request)
        await call.done_writing()
    except (aio.AioRpcError, asyncio.InvalidStateError):
        pass  # the other direction says why


def by_distance(own: str, node: str, members: Sequence[Member], coordinates: Mapping[str, Coordinate]) -> Sequence[Datacenter]:
    """Datacenters with a living server, by the median round trip from ``node`` to their servers; ``own`` is first, unknown ones last."""
    distance = distances_from(node, coordinates)
    servers: dict[str, list[str]] = {own: []}
    trips: dict[str, list[float]] = {}
    for member in sorted(members, key=lambda member: member.name):
        datacenter = member.tags.get("dc", "")
        if member.status is MemberStatus.ALIVE and is_server(member.tags, datacenter):
            servers.setdefault(datacenter, []).append(server_address(member))
            trips.setdefault(datacenter, []).append(distance(member.name) if distance is not None else math.inf)
    others = sorted(trips.keys() - {own}, key=lambda datacenter: (statistics.median(trips[datacenter]), datacenter))
    return [Datacenter(datacenter, servers[datacenter]) for datacenter in (own, *others)]


Method = Callable[[Any, Any, Any], Awaitable[Any]]


def in_any_datacenter(method: Method) -> Method:
    """For methods of a servicer with ``datacenters``: a request that names another datacenter is answered by a server there."""

    async def answer(servicer: Any, request: Any, context: Any) -> Any:
        datacenters: Datacenters = servicer.datacenters
        datacenter = request.header.datacenter
        if not datacenters.is_elsewhere(datacenter):
            return await method(servicer, request, context)
        return await datacenters.hand_on(method.__name__, request, datacenter, context.time_remaining())

    return answer
