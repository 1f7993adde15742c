"""A copy of a server's data folder, started beside the server that it was made of: both are one member of Raft, and must not both vote.
And a server whose log is gone: it has forgotten its vote, so it is another member."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from rostra.clients.consensus import ConsensusClient, RaftMember
from rostra.rpc.channels import connect

from ..harness.waiting import eventually
from .servers import Server, Servers, started

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

COPY_HOST = "127.0.0.179"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Three that have agreed on a leader."""
    with started(
        Servers(tmp_path_factory.mktemp("servers"), 3, ['-hcl=autopilot { server_stabilization_time = "1s" }'], first_host=171)
    ) as found:
        yield found


@pytest.fixture
def original(servers: Servers) -> Server:
    """A follower."""
    leader = servers.wait_for_leader()
    return next(server for server in servers.all if server is not leader)


@contextmanager
def running_copy(original: Server, name: str, servers: Servers, folder: Path) -> Iterator[Server]:
    """Of what the original had on disk at one moment, under another address."""
    copy = Server(folder, name, COPY_HOST, original.ports, [server.host for server in servers.all], 3, servers.flags)
    original.kill()
    shutil.copytree(original.data, copy.data, ignore=shutil.ignore_patterns("*.sock"))
    original.start()
    servers.wait_for_leader()
    copy.start()
    try:
        yield copy
    finally:
        copy.running().kill()
        copy.api.close()


def raft_addresses(server: Server) -> set[str]:
    return {member["Address"] for member in server.api.get("/v1/operator/raft/configuration").json()["Servers"]}


def test_a_copy_under_another_name_is_followed_by_nobody_and_ends_by_itself(servers: Servers, original: Server, tmp_path: Path) -> None:
    addresses = raft_addresses(original)
    with running_copy(original, "copied", servers, tmp_path / "copied") as copy:
        eventually(lambda: any(each["Name"] == "copied" for each in original.api.get("/v1/agent/members").json()), 30, "it is in the pool")
        until = time.monotonic() + 150
        while copy.is_up and time.monotonic() < until:
            servers.wait_for_leader().api.register("meanwhile", "127.0.0.1")
            assert raft_addresses(original) == addresses
        assert not copy.is_up, "the copy goes on"
        assert copy.running().wait() != 0
        assert f"server {original.name} at" in copy.running().output
        assert "has the ID of this node" in copy.running().output
        assert "entering leader state" not in copy.running().output


def test_a_copy_under_the_same_name_is_followed_by_nobody(servers: Servers, original: Server, tmp_path: Path) -> None:
    addresses = raft_addresses(original)
    with running_copy(original, original.name, servers, tmp_path / "copied") as copy:
        eventually(lambda: "two processes use one name" in servers.output(), 30, "the servers say that there are two")
        for _ in range(50):
            servers.wait_for_leader().api.register("meanwhile", "127.0.0.1")
        assert raft_addresses(original) == addresses
        with suppress(httpx.TransportError):  # whoever loses the vote about a name ends, in its own time
            assert copy.leader() == ""


def raft_members(server: Server) -> list[RaftMember]:
    """As the server has them, with their stores."""

    async def ask() -> list[RaftMember]:
        async with connect(f"unix:{server.data}/consensus.sock") as channel:
            return list((await ConsensusClient(channel).get_configuration(5.0)).members)

    return asyncio.run(ask())


def test_a_server_whose_log_is_gone_is_a_new_member_and_the_old_one_is_removed(servers: Servers, original: Server) -> None:
    leader = servers.wait_for_leader()
    leader.api.register("before", "127.0.0.1")
    node_id = original.api.get("/v1/agent/self").json()["Config"]["NodeID"]
    (old,) = (member for member in raft_members(leader) if member.node_id == node_id)
    original.kill()
    shutil.rmtree(original.data / "consensus")
    original.start()

    def replaced() -> bool:
        stores = {member.store_id: member.voter for member in raft_members(leader) if member.node_id == node_id}
        assert len(stores) <= 2
        assert stores.get(old.store_id, True), "the old store is a voter until it is removed"
        return len(stores) == 1 and old.store_id not in stores and all(stores.values())

    eventually(replaced, 60, "the new store votes in the place of the old one")
    eventually(lambda: "before" in {node["Node"] for node in original.api.get("/v1/catalog/nodes?stale").json()}, 30)
