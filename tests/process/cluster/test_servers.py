"""What servers and agents do in their own time: a new server votes, a dead one is taken out of Raft, a service that is critical for too
long is deregistered; as each node, the commands and the real ``consul`` see it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from rostra.config.durations import parse_duration

from ..harness.waiting import eventually
from . import hasty
from .conftest import BLOCKS
from .fleet import FORMS, Fleet, Node

pytestmark = [pytest.mark.process, pytest.mark.timeout(240), pytest.mark.interop("consul")]

SOON_S = 30.0
LONG_LOST_S = 5.0
"""Raft gives up a server after three seconds, and autopilot looks every second: by then it has looked at one that it could remove."""
WELL_S = 4.0
STATE = "/v1/operator/autopilot/state"
HEALTH = "/v1/operator/autopilot/health"


@pytest.fixture(scope="module", params=FORMS)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three servers, and the client ``c1``, which is hasty. Use ``fleet``."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), request.param, block=BLOCKS[request.param])
    fleet.add_client("c1").program = hasty.build()
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def newcomer(fleet: Fleet) -> Node:
    """A fourth server, that may not be started yet."""
    return fleet.nodes.get("s4") or fleet.add_server("s4")


def voters(node: Node) -> dict[str, bool]:
    """The servers of the Raft configuration, and whether each votes."""
    answer = node.api.get("/v1/operator/raft/configuration")
    assert answer.status_code == 200, answer.text
    return {server["Node"]: server["Voter"] for server in answer.json()["Servers"]}


def listed(table: str) -> dict[str, str]:
    """The same in the table of ``operator raft list-peers``."""
    return {row.split()[0]: row.split()[4] for row in table.splitlines()[1:]}


def all_votes(*nodes: Node) -> dict[str, bool]:
    return {node.node: True for node in nodes}


def everywhere(fleet: Fleet, wanted: dict[str, bool]) -> None:
    for node in fleet.nodes.values():
        if node.is_up:
            eventually(lambda node=node: voters(node) == wanted, SOON_S, f"{node.node} has {wanted}")  # type: ignore[misc]


def offered(fleet: Fleet, services: set[str]) -> None:
    """Until every node's catalog has these services, and no others."""
    for node in fleet.nodes.values():
        eventually(lambda node=node: set(node.api.get("/v1/catalog/services").json()) == {"consul", *services}, SOON_S, node.node)  # type: ignore[misc]


def set_autopilot(node: Node, *flags: str) -> None:
    assert node.consul("operator", "autopilot", "set-config", *flags) == "Configuration updated!\n"


def state_of(node: Node, name: str) -> tuple[str, bool]:
    """What autopilot says a server is, and whether it is healthy."""
    (server,) = (each for each in node.api.get(STATE).json()["Servers"].values() if each["Name"] == name)
    return server["Status"], server["Healthy"]


def stable_s(node: Node, name: str) -> float:
    """For how long autopilot has found a server as it is."""
    (server,) = (each for each in node.api.get(STATE).json()["Servers"].values() if each["Name"] == name)
    return time.time() - datetime.fromisoformat(server["StableSince"]).timestamp()


def wait_until_given_up(leader: Node, victim: Node) -> None:
    """Until gossip says that it failed, and Raft has lost it for longer than autopilot needs to act."""

    def is_given_up() -> bool:
        servers = leader.api.get(STATE).json()["Servers"].values()
        contact = next((each["LastContact"] for each in servers if each["Name"] == victim.node), "never")
        return leader.status_of(victim.node) == "failed" and (contact == "never" or parse_duration(contact) > LONG_LOST_S)

    eventually(is_given_up, SOON_S, f"{victim.node} is given up")


def test_a_service_that_is_critical_for_longer_than_it_may_be_is_deregistered_for_good(fleet: Fleet) -> None:
    client = fleet.nodes["c1"]
    for name, after in (("doomed", "1s"), ("well", "1s"), ("kept", "")):
        check = {"CheckID": name, "TTL": "10m", "Status": "passing", "DeregisterCriticalServiceAfter": after}
        assert client.api.put("/v1/agent/service/register", {"Name": name, "Port": 80, "Check": check}).status_code == 200
    offered(fleet, {"doomed", "well", "kept"})
    for name in ("doomed", "kept"):
        assert client.api.put(f"/v1/agent/check/fail/{name}").status_code == 200
    eventually(lambda: sorted(client.api.get("/v1/agent/services").json()) == ["kept", "well"], SOON_S, "the agent has let it go")
    offered(fleet, {"well", "kept"})
    checks = fleet.leader().api.get(f"/v1/health/node/{client.node}").json()
    assert {check["CheckID"]: check["Status"] for check in checks} == {"serfHealth": "passing", "well": "passing", "kept": "critical"}
    client.kill()
    fleet.start()
    assert sorted(client.api.get("/v1/agent/services").json()) == ["kept", "well"]
    offered(fleet, {"well", "kept"})


def test_a_server_that_comes_learns_first_and_votes_once_it_has_been_well_for_long_enough(fleet: Fleet, newcomer: Node) -> None:
    client, three = fleet.nodes["c1"], [each for each in fleet.servers if each is not newcomer]
    set_autopilot(client, "-server-stabilization-time=1h")
    fleet.start()
    everywhere(fleet, {**all_votes(*three), newcomer.node: False})
    for table in (client.cli("operator", "raft", "list-peers"), newcomer.consul("operator", "raft", "list-peers")):
        assert listed(table) == {**{each.node: "true" for each in three}, newcomer.node: "false"}
    eventually(lambda: state_of(client, newcomer.node) == ("non-voter", True), SOON_S, "it is well, and does not vote")
    health = client.api.get(HEALTH).json()
    assert {server["Name"]: server["Voter"] for server in health["Servers"]} == voters(client)
    client.api.register("written-meanwhile", "10.0.0.1")
    eventually(lambda: "written-meanwhile" in newcomer.nodes("?stale"), SOON_S, "it has what the voters have")
    client.api.deregister("written-meanwhile")
    eventually(lambda: stable_s(client, newcomer.node) > WELL_S, SOON_S, "it has been well for longer than a look of autopilot takes")
    assert voters(client)[newcomer.node] is False
    set_autopilot(client, "-server-stabilization-time=1s")
    everywhere(fleet, all_votes(*three, newcomer))
    assert set(listed(newcomer.cli("operator", "raft", "list-peers")).values()) == {"true"}
    eventually(lambda: state_of(client, newcomer.node) in (("voter", True), ("leader", True)), SOON_S, "autopilot says so too")


def test_a_dead_server_is_removed_where_that_is_wanted_and_enough_others_vote(fleet: Fleet, newcomer: Node) -> None:
    fleet.start()
    everywhere(fleet, all_votes(*fleet.servers))
    client, leader = fleet.nodes["c1"], fleet.leader()
    first, second = [server for server in fleet.followers() if server is not newcomer][:2]
    set_autopilot(client, "-cleanup-dead-servers=false")
    first.kill()
    wait_until_given_up(leader, first)
    everywhere(fleet, all_votes(*fleet.servers))
    set_autopilot(client, "-cleanup-dead-servers=true")
    rest = [server for server in fleet.servers if server is not first]
    everywhere(fleet, all_votes(*rest))
    assert first.node not in client.consul("operator", "raft", "list-peers")
    eventually(lambda: client.api.get(HEALTH).status_code == 200, SOON_S, "the rest is well")
    assert leader.serf_health(first.node) == "critical", "its node stays"
    second.kill()
    wait_until_given_up(leader, second)
    assert voters(leader) == all_votes(*rest), "two cannot lose another: who failed may come back, and is kept"
    client.api.register("by-two-of-three", "10.0.0.2")
    client.api.deregister("by-two-of-three")
