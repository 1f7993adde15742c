"""Catalog and health reads: fields, nulls, order, parameters. What a real Consul answers is compared in tests/interop/gateway."""

from __future__ import annotations

import pytest

from rostra.errors import Unavailable
from rostra.model.catalog import Check, HealthStatus, Node, Registration, Service
from rostra.model.coordinates import Coordinate

from .conftest import World


def fill(world: World) -> None:
    hub = world.hub
    hub.apply(Registration(Node("n1", "127.0.0.1", meta={"rack": "1"}), service=Service("web", "web", tags=("a", "B"), port=80)))
    hub.apply(Registration(Node("n2", "127.0.0.2", meta={"rack": "2"}), service=Service("web", "web", port=81)))
    node_check = Check("n2", "disk", "Disk", HealthStatus.CRITICAL)
    web_check = Check("n1", "web", "Web", HealthStatus.PASSING, service_id="web")
    hub.apply(Registration(Node("n2", "127.0.0.2", meta={"rack": "2"}), checks=(node_check,)))
    hub.apply(Registration(Node("n1", "127.0.0.1", meta={"rack": "1"}), checks=(web_check,)))


def names(answer: object, field: str = "Node") -> list[object]:
    assert isinstance(answer, list)
    return [item[field] for item in answer]


async def test_nodes_come_in_order_of_name_with_the_datacenter_and_null_for_empty_maps(world: World) -> None:
    world.hub.register("zoe")
    world.hub.register("ada")
    answer = await world.get("/v1/catalog/nodes")
    assert answer.text == (
        '[{"ID":"","Node":"ada","Address":"127.0.0.1","Datacenter":"dc1","TaggedAddresses":null,"Meta":null,"CreateIndex":2,"ModifyIndex":2},'
        '{"ID":"","Node":"zoe","Address":"127.0.0.1","Datacenter":"dc1","TaggedAddresses":null,"Meta":null,"CreateIndex":1,"ModifyIndex":1}]'
    )
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["vary"] == "Accept-Encoding"


async def test_pretty_indents_by_four_and_ends_the_line_whatever_its_value(world: World) -> None:
    world.hub.register("n1", "web")
    for target in ("/v1/catalog/services?pretty", "/v1/catalog/services?pretty=false"):
        assert (await world.get(target)).text == '{\n    "web": []\n}\n'


async def test_strings_are_escaped_as_go_escapes_them(world: World) -> None:
    world.hub.register("<a>&\u2028")
    assert '"Node":"\\u003ca\\u003e\\u0026\\u2028"' in (await world.get("/v1/catalog/nodes")).text


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/v1/catalog/service/none", "[]"),
        ("/v1/health/service/none", "[]"),
        ("/v1/health/checks/none", "[]"),
        ("/v1/health/node/none", "[]"),
        ("/v1/health/state/odd", "[]"),
        ("/v1/catalog/node/none", "null"),
        ("/v1/catalog/node-services/none", '{"Node":null,"Services":null}'),
        ("/v1/catalog/nodes", "[]"),
        ("/v1/catalog/services", "{}"),
    ],
)
async def test_nothing_is_null_or_an_empty_list_as_in_consul(world: World, target: str, expected: str) -> None:
    answer = await world.get(target)
    assert (answer.status, answer.text) == (200, expected)
    assert answer.index >= 1


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/v1/catalog/service/", "Missing service name"),
        ("/v1/health/service/", "Missing service name"),
        ("/v1/health/checks/", "Missing service name"),
        ("/v1/catalog/node/", "Missing node name"),
        ("/v1/catalog/node-services/", "Missing node name"),
        ("/v1/health/node/", "Missing node name"),
        ("/v1/health/state/", "Missing check state"),
    ],
)
async def test_a_missing_name_is_400(world: World, target: str, text: str) -> None:
    answer = await world.get(target)
    assert (answer.status, answer.text) == (400, text)


async def test_a_node_shows_its_services_by_id_or_as_a_list(world: World) -> None:
    fill(world)
    by_id = (await world.get("/v1/catalog/node/n1")).json
    as_list = (await world.get("/v1/catalog/node-services/n1")).json
    assert isinstance(by_id, dict)
    assert isinstance(as_list, dict)
    assert by_id["Node"] == as_list["Node"]
    assert list(by_id["Services"].values()) == as_list["Services"]


async def test_tags_are_all_required_and_their_case_does_not_matter(world: World) -> None:
    fill(world)
    assert names((await world.get("/v1/catalog/service/web?tag=b")).json) == ["n1"]
    assert names((await world.get("/v1/catalog/service/web?tag=a&tag=b")).json) == ["n1"]
    assert names((await world.get("/v1/catalog/service/web?tag=a&tag=c")).json) == []


async def test_passing_leaves_out_instances_with_any_check_that_does_not_pass(world: World) -> None:
    fill(world)
    for target, count in (("?passing", 1), ("?passing=true", 1), ("?passing=0", 2), ("", 2)):
        answer = (await world.get(f"/v1/health/service/web{target}")).json
        assert isinstance(answer, list)
        assert len(answer) == count, target
    refused = await world.get("/v1/health/service/web?passing=yes")
    assert (refused.status, refused.text) == (400, "Invalid value for ?passing")


async def test_health_of_a_service_holds_the_nodes_checks_and_then_its_own(world: World) -> None:
    fill(world)
    world.hub.apply(Registration(Node("n1", "127.0.0.1", meta={"rack": "1"}), checks=(Check("n1", "zz", "Node check"),)))
    answer = (await world.get("/v1/health/service/web")).json
    assert isinstance(answer, list)
    assert names(answer[0]["Checks"], "CheckID") == ["zz", "web"]
    assert names((await world.get("/v1/health/checks/web")).json, "CheckID") == ["web"]
    assert names((await world.get("/v1/health/node/n1")).json, "CheckID") == ["web", "zz"]


async def test_states_list_the_checks_in_them(world: World) -> None:
    fill(world)
    assert names((await world.get("/v1/health/state/any")).json, "CheckID") == ["web", "disk"]
    assert names((await world.get("/v1/health/state/critical")).json, "CheckID") == ["disk"]
    assert names((await world.get("/v1/health/state/any?node-meta=rack:1")).json, "CheckID") == ["web"]


async def test_node_meta_narrows_every_list(world: World) -> None:
    fill(world)
    assert names((await world.get("/v1/catalog/nodes?node-meta=rack:2")).json) == ["n2"]
    assert names((await world.get("/v1/catalog/nodes?node-meta=rack:2&node-meta=x:y")).json) == []
    assert names((await world.get("/v1/catalog/service/web?node-meta=rack:1")).json) == ["n1"]
    assert (await world.get("/v1/catalog/services?node-meta=rack:1")).text == '{"web":["B","a"]}'
    assert (await world.get("/v1/catalog/services?node-meta=rack:9")).text == "{}"


async def test_near_orders_by_round_trip_and_leaves_the_order_without_coordinates(world: World) -> None:
    for name in ("n1", "n2", "n3"):
        world.hub.register(name)
    assert names((await world.get("/v1/catalog/nodes?near=_agent")).json) == ["n1", "n2", "n3"]
    for name, place in (("n1", 0.0), ("n2", 0.9), ("n3", 0.1)):
        world.gossip.coordinates[name] = Coordinate(vector=(place, *[0.0] * 7))
    assert names((await world.get("/v1/catalog/nodes?near=_agent")).json) == ["n1", "n3", "n2"]
    assert names((await world.get("/v1/catalog/nodes?near=n2")).json) == ["n2", "n3", "n1"]
    assert names((await world.get("/v1/catalog/nodes?near=stranger")).json) == ["n1", "n2", "n3"]


async def test_another_datacenter_is_500_with_consuls_text(world: World) -> None:
    answer = await world.get("/v1/catalog/nodes?dc=elsewhere")
    assert (answer.status, answer.text) == (500, "No path to datacenter")
    assert (await world.get("/v1/catalog/nodes?dc=dc1")).status == 200
    assert (await world.get("/v1/catalog/datacenters")).text == '["dc1","dc2"]'


async def test_names_in_paths_are_percent_decoded_and_may_hold_slashes(world: World) -> None:
    world.hub.register("n1", "a/b c")
    for target in ("/v1/catalog/service/a%2Fb%20c", "/v1/catalog/service/a/b%20c"):
        assert names((await world.get(target)).json, "ServiceName") == ["a/b c"]


async def test_near_without_gossip_keeps_the_order(world: World) -> None:
    async def unreachable(_pool: str = "lan") -> dict[str, Coordinate]:
        raise Unavailable("gossip is not there")

    for name in ("n2", "n1"):
        world.hub.register(name)
    setattr(world.gossip, "list_coordinates", unreachable)
    assert names((await world.get("/v1/catalog/nodes?near=n2")).json) == ["n1", "n2"]
