"""A single durable server: what it keeps, in which folder, and how indexes go on."""

from __future__ import annotations

import signal
import stat
from collections.abc import Mapping
from typing import Any

import pytest

from .conftest import Start
from .harness.deployment import Deployment
from .harness.http import index_of
from .harness.system import listeners
from .harness.waiting import eventually

pytestmark = pytest.mark.process


def entries(agent: Deployment) -> Mapping[str, Any]:
    """The catalog as a client reads it, indexes included."""
    paths = ("nodes", "service/web", "node/kept", "node/db-1")
    return {path: agent.api.get(f"/v1/catalog/{path}").json() for path in paths}


def restart(agent: Deployment, number: signal.Signals) -> None:
    """Ends it by a signal and starts it again on the same folder."""
    process = agent.only
    process.send(number)
    process.wait()
    agent.start()


def register(agent: Deployment) -> None:
    agent.api.register("db-1", "127.0.0.9", Service={"Service": "web", "Port": 80}, Check={"Name": "up", "Status": "passing"})


def test_a_single_durable_server_is_warned_about_its_disk(start_durable: Start) -> None:
    start_durable().only.wait_for_line(r"\[WARN\].*losing its disk loses the catalog")


def test_the_data_folder_is_for_its_owner_only(start_durable: Start) -> None:
    agent = start_durable()
    assert agent.data is not None
    assert stat.S_IMODE(agent.data.stat().st_mode) == 0o700
    doors = list(agent.data.glob("*.sock"))
    assert doors
    for door in doors:
        assert stat.S_IMODE(door.stat().st_mode) & 0o077 == 0, f"{door.name} is open to others"


def test_the_doors_of_clients_are_on_127_0_0_1_wherever_the_cluster_is(start_durable: Start) -> None:
    agent = start_durable(bind="127.0.0.2")
    ports, found = agent.ports, {(each.address, each.port) for each in listeners(agent.only.pid)}
    for port in (ports.http, ports.dns, ports.grpc):
        assert [address for address, other in found if other == port] == ["127.0.0.1"]
    for port in (ports.server, ports.serf_lan, ports.serf_wan):
        assert [address for address, other in found if other == port] == ["127.0.0.2"]
    assert agent.api.get("/v1/status/leader").json() == f"127.0.0.2:{ports.server}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_restart_keeps_every_registration_with_its_indexes(start_durable: Start, number: signal.Signals) -> None:
    agent = start_durable()
    register(agent)
    before = entries(agent)
    restart(agent, number)
    assert entries(agent) == before


def test_indexes_go_on_growing_after_a_restart(start_durable: Start) -> None:
    agent = start_durable()
    register(agent)
    last = index_of(agent.api.get("/v1/catalog/nodes"))
    restart(agent, signal.SIGTERM)
    assert index_of(agent.api.get("/v1/catalog/nodes")) >= last
    agent.api.register("db-2", "127.0.0.10")
    found = agent.api.get("/v1/catalog/node/db-2").json()["Node"]
    assert found["CreateIndex"] > last
    assert found["CreateIndex"] <= int(agent.api.get("/v1/agent/self").json()["Stats"]["raft"]["commit_index"])


def test_a_restart_keeps_the_nodes_identity_and_its_own_services(start_durable: Start) -> None:
    agent = start_durable()
    node_id = agent.api.get("/v1/agent/self").json()["Config"]["NodeID"]
    assert agent.api.put("/v1/agent/service/register", {"Name": "cache", "Port": 6379}).status_code == 200
    eventually(lambda: agent.api.get("/v1/catalog/service/cache").json(), 3.0, "the service is in the catalog")
    restart(agent, signal.SIGTERM)
    assert agent.api.get("/v1/agent/self").json()["Config"]["NodeID"] == node_id
    assert set(agent.api.get("/v1/agent/services").json()) == {"cache"}
    assert len(agent.api.get("/v1/catalog/service/cache").json()) == 1


def test_a_server_that_left_by_ctrl_c_comes_back_with_its_catalog(start_durable: Start) -> None:
    agent = start_durable()
    register(agent)
    restart(agent, signal.SIGINT)
    assert len(agent.api.get("/v1/catalog/service/web").json()) == 1
    assert agent.api.get("/v1/status/leader").json() != ""


def test_a_watcher_that_waited_before_the_restart_is_woken_by_a_change_after_it(start_durable: Start) -> None:
    agent = start_durable()
    register(agent)
    index = index_of(agent.api.get("/v1/catalog/service/web"))
    restart(agent, signal.SIGTERM)
    agent.api.put("/v1/catalog/deregister", {"Node": "db-1", "ServiceID": "web"})
    answer = agent.api.get(f"/v1/catalog/service/web?index={index}&wait=5s", within_s=7.0)
    assert answer.json() == []
    assert index_of(answer) > index
