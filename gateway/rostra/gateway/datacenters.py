"""``/v1/catalog/datacenters``: those whose servers the WAN pool knows, the nearest first.

https://developer.hashicorp.com/consul/api-docs/catalog#list-datacenters
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from rostra.clients.gossip import WAN
from rostra.errors import RostraError
from rostra.gateway.answer import Answer
from rostra.gateway.ask import Ask
from rostra.gateway.catalog import render_json
from rostra.gateway.nearness import distances_from
from rostra.gateway.settings import GatewaySettings
from rostra.gateway.upstreams import GossipDoor
from rostra.model.coordinates import Coordinate
from rostra.model.members import Member, MemberStatus
from rostra.model.servers import is_server


class DatacenterReads:
    """The one endpoint."""

    def __init__(self, gossip: GossipDoor, settings: GatewaySettings) -> None:
        self._gossip = gossip
        self._settings = settings

    async def datacenters(self, ask: Ask) -> Answer:
        """A client is not in the WAN pool, and knows its own datacenter only; so does a node whose gossip does not answer."""
        own = self._settings.datacenter
        try:
            members, _ = await self._gossip.list_members(WAN)
            coordinates = await self._gossip.list_coordinates(WAN)
        except RostraError:
            return render_json(ask, [own], self._settings)
        return render_json(ask, by_distance(own, f"{self._settings.node_name}.{own}", members, coordinates), self._settings)


def by_distance(own: str, node: str, members: Sequence[Member], coordinates: Mapping[str, Coordinate]) -> list[str]:
    """Datacenters with a living server, by the median round trip from ``node`` to their servers; ``own`` is first, unknown ones last."""
    distance = distances_from(node, coordinates)
    trips: dict[str, list[float]] = {}
    for member in members:
        datacenter = member.tags.get("dc", "")
        if member.status is MemberStatus.ALIVE and datacenter != own and is_server(member.tags, datacenter):
            trips.setdefault(datacenter, []).append(distance(member.name) if distance is not None else math.inf)
    return [own, *sorted(trips, key=lambda datacenter: (statistics.median(trips[datacenter]), datacenter))]
