"""Partitions of three servers and two clients, through relays: each side says what it cannot reach, and after it all are together again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..harness.waiting import eventually
from .fleet import FORMS, Fleet, Node

pytestmark = [pytest.mark.process, pytest.mark.timeout(300), pytest.mark.interop("consul", "dig", "curl")]

SOON_S = 60.0
TOGETHER_S = 120.0
BLOCKS = {form: 80 + 4 * number for number, form in enumerate(FORMS)}


@pytest.fixture(scope="module", params=FORMS)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three servers, and two clients with a service each. Use ``fleet``."""
    fleet = Fleet(tmp_path_factory.mktemp("partition"), request.param, block=BLOCKS[request.param], relayed=True)
    for name in ("c1", "c2"):
        fleet.add_client(name)
    try:
        fleet.start()
        for name, service in (("c1", "web"), ("c2", "db")):
            assert fleet.nodes[name].api.put("/v1/agent/service/register", {"Name": service, "Port": 80}).status_code == 200
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def fleet(started: Fleet, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """The same, whole, and both services in every DNS."""
    try:
        started.network.heal()
        started.wait_until_whole(TOGETHER_S)
        for node in started.nodes.values():
            in_dns(node, web=started.nodes["c1"], db=started.nodes["c2"])
        yield started
    finally:
        if request.session.testsfailed:
            print(started.output)


def in_dns(asked: Node, **holders: Node | None) -> None:
    """Until a node's DNS has these services at these nodes, and no other."""
    for service, holder in holders.items():
        wanted = [holder.address] if holder is not None else []
        eventually(lambda: asked.dig(f"{service}.service.consul") == wanted, SOON_S, f"{service} at {asked.node}")  # noqa: B023


def seen_failed(by: Node, *others: Node) -> None:
    for other in others:
        eventually(lambda: by.status_of(other.node) == "failed", SOON_S, f"{by.node} sees {other.node} failed")  # noqa: B023


def test_a_client_that_was_cut_off_reconnects_by_itself_and_meanwhile_says_what_it_cannot_reach(fleet: Fleet) -> None:
    client, other = fleet.nodes["c1"], fleet.nodes["c2"]
    before = client.api.get("/v1/agent/self").json()["Stats"]["views"]["reconnects"]
    fleet.network.cut_off(client.bound)
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
    fleet.network.heal()
    fleet.wait_until_whole(TOGETHER_S)
    for node in fleet.nodes.values():
        in_dns(node, web=client, db=other)
    assert int(client.api.get("/v1/agent/self").json()["Stats"]["views"]["reconnects"]) > int(before)


def test_a_leader_cut_off_with_a_client_leads_no_longer_and_both_are_back_with_what_they_took_meanwhile(fleet: Fleet) -> None:
    old, client, other = fleet.leader(), fleet.nodes["c1"], fleet.nodes["c2"]
    majority = fleet.followers()
    fleet.network.cut_off(old.bound, client.bound)
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
    fleet.network.heal()
    fleet.wait_until_whole(TOGETHER_S)
    for node in fleet.nodes.values():
        in_dns(node, web=client, db=other, late=client)
        assert "meanwhile" in node.nodes()
    assert client.api.put("/v1/agent/service/deregister/late").status_code == 200
    other.api.deregister("meanwhile")
