"""``?dc=``: another datacenter is read and written through views of it; one without a way there is Consul's error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rostra.model.catalog import Node, Registration, Service
from rostra.model.coordinates import Coordinate

from .conftest import World

READS = (
    "/v1/catalog/nodes",
    "/v1/catalog/services",
    "/v1/catalog/service/web",
    "/v1/catalog/node/n2",
    "/v1/catalog/node-services/n2",
    "/v1/health/node/n2",
    "/v1/health/checks/web",
    "/v1/health/service/web",
    "/v1/health/state/any",
)


def at(seconds: float) -> Coordinate:
    return Coordinate(vector=(seconds, *[0.0] * 7), height=0.0)


async def shown(world: World, path: str) -> Any:
    """What a read answers."""
    answer = await world.get(path)
    assert answer.status == 200, answer.text
    return answer.json


@pytest.fixture
def there(world: World) -> World:
    world.hub.register("n1")
    world.datacenters.hubs["dc2"].register("n2", "web")
    return world


async def test_reads_show_the_other_datacenter_and_name_it(there: World) -> None:
    nodes = await shown(there, "/v1/catalog/nodes?dc=dc2")
    assert [(node["Node"], node["Datacenter"]) for node in nodes] == [("n2", "dc2")]
    assert list(await shown(there, "/v1/catalog/services?dc=DC2")) == ["web"]
    (instance,) = await shown(there, "/v1/health/service/web?dc=dc2&passing")
    assert instance["Node"]["Datacenter"] == "dc2"
    assert [node["Node"] for node in (await shown(there, "/v1/catalog/nodes?dc=dc1"))] == ["n1"]


async def test_node_meta_and_filters_work_there_too(there: World) -> None:
    there.datacenters.hubs["dc2"].apply(Registration(Node("n3", "10.0.0.3", meta={"rack": "r1"}), service=Service("db", "db")))
    assert list(await shown(there, "/v1/catalog/services?dc=dc2&node-meta=rack:r1")) == ["db"]
    nodes = await shown(there, '/v1/catalog/nodes?dc=dc2&filter=Meta.rack=="r1"')
    assert [node["Node"] for node in nodes] == ["n3"]


async def test_near_orders_by_where_the_nodes_there_are_and_never_from_here(there: World) -> None:
    there.datacenters.hubs["dc2"].register("n1")
    there.datacenters.hubs["dc2"].register("n3")
    there.gossip.coordinates = {name: at(far) for name, far in (("n1", 0.0), ("n2", 0.2), ("n3", 0.1))}
    there.datacenters.places = {name: at(far) for name, far in (("n1", 0.3), ("n2", 0.1), ("n3", 0.2))}
    for near, order in (
        ("n2", ["n2", "n3", "n1"]),
        ("n1", ["n1", "n3", "n2"]),
        ("_agent", ["n1", "n2", "n3"]),
        ("who", ["n1", "n2", "n3"]),
    ):
        nodes = await shown(there, f"/v1/catalog/nodes?dc=dc2&near={near}")
        assert [node["Node"] for node in nodes] == order, near


async def test_a_blocking_query_waits_for_a_change_there(there: World) -> None:
    index = (await there.get("/v1/catalog/nodes?dc=dc2")).index
    answer = await there.get(f"/v1/catalog/nodes?dc=dc2&index={index}&wait=10ms")
    assert answer.index == index
    there.datacenters.hubs["dc2"].register("n9")
    answer = await there.get(f"/v1/catalog/nodes?dc=dc2&index={index}&wait=10s")
    assert answer.index > index


async def test_writes_go_to_the_datacenter_that_is_named(there: World) -> None:
    body = {"Datacenter": "dc2", "Node": "made", "Address": "10.0.0.4"}
    assert (await there.put("/v1/catalog/register", json.dumps(body))).status == 200
    assert "made" in [node["Node"] for node in (await shown(there, "/v1/catalog/nodes?dc=dc2"))]
    assert "made" not in [node["Node"] for node in (await shown(there, "/v1/catalog/nodes"))]
    assert (await there.put("/v1/catalog/deregister?dc=dc2", json.dumps({"Node": "made"}))).status == 200
    assert "made" not in [node["Node"] for node in (await shown(there, "/v1/catalog/nodes?dc=dc2"))]


async def test_status_names_the_leader_and_the_servers_there(there: World) -> None:
    assert (await shown(there, "/v1/status/leader?dc=dc2")) == "127.0.0.1:8300"
    assert (await shown(there, "/v1/status/peers?dc=dc2")) == ["10.2.0.1:8300"]


async def test_the_datacenters_are_listed_nearest_first(there: World) -> None:
    assert (await shown(there, "/v1/catalog/datacenters")) == ["dc1", "dc2"]


@pytest.mark.parametrize("path", [*READS, "/v1/status/leader", "/v1/status/peers"])
async def test_without_a_way_there_it_says_so_in_consul_s_words(there: World, path: str) -> None:
    answer = await there.get(f"{path}?dc=dc9")
    assert (answer.status, answer.text) == (500, "No path to datacenter")


@pytest.mark.parametrize("path", READS)
async def test_bad_parameters_are_refused_for_any_datacenter(there: World, path: str) -> None:
    assert (await there.get(f"{path}?dc=dc2&index=x")).status == 400
