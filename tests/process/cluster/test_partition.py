"""A client that is cut off from its servers, and comes back by itself; what it says meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..harness.waiting import eventually
from .fleet import FORMS, Fleet

pytestmark = [pytest.mark.process, pytest.mark.timeout(240), pytest.mark.interop("consul", "dig", "curl")]

SOON_S = 60.0
HOLD_S = 7.0
BLOCKS = {form: 80 + 4 * number for number, form in enumerate(FORMS)}


@pytest.fixture(params=FORMS)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """A server, and a client with a service."""
    fleet = Fleet(tmp_path, request.param, block=BLOCKS[request.param], servers=1, relayed=True)
    client = fleet.add_client("c1")
    try:
        fleet.start()
        assert client.api.put("/v1/agent/service/register", {"Name": "web", "Port": 80}).status_code == 200
        for node in (client, fleet.servers[0]):
            eventually(lambda node=node: node.dig("web.service.consul") == [client.address], SOON_S, node.node)  # type: ignore[misc]
        yield fleet
    except BaseException as error:
        error.add_note(fleet.output)
        raise
    finally:
        fleet.stop()


def test_a_client_that_was_cut_off_reconnects_by_itself_and_meanwhile_says_what_it_cannot_reach(fleet: Fleet) -> None:
    client, server = fleet.nodes["c1"], fleet.servers[0]
    assert client.api.get("/v1/catalog/service/web").json()[0]["Node"] == client.node
    before = client.api.get("/v1/agent/self").json()["Stats"]["views"]["reconnects"]
    fleet.network.cut_off(client.bound)
    eventually(lambda: server.status_of(client.node) == "failed", SOON_S, "the server sees it failed")
    eventually(lambda: server.serf_health(client.node) == "critical", SOON_S, "critical")
    eventually(lambda: server.dig("web.service.consul") == [], SOON_S, "out of DNS")
    assert client.node in server.nodes()
    eventually(lambda: client.status_of(server.node) == "failed", SOON_S, "it sees the server failed")
    status, body = client.curl("/v1/catalog/nodes")
    assert status == 500
    assert body == f"No known servers (tried {server.server_address})"
    assert client.api.get("/v1/catalog/service/web?stale").json()[0]["Node"] == client.node
    assert client.dig("web.service.consul") == [client.address], "the last it knew"
    fleet.network.heal()
    fleet.wait_until_whole(90.0)
    eventually(lambda: server.dig("web.service.consul") == [client.address], SOON_S, "in DNS again")
    assert int(client.api.get("/v1/agent/self").json()["Stats"]["views"]["reconnects"]) > int(before)
