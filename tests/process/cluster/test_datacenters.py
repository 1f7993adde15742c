"""Two datacenters, joined by the WAN pool of their servers: each is read, written and resolved from the other, from a client too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..harness.waiting import eventually
from .fleet import FORMS, Fleet, Node

pytestmark = [pytest.mark.process, pytest.mark.timeout(240), pytest.mark.interop("consul", "dig", "curl")]

SOON_S = 30.0
OPERATORS = (
    *(("GET", f"operator/autopilot/{what}") for what in ("configuration", "health", "state")),
    ("PUT", "operator/autopilot/configuration"),
    ("GET", "operator/raft/configuration"),
    ("DELETE", "operator/raft/peer"),
    ("POST", "operator/raft/transfer-leader"),
    ("GET", "snapshot"),
    ("PUT", "snapshot"),
)
BLOCKS = {form: 70 + 4 * number for number, form in enumerate(FORMS)}


@pytest.fixture(scope="module", params=FORMS)
def joined(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Fleet]]:
    """A server and a client in dc1, a server in dc2."""
    folder, block = tmp_path_factory.mktemp("datacenters"), BLOCKS[request.param]
    one = Fleet(folder, request.param, block=block, servers=1)
    two = Fleet(folder, request.param, block=block + 2, servers=1, datacenter="dc2")
    one.add_client("c1")
    try:
        one.start()
        two.start()
        near, far = one.servers[0], two.servers[0]
        near.consul("join", "-wan", f"{far.address}:{far.ports.serf_wan}")
        for node in (*one.nodes.values(), far):
            eventually(lambda node=node: len(node.api.get("/v1/catalog/datacenters").json()) == 2, SOON_S, node.node)  # type: ignore[misc]
        far.api.register("db-1", "10.2.0.1", Service={"Service": "db", "Port": 5432}, Check={"Name": "up", "Status": "passing"})
        yield one, two
    except BaseException as error:
        error.add_note(one.output + two.output)
        raise
    finally:
        one.stop()
        two.stop()


@pytest.fixture(params=["server", "client"])
def asker(joined: tuple[Fleet, Fleet], request: pytest.FixtureRequest) -> Node:
    """Who asks, in dc1."""
    one, _ = joined
    return one.servers[0] if request.param == "server" else one.nodes["c1"]


def test_the_wan_pool_shows_the_servers_of_both(joined: tuple[Fleet, Fleet]) -> None:
    for fleet in joined:
        rows = [line.split() for line in fleet.servers[0].consul("members", "-wan").splitlines()[1:]]
        assert sorted((row[0], row[2], row[3], row[6]) for row in rows) == [
            ("dc1-s1.dc1", "alive", "server", "dc1"),
            ("dc2-s1.dc2", "alive", "server", "dc2"),
        ]
        assert [line.split()[0] for line in fleet.servers[0].cli("members", "-wan").splitlines()[1:]] == ["dc1-s1.dc1", "dc2-s1.dc2"]


def test_the_datacenters_are_listed_with_the_own_one_first(joined: tuple[Fleet, Fleet], asker: Node) -> None:
    assert asker.consul("catalog", "datacenters").split() == ["dc1", "dc2"]
    assert joined[1].servers[0].consul("catalog", "datacenters").split() == ["dc2", "dc1"]


def test_reads_and_dns_of_the_other_datacenter_are_handed_on(asker: Node) -> None:
    assert "db-1" in asker.consul("catalog", "nodes", "-datacenter=dc2")
    assert "db" in asker.consul("catalog", "services", "-datacenter=dc2").split()
    (instance,) = asker.api.get("/v1/health/service/db?dc=dc2&passing").json()
    assert (instance["Node"]["Node"], instance["Node"]["Datacenter"]) == ("db-1", "dc2")
    assert asker.api.get("/v1/health/service/db").json() == []
    eventually(lambda: asker.dig("db.service.dc2.consul") == ["10.2.0.1"], SOON_S, "a dns role of its own has heard of the datacenter")
    assert asker.dig("db-1.node.dc2.consul") == ["10.2.0.1"]
    assert asker.dig("db.service.dc2.consul", "SRV") == ["1 1 5432 db-1.node.dc2.consul."]
    assert asker.dig("db.service.consul") == []
    assert asker.dns.code("db.service.dc9.consul") == "NXDOMAIN"


def test_writes_for_the_other_datacenter_are_handed_on_and_watches_of_it_wake(joined: tuple[Fleet, Fleet], asker: Node) -> None:
    far = joined[1].servers[0]
    index = asker.api.get("/v1/catalog/nodes?dc=dc2").headers["X-Consul-Index"]
    asker.api.register(f"by-{asker.node}", "10.2.0.9", Datacenter="dc2")
    watched = asker.api.get(f"/v1/catalog/nodes?dc=dc2&index={index}&wait=20s", within_s=25.0)
    assert f"by-{asker.node}" in [node["Node"] for node in watched.json()]
    assert f"by-{asker.node}" in far.nodes()
    assert f"by-{asker.node}" not in asker.nodes()


def test_operators_reach_the_other_datacenter_too(joined: tuple[Fleet, Fleet], asker: Node) -> None:
    far = joined[1].servers[0]
    assert asker.api.get("/v1/status/leader?dc=dc2").json() == far.server_address
    assert asker.api.get("/v1/operator/autopilot/state?dc=dc2").json()["Healthy"] is True
    assert asker.api.get("/v1/operator/autopilot/health?dc=dc2").json()["Servers"][0]["Name"] == far.node
    assert asker.consul("operator", "autopilot", "set-config", "-datacenter=dc2", "-max-trailing-logs=300") == "Configuration updated!\n"
    for program, datacenter, logs in ((asker.consul, "dc2", 300), (asker.cli, "dc2", 300), (asker.cli, "dc1", 250)):
        assert f"MaxTrailingLogs = {logs}" in program("operator", "autopilot", "get-config", f"-datacenter={datacenter}")
    asker.cli("operator", "autopilot", "set-config", "-datacenter=dc2", "-max-trailing-logs=250")
    for program in (asker.consul, asker.cli):
        (row,) = program("operator", "raft", "list-peers", "-datacenter=dc2").splitlines()[1:]
        assert (row.split()[0], row.split()[2], row.split()[4]) == (far.node, far.server_address, "true")
    (server,) = asker.api.get("/v1/operator/raft/configuration?dc=dc2&stale").json()["Servers"]
    assert server["ID"] != asker.api.get("/v1/operator/raft/configuration").json()["Servers"][0]["ID"]
    refused = asker.api.ask("DELETE", "/v1/operator/raft/peer?dc=dc2&address=10.9.9.9:8300")
    assert (refused.status_code, refused.text) == (404, 'address "10.9.9.9:8300" was not found in the Raft configuration')
    alone = asker.api.ask("POST", "/v1/operator/raft/transfer-leader?dc=dc2")
    assert (alone.status_code, "No path" in alone.text) == (400, False), "there is nobody to hand over to"


def test_a_backup_of_the_other_datacenter_is_saved_and_restored_from_here(joined: tuple[Fleet, Fleet], asker: Node, tmp_path: Path) -> None:
    far, file = joined[1].servers[0], tmp_path / "dc2.snap"
    here = asker.nodes()
    far.api.register("saved", "10.2.0.5")
    asker.cli("snapshot", "save", "-datacenter=dc2", str(file))
    assert re.search(r"Datacenter +dc2\n", asker.cli("snapshot", "inspect", str(file)))
    far.api.deregister("saved")
    asker.consul("snapshot", "restore", "-datacenter=dc2", str(file))
    assert "saved" in far.nodes()
    far.api.deregister("saved")
    assert asker.nodes() == here


def test_near_orders_nodes_by_where_they_are_there(asker: Node) -> None:
    by_name = [node["Node"] for node in asker.api.get("/v1/catalog/nodes?dc=dc2&near=_agent").json()]
    assert by_name == sorted(by_name)
    assert by_name.index("db-1") < by_name.index("dc2-s1")
    by_distance = [node["Node"] for node in asker.api.get("/v1/catalog/nodes?dc=dc2&near=dc2-s1").json()]
    assert by_distance[0] == "dc2-s1", "of the rest nobody knows where they are"


def test_coordinates_are_those_of_the_datacenter_that_is_asked_for(joined: tuple[Fleet, Fleet], asker: Node) -> None:
    one, two = joined
    for query, fleet in (("", one), ("?dc=dc1", one), ("?dc=dc2", two)):
        found = [each["Node"] for each in asker.api.get(f"/v1/coordinate/nodes{query}").json()]
        assert found == sorted(fleet.nodes)
    far = two.servers[0].node
    assert asker.api.get(f"/v1/coordinate/node/{far}?dc=dc2").json()[0]["Node"] == far
    assert asker.api.get(f"/v1/coordinate/node/{far}").status_code == 404
    assert asker.curl("/v1/coordinate/nodes?dc=dc9") == (500, "No path to datacenter")


def test_no_path_is_consul_s_error(asker: Node) -> None:
    assert asker.curl("/v1/catalog/nodes?dc=dc9") == (500, "No path to datacenter")
    answer = asker.api.put("/v1/catalog/register", {"Datacenter": "dc9", "Node": "n", "Address": "10.0.0.1"})
    assert (answer.status_code, answer.text) == (500, "No path to datacenter")
    for method, path in OPERATORS:
        answer = asker.api.ask(method, f"/v1/{path}?dc=dc9&id=x", {} if method == "PUT" else None)
        assert (answer.status_code, answer.text) == (500, "No path to datacenter"), path


def test_a_datacenter_whose_servers_are_gone_has_no_path_until_they_are_back(joined: tuple[Fleet, Fleet]) -> None:
    one, two = joined
    far, client = two.servers[0], one.nodes["c1"]
    far.kill()
    eventually(lambda: client.curl("/v1/catalog/nodes?dc=dc2") == (500, "No path to datacenter"), 60.0, "no path")
    assert client.consul("catalog", "datacenters").split() == ["dc1"]
    two.start()
    eventually(lambda: "db-1" in client.nodes("?dc=dc2"), 60.0, "the way is back by itself")
    eventually(lambda: client.dig("db.service.dc2.consul") == ["10.2.0.1"], SOON_S, "in DNS too")
