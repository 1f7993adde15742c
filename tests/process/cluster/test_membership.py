"""Members that leave, crash, return and are forced out: what gossip, catalog and DNS say of them, to real clients too."""

from __future__ import annotations

import shutil
import threading
import time
from typing import Any

import httpx
import pytest

from ..harness.callers import Call, Callers
from ..harness.waiting import eventually
from .fleet import ROLES_APART, Fleet, Node

pytestmark = [pytest.mark.process, pytest.mark.timeout(240), pytest.mark.interop("consul", "dig", "curl")]

SOON_S = 30.0
"""For what takes seconds when nobody else uses the machine."""
FAILOVER_S = 1.0
BUSY_S = 1.5
"""What a busy machine may add to a promise of a second."""
ELECTION_S = 1.5
HOLD_S = 7.0


@pytest.fixture
def client(fleet: Fleet) -> Node:
    """A client agent with a service whose check passes, which DNS knows at every server."""
    client = fleet.nodes["c1"]
    body = {"Name": "web", "Port": 80, "Check": {"CheckID": "web-ttl", "TTL": "10m", "Status": "passing"}}
    assert client.api.put("/v1/agent/service/register", body).status_code == 200
    assert client.api.put("/v1/agent/check/pass/web-ttl").status_code == 200
    for node in fleet.nodes.values():
        eventually(lambda node=node: node.dig("web.service.consul") == [client.address], SOON_S, f"DNS of {node.node}")  # type: ignore[misc]
    return client


def said_by_consul(node: Node, name: str) -> str:
    """The status in the table of the real ``consul members``."""
    rows = [line.split() for line in node.consul("members").splitlines()]
    return next((row[2] for row in rows if row[0] == name), "")


def said_to_be_nodes(node: Node) -> list[str]:
    """Names in the table of the real ``consul catalog nodes``."""
    return sorted(line.split()[0] for line in node.consul("catalog", "nodes").splitlines()[1:])


def test_real_clients_see_the_fleet_from_any_node(fleet: Fleet, client: Node) -> None:
    names = sorted(fleet.nodes)
    for node in fleet.nodes.values():
        rows = [line.split() for line in node.consul("members").splitlines()[1:]]
        assert sorted((row[0], row[2], row[3]) for row in rows) == sorted(
            (each.node, "alive", "client" if each is client else "server") for each in fleet.nodes.values()
        )
        assert said_to_be_nodes(node) == names
        assert sorted(node.consul("catalog", "services").split()) == ["consul", "web"]
        assert node.dig("consul.service.consul") == sorted(server.address for server in fleet.servers)
        assert node.dig(f"{client.node}.node.consul") == [client.address]
        status, body = node.curl("/v1/status/leader")
        assert (status, body) == (200, f'"{fleet.leader().server_address}"')


def test_a_client_that_leaves_is_left_and_gone_from_the_catalog_and_comes_back_with_its_services(fleet: Fleet, client: Node) -> None:
    client.leave()
    for server in fleet.servers:
        eventually(lambda server=server: said_by_consul(server, client.node) == "left", SOON_S, "left")  # type: ignore[misc]
        eventually(lambda server=server: client.node not in said_to_be_nodes(server), SOON_S, "gone")  # type: ignore[misc]
        assert "web" not in server.consul("catalog", "services").split()
        assert server.api.get("/v1/health/service/web").json() == []
        assert server.api.get(f"/v1/health/node/{client.node}").json() == []
        eventually(lambda server=server: server.dig("web.service.consul") == [], SOON_S, "out of DNS")  # type: ignore[misc]
    fleet.start()
    eventually(lambda: fleet.leader().dig("web.service.consul") == [client.address], SOON_S, "its services were kept on disk")


def test_a_client_that_is_killed_is_failed_and_critical_and_out_of_dns_but_kept_and_passing_once_it_is_back(
    fleet: Fleet, client: Node
) -> None:
    client.kill()
    for server in fleet.servers:
        eventually(lambda server=server: said_by_consul(server, client.node) == "failed", SOON_S, "failed")  # type: ignore[misc]
        eventually(lambda server=server: server.serf_health(client.node) == "critical", SOON_S, "critical")  # type: ignore[misc]
        eventually(lambda server=server: server.dig("web.service.consul") == [], SOON_S, "out of DNS")  # type: ignore[misc]
        assert client.node in server.nodes()
        instances = server.api.get("/v1/health/service/web").json()
        assert [instance["Node"]["Node"] for instance in instances] == [client.node], "still in the catalog"
    fleet.start()
    for server in fleet.servers:
        eventually(lambda server=server: server.serf_health(client.node) == "passing", SOON_S, "passing")  # type: ignore[misc]
        eventually(lambda server=server: server.dig("web.service.consul") == [client.address], SOON_S, "in DNS again")  # type: ignore[misc]


def test_a_failed_member_that_is_forced_to_leave_is_left_and_gone_and_may_come_back(fleet: Fleet, client: Node) -> None:
    client.kill()
    asked, leader = fleet.followers()[0], fleet.leader()
    eventually(lambda: asked.status_of(client.node) == "failed", SOON_S, "failed")
    asked.consul("force-leave", client.node)
    for server in fleet.servers:
        eventually(lambda server=server: server.status_of(client.node) == "left", SOON_S, "left")  # type: ignore[misc]
    eventually(lambda: client.node not in leader.nodes(), SOON_S, "gone")
    fleet.start()
    assert client.node in leader.nodes()


def upstream_of(client: Node) -> str:
    """The address of the server that the client's gateway lives on, as it said last."""
    process = client.running.get("gateway") or client.only
    lines = [line for line in list(process.lines) if "catalog found: upstream=" in line]
    return lines[-1].partition("upstream=")[2].split()[0]


def test_a_client_of_a_small_fleet_lives_on_the_leader(fleet: Fleet, client: Node) -> None:
    eventually(lambda: upstream_of(client) == fleet.leader().server_address, SOON_S, "the client lives on the leader")


def test_a_client_whose_server_dies_is_on_another_within_a_second(fleet: Fleet, client: Node) -> None:
    """Where its server was the leader too, reads wait for the next one to be elected."""
    victim = next(server for server in fleet.servers if server.server_address == upstream_of(client))
    limit_s = FAILOVER_S + BUSY_S + (ELECTION_S if victim is fleet.leader() else 0.0)
    calls = {"default": Call("/v1/catalog/nodes", limit_s, must_succeed=True),
             "stale": Call("/v1/health/service/web?stale", FAILOVER_S, must_succeed=True)}  # fmt: skip
    with Callers(client.http_address, calls) as callers:
        eventually(lambda: all(record.done > 20 for record in callers.records.values()), SOON_S)
        victim.kill()
        done = callers.records["default"].done
        eventually(lambda: callers.records["default"].done > done + 50, SOON_S)
    assert upstream_of(client) != victim.server_address


def test_a_client_whose_server_hangs_reads_and_writes_by_another_within_a_second(fleet: Fleet, client: Node) -> None:
    """As when its host loses power: no connection breaks. Where its server was the leader too, the next one is to be elected."""
    victim = next(server for server in fleet.servers if server.server_address == upstream_of(client))
    limit_s = FAILOVER_S + BUSY_S + (ELECTION_S if victim is fleet.leader() else 0.0)
    calls = {"default": Call("/v1/catalog/nodes", limit_s, must_succeed=True),
             "stale": Call("/v1/health/service/web?stale", FAILOVER_S, must_succeed=True)}  # fmt: skip
    with Callers(client.http_address, calls) as callers:
        eventually(lambda: all(record.done > 20 for record in callers.records.values()), SOON_S)
        victim.hang()
        try:
            client.api.register("while-it-hangs", "127.0.0.1")
            done = callers.records["default"].done
            eventually(lambda: callers.records["default"].done > done + 50, SOON_S)
            assert upstream_of(client) != victim.server_address
        finally:
            victim.go_on()
    client.api.deregister("while-it-hangs")


def test_no_client_sees_a_failed_write_while_the_leading_server_leaves_and_it_returns_under_the_same_command(
    fleet: Fleet, client: Node
) -> None:
    leader = fleet.leader()
    time.sleep(2.5)  # autopilot looks every second: one that left before its first look would be taken in again for a moment
    stop = threading.Event()
    done: list[str] = []
    failed: list[str] = []

    def write(node: Node) -> None:
        with httpx.Client(trust_env=False, timeout=60.0) as http:
            while not stop.is_set():
                name = f"w-{node.node}-{len(done)}"
                body = {"Node": "written", "Address": "127.0.0.1", "SkipNodeUpdate": True, "Service": {"Service": name}}
                answer = http.put(f"http://{node.http_address}/v1/catalog/register", json=body)
                (done if answer.status_code == 200 else failed).append(f"{name} {answer.status_code} {answer.text}")

    writers = [threading.Thread(target=write, args=(node,), daemon=True) for node in (client, *fleet.followers())]
    for writer in writers:
        writer.start()
    try:
        eventually(lambda: len(done) > 10, SOON_S)
        leader.leave()
        before = len(done)
        eventually(lambda: len(done) > before + 10, SOON_S, "writes go on")
    finally:
        stop.set()
        for writer in writers:
            writer.join(90)
    assert failed == []
    new = fleet.leader()
    assert new is not leader
    assert said_by_consul(new, leader.node) == "left"
    eventually(lambda: leader.node not in new.nodes(), SOON_S, "its node is gone")
    assert len(new.api.get("/v1/status/peers").json()) == 2
    fleet.start()
    assert len(new.api.get("/v1/status/peers").json()) == 3
    services = leader.api.get("/v1/catalog/services").json()
    assert {name.split()[0] for name in done} <= set(services), "acknowledged is there, on the one that was away too"
    assert client.api.put("/v1/catalog/deregister", {"Node": "written"}).status_code == 200


def test_without_a_quorum_members_answers_default_reads_say_no_leader_and_stale_ones_answer(fleet: Fleet, client: Node) -> None:
    left = fleet.leader()
    gone = [server for server in fleet.servers if server is not left]
    for server in gone:
        server.kill()
    for node in (left, client):
        eventually(lambda node=node: said_by_consul(node, gone[0].node) == "failed", SOON_S, "members still answers")  # type: ignore[misc]
        status, body = node.curl("/v1/catalog/nodes")
        assert (status, body) == (500, "No cluster leader")
        status, body = node.curl("/v1/catalog/nodes?stale")
        assert status == 200
        assert client.node in body
        assert node.api.get("/v1/catalog/nodes?stale").headers["X-Consul-Knownleader"] == "false"
        assert node.dig("web.service.consul") == [client.address]
        refused = node.api.put("/v1/catalog/register", {"Node": "never", "Address": "127.0.0.1"}, within_s=HOLD_S + 5.0)
        assert refused.status_code == 500
    assert client.api.put("/v1/agent/service/register", {"Name": "meanwhile", "Port": 81}).status_code == 200
    assert client.api.put("/v1/agent/check/fail/web-ttl").status_code == 200
    fleet.start()
    assert "never" not in left.nodes()
    eventually(lambda: left.api.get("/v1/catalog/service/meanwhile").json(), SOON_S, "what the agent took without a leader is not lost")
    eventually(lambda: left.dig("web.service.consul") == [], SOON_S, "nor is what became of a check")
    assert client.api.put("/v1/agent/service/deregister/meanwhile").status_code == 200
    assert client.node in left.nodes()


def test_two_writers_at_two_nodes_are_seen_by_every_reader_as_soon_as_they_are_told(fleet: Fleet, client: Node) -> None:
    """Each write that was acknowledged is in the next default read of any node, and a watch ends with what a direct read shows."""
    wrong: list[str] = []
    readers = [*fleet.servers, client]

    def write(node: Node, label: str) -> None:
        with httpx.Client(trust_env=False, timeout=60.0) as http:
            for number in range(40):
                body = {"Node": f"{label}-{number % 7}", "Address": "127.0.0.1", "NodeMeta": {"number": str(number)}}
                assert http.put(f"http://{node.http_address}/v1/catalog/register", json=body).status_code == 200
                reader = readers[number % len(readers)]
                nodes = http.get(f"http://{reader.http_address}/v1/catalog/nodes").json()
                meta = next((each["Meta"] for each in nodes if each["Node"] == body["Node"]), None)
                if meta != body["NodeMeta"]:
                    wrong.append(f"{reader.node} shows {meta} after {body}")

    watched: dict[str, object] = {}

    def watch(node: Node) -> None:
        index = 0
        with httpx.Client(trust_env=False, timeout=60.0) as http:
            while not stop.is_set():
                answer = http.get(f"http://{node.http_address}/v1/catalog/nodes?index={index}&wait=1s")
                new = int(answer.headers["X-Consul-Index"])
                assert new >= index, "an index went back"
                index = new
                watched[node.node] = answer.json()

    stop = threading.Event()
    writers = [threading.Thread(target=write, args=(node, label)) for node, label in ((client, "x"), (fleet.followers()[0], "y"))]
    watchers = [threading.Thread(target=watch, args=(node,)) for node in readers]
    for thread in (*watchers, *writers):
        thread.start()
    for writer in writers:
        writer.join(120)
    direct = fleet.leader().api.get("/v1/catalog/nodes?consistent").json()
    try:
        assert wrong == []
        eventually(lambda: all(watched.get(node.node) == direct for node in readers), SOON_S, "every watch shows the same")
    finally:
        stop.set()
        for watcher in watchers:
            watcher.join(90)
        for name in [f"{label}-{number}" for label in "xy" for number in range(7)]:
            client.api.deregister(name)


@pytest.mark.parametrize("started", [ROLES_APART], indirect=True, scope="module")
def test_gossip_that_restarts_alone_costs_the_fleet_none_of_its_registrations(fleet: Fleet, client: Node) -> None:
    leader = fleet.leader()
    before = {node["Node"]: node["CreateIndex"] for node in leader.api.get("/v1/catalog/nodes").json()}
    for server in fleet.servers:
        server.running["gossip"].kill()
    for server in fleet.servers:
        server.bring_back("gossip")
        assert {node["Node"]: node["CreateIndex"] for node in leader.api.get("/v1/catalog/nodes").json()} == before
    fleet.wait_until_whole()
    assert {node["Node"]: node["CreateIndex"] for node in leader.api.get("/v1/catalog/nodes").json()} == before
    assert leader.dig("web.service.consul") == [client.address]


def test_operators_see_and_change_how_the_servers_are_kept_from_any_node(fleet: Fleet, client: Node) -> None:
    follower = fleet.followers()[0]
    assert "CleanupDeadServers = true" in follower.consul("operator", "autopilot", "get-config")
    assert client.consul("operator", "autopilot", "set-config", "-max-trailing-logs=300") == "Configuration updated!\n"
    for node in fleet.nodes.values():
        eventually(lambda node=node: "MaxTrailingLogs = 300" in node.cli("operator", "autopilot", "get-config"), SOON_S, node.node)  # type: ignore[misc]
    health = eventually(lambda: _healthy(client), SOON_S, "every server is well")
    assert sorted(server["Name"] for server in health["Servers"]) == sorted(server.node for server in fleet.servers)
    assert [server["Name"] for server in health["Servers"] if server["Leader"]] == [fleet.leader().node]
    assert health["FailureTolerance"] == 1
    follower.kill()
    eventually(lambda: client.api.get("/v1/operator/autopilot/health").status_code == 429, SOON_S, "it is told that one is not")
    state = client.api.get("/v1/operator/autopilot/state").json()
    assert [server["Name"] for server in state["Servers"].values() if not server["Healthy"]] == [follower.node]
    assert follower.node in client.cli("operator", "autopilot", "state")


def _healthy(node: Node) -> Any:
    answer = node.api.get("/v1/operator/autopilot/health")
    return answer.json() if answer.status_code == 200 else None


def test_a_clone_of_a_living_node_takes_nothing_from_it(fleet: Fleet, client: Node) -> None:
    """A machine image with a data folder in it, started under another name: the ID is the first one's, whoever leads."""
    client.kill()
    clone = fleet.add_client("clone")
    assert client.data is not None
    assert clone.data is not None
    shutil.copytree(client.data, clone.data, ignore=shutil.ignore_patterns("*.sock"))
    del fleet.nodes[clone.node]
    fleet.start()
    leader = fleet.leader()
    eventually(lambda: leader.dig("web.service.consul") == [client.address], SOON_S, "the first is back")
    before = next(node for node in leader.api.get("/v1/catalog/nodes").json() if node["Node"] == client.node)
    missed = f"member '{client.node}' failed"
    times_missed = fleet.output.count(missed)
    try:
        for name in clone.commands:
            clone.start_one(name)
        for server in fleet.servers:
            eventually(lambda server=server: said_by_consul(server, clone.node) == "alive", SOON_S, "gossip shows both")  # type: ignore[misc]
        told = clone.running.get("local") or clone.only
        eventually(lambda: any("runs on a copy of the other's data folder" in line for line in list(told.lines)), SOON_S, "it is told why")
        leader.cli("operator", "raft", "transfer-leader")
        new = eventually(lambda: fleet.leader() if fleet.leader() is not leader else None, SOON_S, "another leads")
        keeper = new.running.get("catalog") or new.only
        eventually(lambda: any("a member is not taken into the catalog" in line for line in list(keeper.lines)), SOON_S, "it has compared")
        if fleet.output.count(missed) > times_missed:
            return  # on a busy machine the first one may be missed for a moment, and then the ID is anybody's
        for server in fleet.servers:
            assert before in server.api.get("/v1/catalog/nodes").json(), "the same entry, never away"
            assert clone.node not in server.nodes()
            assert server.dig("web.service.consul") == [client.address]
    finally:
        clone.stop()
