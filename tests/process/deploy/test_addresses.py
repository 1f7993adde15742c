"""A server that comes back under another address with the same data folder is the same server, as a pod's is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from ..harness.http import index_of
from ..harness.ports import Ports
from ..harness.waiting import eventually
from .moving import Server, agreed_leader

pytestmark = pytest.mark.process

Make = Callable[..., Server]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a server of this test: ``make("s1", "127.0.0.151", "-bootstrap")``."""
    made: list[Server] = []
    ports = Ports.free("127.0.0.151")

    def one(name: str, host: str, *flags: str) -> Server:
        made.append(Server(tmp_path / name, name, host, ports, flags))
        return made[-1]

    yield one
    for server in made:
        server.kill()


def test_a_single_server_comes_back_under_another_address(make: Make) -> None:
    server = make("s1", "127.0.0.151", "-bootstrap")
    server.start([])
    server.wait_until_serving()
    server.api.register("db-1", "127.0.0.9")
    index = index_of(server.api.get("/v1/catalog/nodes"))
    server.stop()
    server.start([], host="127.0.0.152")
    server.wait_until_serving()
    eventually(lambda: server.api.get("/v1/status/leader").json() == server.raft, 30.0, "the leader is where it is now")
    eventually(lambda: server.api.get("/v1/status/peers").json() == [server.raft], 30.0, "the configuration follows")
    assert {node["Node"] for node in server.api.get("/v1/catalog/nodes").json()} == {"s1", "db-1"}
    server.api.register("db-2", "127.0.0.10")
    assert index_of(server.api.get("/v1/catalog/nodes")) > index


def test_three_servers_move_one_after_the_other_and_the_cluster_goes_on(make: Make) -> None:
    """None of the addresses with which the cluster began is left at the end; each is told of the two others only."""
    servers = [make(f"s{number}", f"127.0.0.{160 + number}", "-bootstrap-expect=3") for number in (1, 2, 3)]
    for server in servers:
        server.start(others(server, servers))
    for server in servers:
        server.wait_until_serving()
    for number, server in enumerate(servers, 1):
        servers[0].api.register(f"before-{number}", "127.0.0.9")
        server.stop()
        server.start(others(server, servers), host=f"127.0.0.{170 + number}")
        server.wait_until_serving()
        eventually(partial(agreed_leader, servers), 30.0, "all name the same leader")
        eventually(partial(_knows_all, servers), 30.0, "the Raft configuration shows every server where it is")
    names = {f"s{number}" for number in (1, 2, 3)} | {f"before-{number}" for number in (1, 2, 3)}
    for server in servers:
        found = {node["Node"]: node["Address"] for node in server.api.get("/v1/catalog/nodes").json()}
        assert found.keys() == names
        assert {found[each.name] for each in servers} == {each.host for each in servers}


def others(server: Server, servers: Sequence[Server]) -> list[Server]:
    return [each for each in servers if each is not server]


def _knows_all(servers: Sequence[Server]) -> bool:
    wanted = sorted(server.raft for server in servers)
    return all(server.api.get("/v1/status/peers").json() == wanted for server in servers)
