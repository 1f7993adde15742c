"""What an operator does to the servers: list, hand over, remove, and go on after a lost quorum (``peers.json``)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..harness.program import this_rostra
from ..harness.running import Running
from ..harness.waiting import eventually
from .servers import Server, Servers, started

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

QUICK = ('-hcl=autopilot { server_stabilization_time = "1s" }',)
CLIENT_HOST = "127.0.0.69"
FAILED = 4


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    """Three that have agreed on a leader."""
    with started(Servers(tmp_path, 3, QUICK, first_host=61)) as found:
        yield found


@pytest.fixture
def client(servers: Servers, tmp_path: Path) -> Iterator[str]:
    """The HTTP address of a client agent, which has no consensus of its own."""
    first = servers.all[0]
    flags = [*first.ports.flags("http", "serf_lan"), "-dns-port=-1", "-grpc-port=-1", f"-bind={CLIENT_HOST}", f"-client={CLIENT_HOST}"]
    command = ["agent", f"-data-dir={tmp_path / 'client'}", "-node=c1", f"-retry-join={first.host}:{first.ports.serf_lan}", *flags]
    running = Running(this_rostra(), tmp_path / "c1", command)
    try:
        yield f"{CLIENT_HOST}:{first.ports.http}"
    finally:
        running.kill()


def operate(folder: Path, address: str, *words: str) -> str:
    """The output of ``rostra operator raft …``, which must succeed."""
    done = this_rostra().run(folder, "operator", "raft", *words, env={"CONSUL_HTTP_ADDR": address})
    assert done.returncode == 0, done.stderr
    return done.stdout


def states(listed: str) -> dict[str, tuple[str, str]]:
    """Node to state and voter, of what ``list-peers`` prints."""
    rows = [line.split() for line in listed.splitlines()[1:]]
    return {row[0]: (row[3], row[4]) for row in rows}


def wait_for_states(folder: Path, address: str, expected: dict[str, tuple[str, str]]) -> None:
    eventually(lambda: states(operate(folder, address, "list-peers")) == expected, 30, f"{expected} listed by {address}")


def status_of(server: Server, other: Server) -> int:
    """What gossip says of another server."""
    members = server.api.get("/v1/agent/members").json()
    return next(int(member["Status"]) for member in members if member["Name"] == other.name)


def id_of(server: Server) -> str:
    return str(server.api.get("/v1/agent/self").json()["Config"]["NodeID"])


def peers_in_metrics(server: Server) -> set[str]:
    """Of whom the server tells how long replication took."""
    samples = server.api.get("/v1/agent/metrics").json()["Samples"]
    return {each["Labels"]["peer_id"] for each in samples if each["Name"] == "consul.raft.replication.appendEntries.rpc"}


def test_servers_are_listed_handed_over_to_and_removed_from_any_agent(servers: Servers, client: str, tmp_path: Path) -> None:
    leader = servers.wait_for_leader()
    follower, other = (server for server in servers.all if server is not leader)
    expected = {server.name: ("leader" if server is leader else "follower", "true") for server in servers.all}
    for address in (leader.http, follower.http, client):
        wait_for_states(tmp_path, address, expected)
    eventually(lambda: peers_in_metrics(leader) == {id_of(follower), id_of(other)}, 20, "the leader tells of each peer")

    assert operate(tmp_path, client, "transfer-leader", f"-id={id_of(other)}") == "Success\n"
    assert servers.wait_for_leader() is other
    assert operate(tmp_path, follower.http, "transfer-leader") == "Success\n"
    now = servers.wait_for_leader()
    assert now is not other

    lost = next(server for server in servers.all if server is not now)
    lost.kill()
    eventually(lambda: status_of(now, lost) == FAILED, 60, f"{lost.name} has failed")  # else it would pass for one that is leaving
    address = f"{lost.host}:{lost.ports.server}"
    removed = operate(tmp_path, client, "remove-peer", f"-address={address}")
    assert removed == f'Removed peer with address "{address}"\n'
    left = {server.name: ("leader" if server is now else "follower", "true") for server in servers.up}
    for server in servers.up:
        wait_for_states(tmp_path, server.http, left)
    lost.start()
    servers.wait_for_voters(3)  # one that is alive is taken in again


def test_the_survivor_of_a_lost_quorum_goes_on_with_peers_json_and_all_it_has(servers: Servers) -> None:
    survivor, *lost = servers.all
    for number in range(20):
        servers.wait_for_leader().api.register(f"before-{number}", "127.0.0.1")
    eventually(lambda: len(survivor.api.get("/v1/catalog/nodes?stale").json()) >= 23, 20)
    own = id_of(survivor)
    for server in servers.all:
        server.kill()
    for server in lost:
        shutil.rmtree(server.data)
        server.process = None  # it is gone for good, as far as the survivor goes
    folder = survivor.data / "raft"  # where Consul has it
    folder.mkdir()
    file = folder / "peers.json"

    file.write_text(json.dumps([{"id": own, "address": "127.0.0.1:1", "voter": True}]))
    survivor.start()
    assert survivor.running().wait(20) != 0, "it started on a file that makes no sense"
    assert "peers.json" in survivor.running().output
    assert "voter" in survivor.running().output

    file.write_text(json.dumps([{"id": own, "address": f"{survivor.host}:{survivor.ports.server}", "non_voter": False}]))
    survivor.start()
    servers.wait_for_leader()
    assert not file.exists()
    survivor.api.register("after", "127.0.0.1")
    nodes = {node["Node"] for node in survivor.api.get("/v1/catalog/nodes").json()}
    assert nodes >= {"after", *(f"before-{number}" for number in range(20))}

    for server in lost:
        server.start()
    servers.wait_for_voters(3)
    for server in lost:
        nodes = {node["Node"] for node in server.api.get("/v1/catalog/nodes").json()}
        assert nodes >= {"after", "before-0"}
