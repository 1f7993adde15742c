"""``rostra rtt``: the round trip between two nodes, as their network coordinates estimate it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rostra.cli import exits
from rostra.cli.flags import Parser, add_http_flags
from rostra.cli.http_api import Api
from rostra.errors import BadRequest, NotFound

Coordinate = Mapping[str, Any]
"""As the API shows it."""


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "rtt",
        """
        Estimates the round trip between two nodes from their network coordinates, which gossip
        learns from its probes; nothing is sent between them. Without a second node, it is
        the one of the agent that is asked.
        """,
        arguments="NODE1 [NODE2]",
    )
    add_http_flags(parser)
    parser.switch("wan", "The nodes are servers of any datacenter, named NAME.DATACENTER.")
    options = parser.parse(arguments)
    names = options.arguments
    if not 1 <= len(names) <= 2:
        raise BadRequest("One or two node names must be specified; rostra rtt -h shows how")
    if options.wan and not all("." in name for name in names):
        raise BadRequest("Node names must be specified as <node name>.<datacenter> with -wan")
    api = Api(options)
    if len(names) == 1:
        names = [names[0], _own_name(api, is_wan=options.wan)]
    known = _wan_coordinates(api) if options.wan else _lan_coordinates(api)
    for name in names:
        if name not in known:
            raise NotFound(f'Could not find a coordinate for node "{name}"')
    trip_s = distance_s(known[names[0]], known[names[1]])
    print(f"Estimated {names[0]} <-> {names[1]} rtt: {trip_s * 1000:.3f} ms (using {'WAN' if options.wan else 'LAN'} coordinates)")
    return exits.OK


def distance_s(one: Coordinate, other: Coordinate) -> float:
    """Seconds, by Consul's page "Network Coordinates": heights are added, and adjustments where the sum stays positive."""
    raw: float = math.dist(one["Vec"], other["Vec"]) + one["Height"] + other["Height"]
    adjusted: float = raw + one["Adjustment"] + other["Adjustment"]
    return adjusted if adjusted > 0 else raw


def _own_name(api: Api, *, is_wan: bool) -> str:
    own = api.get("/v1/agent/self", "looking up agent info", dict)["Config"]
    return f"{own['NodeName']}.{own['Datacenter']}" if is_wan else str(own["NodeName"])


def _lan_coordinates(api: Api) -> dict[str, Coordinate]:
    return {node["Node"]: node["Coord"] for node in api.get("/v1/coordinate/nodes", "getting coordinates", list)}


def _wan_coordinates(api: Api) -> dict[str, Coordinate]:
    areas = api.get("/v1/coordinate/datacenters", "getting coordinates", list)
    return {f"{node['Node']}.{area['Datacenter']}": node["Coord"] for area in areas for node in area["Coordinates"]}
