"""Partitions of three servers and two clients, on hosts of their own: each side says what it cannot reach, then all are together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ..harness.lan import Lan, reason_against
from ..harness.waiting import eventually
from .fleet import FORMS, Fleet, Node

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SOON_S = 60.0
TOGETHER_S = 120.0
SERVERS, CLIENTS = ("dc1-s1", "dc1-s2", "dc1-s3"), ("c1", "c2")


@pytest.fixture(scope="module")
def lan(require: Callable[..., None]) -> Iterator[Lan]:
    """Where there can be none, ``test_partition`` has what relays can cut."""
    require("dig", "curl")
    if reason := reason_against():
        pytest.skip(reason)
    with Lan([*SERVERS, *CLIENTS]).running() as lan:
        yield lan


@pytest.fixture(scope="module", params=FORMS)
def started(request: pytest.FixtureRequest, lan: Lan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three servers, and two clients with a service each. Use ``fleet``."""
    fleet = Fleet(tmp_path_factory.mktemp("partition"), request.param, lan=lan)
    for name in CLIENTS:
        fleet.add_client(name)
    try:
        fleet.start()
        for name, service in (("c1", "web"), ("c2", "db")):
            assert fleet.nodes[name].api.put("/v1/agent/service/register", {"Name": service, "Port": 80}).status_code == 200
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def fleet(started: Fleet, lan: Lan, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """The same, whole, and both services known to every node."""
    try:
        lan.mend_all()
        started.wait_until_whole(TOGETHER_S)
        for node in started.nodes.values():
            in_dns(node, web=started.nodes["c1"], db=started.nodes["c2"])
            assert node.api.get("/v1/catalog/service/web").json()[0]["Node"] == "c1", "known to its gateway too"
        yield started
    finally:
        lan.mend_all()
        if request.session.testsfailed:
            print(started.output)


def cut_off(lan: Lan, *nodes: Node) -> None:
    """From now on these and all others do not hear each other."""
    side = {node.node for node in nodes}
    lan.partition(side, lan.hosts.keys() - side)


def in_dns(asked: Node, **holders: Node | None) -> None:
    """Until a node's DNS has these services at these nodes, and no other."""
    for service, holder in holders.items():
        wanted = [holder.address] if holder is not None else []
        eventually(lambda: asked.dig(f"{service}.service.consul") == wanted, SOON_S, f"{service} at {asked.node}")  # noqa: B023


def seen_failed(by: Node, *others: Node) -> None:
    for other in others:
        eventually(lambda: by.status_of(other.node) == "failed", SOON_S, f"{by.node} sees {other.node} failed")  # noqa: B023


def test_a_client_that_was_cut_off_from_all_servers_reconnects_by_itself(fleet: Fleet, lan: Lan) -> None:
    client, other = fleet.nodes["c1"], fleet.nodes["c2"]
    before = client.api.get("/v1/agent/self").json()["Stats"]["views"]["reconnects"]
    cut_off(lan, client)
    for server in fleet.servers:
        seen_failed(server, client)
        eventually(lambda server=server: server.serf_health(client.node) == "critical", SOON_S, "critical")  # type: ignore[misc]
        in_dns(server, web=None, db=other)
        assert client.node in server.nodes()
    seen_failed(client, other, *fleet.servers)
    status, body = client.curl("/v1/catalog/nodes")
    assert status == 500
    said, _, tried = body.rstrip(")").partition(" (tried ")
    assert said == "No known servers"
    assert sorted(tried.split(", ")) == sorted(server.server_address for server in fleet.servers)
    assert client.api.get("/v1/catalog/service/web?stale").json()[0]["Node"] == client.node
    in_dns(client, web=client, db=other)
    lan.mend_all()
    fleet.wait_until_whole(TOGETHER_S)
    for node in fleet.nodes.values():
        in_dns(node, web=client, db=other)
    assert int(client.api.get("/v1/agent/self").json()["Stats"]["views"]["reconnects"]) > int(before)


def test_a_leader_cut_off_with_a_client_leads_no_longer_and_both_are_back_with_what_they_took_meanwhile(fleet: Fleet, lan: Lan) -> None:
    old, client, other = fleet.leader(), fleet.nodes["c1"], fleet.nodes["c2"]
    majority = fleet.followers()
    cut_off(lan, old, client)
    eventually(lambda: {each.leader() for each in majority} < {each.server_address for each in majority}, SOON_S, "another leads")
    other.api.register("meanwhile", "127.0.0.9")
    for server in majority:
        seen_failed(server, old, client)
        in_dns(server, web=None, db=other)
        eventually(lambda server=server: "meanwhile" in server.nodes(), SOON_S, f"{server.node} reads it")  # type: ignore[misc]
    seen_failed(old, other, *majority)
    assert client.status_of(old.node) == "alive", "they are on one side"
    for node in (old, client):
        eventually(lambda node=node: node.curl("/v1/catalog/nodes") == (500, "No cluster leader"), SOON_S, node.node)  # type: ignore[misc]
        assert "meanwhile" not in node.nodes("?stale")
        in_dns(node, web=client, db=other)
    assert client.api.put("/v1/agent/service/register", {"Name": "late", "Port": 81}).status_code == 200
    lan.mend_all()
    fleet.wait_until_whole(TOGETHER_S)
    for node in fleet.nodes.values():
        in_dns(node, web=client, db=other, late=client)
        assert "meanwhile" in node.nodes()
    assert client.api.put("/v1/agent/service/deregister/late").status_code == 200
    other.api.deregister("meanwhile")
