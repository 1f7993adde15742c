"""Servers that leave by Ctrl-C, or are killed all at once, come back under the same commands with everything."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ..harness.waiting import eventually
from .servers import Server, Servers, started

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

QUICK = ('-hcl=performance { leave_drain_time = "1s" }', '-hcl=autopilot { server_stabilization_time = "1s" }')


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    """Three that have agreed on a leader."""
    with started(Servers(tmp_path, 3, QUICK, first_host=51)) as found:
        yield found


def write(server: Server, name: str) -> str:
    """A node that must be acknowledged; returns its name."""
    server.api.register(name, "127.0.0.1")
    return name


def _takes_writes(server: Server) -> Callable[[], bool]:
    return lambda: server.api.put("/v1/catalog/register", {"Node": "warm", "Address": "127.0.0.1"}).is_success


def assert_all_are_there(servers: Servers, written: list[str]) -> None:
    for server in servers.all:
        nodes = {node["Node"] for node in server.api.get("/v1/catalog/nodes").json()}
        assert set(written) <= nodes, f"acknowledged, and not in the catalog of {server.name}"
    logs = [server.log().entries for server in servers.all]
    shortest = min(len(entries) for entries in logs)
    assert logs[0][:shortest] == logs[1][:shortest] == logs[2][:shortest]


def test_three_stopped_by_ctrl_c_in_turn_come_back_with_a_leader_and_every_acknowledged_write(servers: Servers) -> None:
    written = []
    for server in servers.all:
        written += [write(each, f"before-{server.name}-left-{each.name}") for each in servers.up]
        assert server.interrupt() == 0
        if servers.up:
            servers.wait_for_leader()
            servers.wait_for_voters(len(servers.up))
    servers.start()
    servers.wait_for_voters(3)
    assert_all_are_there(servers, written)
    assert_all_are_there(servers, [*written, *(write(server, f"after-{server.name}") for server in servers.all)])


def test_three_killed_at_once_come_back_with_a_leader_and_every_acknowledged_write(servers: Servers) -> None:
    written = [write(server, f"before-{number}-{server.name}") for number in range(10) for server in servers.all]
    for server in servers.all:
        server.running().send(signal.SIGKILL)
    for server in servers.all:
        server.kill()
    servers.start()
    assert_all_are_there(servers, written)
    servers.wait_for_voters(3)


def test_no_client_of_the_others_sees_a_failed_write_while_the_leader_leaves(servers: Servers) -> None:
    leader = servers.wait_for_leader()
    others = [server for server in servers.all if server is not leader]
    for server in others:
        eventually(_takes_writes(server), 5)
    time.sleep(2.0)  # autopilot looks every second: a server that left before its first look would be taken in again for a moment
    stop = threading.Event()
    failed: list[str] = []
    done: list[str] = []

    def client(server: Server) -> None:
        with httpx.Client(trust_env=False, timeout=60.0) as http:
            while not stop.is_set():
                name = f"{server.name}-{len(done)}"
                answer = http.put(f"http://{server.http}/v1/catalog/register", json={"Node": name, "Address": "127.0.0.1"})
                (done if answer.status_code == 200 else failed).append(f"{name}: {answer.status_code} {answer.text}")

    clients = [threading.Thread(target=client, args=(server,), daemon=True) for server in others]
    for thread in clients:
        thread.start()
    eventually(lambda: len(done) > 10, 30)
    assert leader.interrupt() == 0
    before = len(done)
    eventually(lambda: len(done) > before + 10, 30, "writes go on")
    stop.set()
    for thread in clients:
        thread.join(90)
    assert failed == []
    changes = [line for line in others[0].running().lines if "configuration changed" in line][1:]  # the first is the bootstrap
    assert len(changes) == 1, f"it was taken in again while it left: {changes}"


def test_every_server_names_the_leader_as_soon_as_it_knows_one(servers: Servers) -> None:
    leader = servers.wait_for_leader()
    other = next(server for server in servers.all if server is not leader)
    other.kill()
    other.start()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if other.api.get("/v1/agent/self", within_s=1.0).json()["Stats"]["raft"]["last_contact"] == "never":
                continue
        except (httpx.HTTPError, LookupError, ValueError):
            continue
        break
    assert other.leader() == f"{leader.host}:{leader.ports.server}"
