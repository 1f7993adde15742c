"""``/v1/coordinate``: where the nodes are, as gossip on this agent has learned it.

https://developer.hashicorp.com/consul/api-docs/coordinate. Consul's servers keep coordinates in the catalog; here they stay with gossip, so
that lists do not block: their index is always 1. Those of another datacenter are a server's there.
"""

from __future__ import annotations

from msgspec import Struct, field

from rostra.clients.gossip import LAN, WAN
from rostra.errors import NoPath
from rostra.gateway.answer import Answer
from rostra.gateway.ask import Ask
from rostra.gateway.catalog import render_json
from rostra.gateway.elsewhere import Datacenters, no_path, other_datacenter
from rostra.gateway.reads import contact_headers
from rostra.gateway.settings import GatewaySettings
from rostra.gateway.upstreams import GossipDoor
from rostra.model.coordinates import Coordinate
from rostra.views.reader import Reader


class CoordinateRecord(Struct, rename="pascal"):
    """A network coordinate."""

    vec: tuple[float, ...]
    error: float
    adjustment: float
    height: float


class NodeCoordinateRecord(Struct, rename="pascal"):
    """A node's coordinate."""

    node: str
    segment: str
    coord: CoordinateRecord


class AreaRecord(Struct, rename="pascal"):
    """The servers of a datacenter."""

    datacenter: str
    area_id: str = field(name="AreaID")
    coordinates: list[NodeCoordinateRecord]


def coordinate_record(coordinate: Coordinate) -> CoordinateRecord:
    return CoordinateRecord(coordinate.vector, coordinate.error, coordinate.adjustment, coordinate.height)


class CoordinateReads:
    """Each method is an endpoint."""

    def __init__(self, gossip: GossipDoor, reader: Reader, datacenters: Datacenters, settings: GatewaySettings) -> None:
        self._gossip = gossip
        self._reader = reader
        self._datacenters = datacenters
        self._settings = settings

    async def datacenters(self, ask: Ask) -> Answer:
        """The servers in the WAN pool, where a name ends in the datacenter."""
        areas: dict[str, list[NodeCoordinateRecord]] = {}
        for name, coordinate in sorted((await self._gossip.list_coordinates(WAN)).items()):
            node, _, datacenter = name.rpartition(".")
            areas.setdefault(datacenter, []).append(NodeCoordinateRecord(node, "", coordinate_record(coordinate)))
        return render_json(ask, [AreaRecord(datacenter, "wan", found) for datacenter, found in areas.items()], self._settings)

    async def nodes(self, ask: Ask) -> Answer:
        return self._answer(ask, await self._found(ask))

    async def node(self, ask: Ask) -> Answer:
        """404 for a node without a coordinate. The case of its name does not matter, as everywhere."""
        found = [each for each in await self._found(ask) if each.node.lower() == ask.tail.lower()]
        return self._answer(ask, found) if found else Answer(404)

    async def _found(self, ask: Ask) -> list[NodeCoordinateRecord]:
        if ask.parameters.get("segment"):
            return []  # there are none
        datacenter = other_datacenter(ask.parameters.get("dc"), self._settings.datacenter)
        try:
            coordinates = await (self._datacenters.coordinates(datacenter) if datacenter else self._gossip.list_coordinates(LAN))
        except NoPath as error:
            raise no_path() from error
        return [NodeCoordinateRecord(name, "", coordinate_record(coordinate)) for name, coordinate in sorted(coordinates.items())]

    def _answer(self, ask: Ask, found: list[NodeCoordinateRecord]) -> Answer:
        answer = render_json(ask, found, self._settings)
        return Answer(answer.status, (*answer.headers, *contact_headers(1, self._reader.contact)), answer.body)
