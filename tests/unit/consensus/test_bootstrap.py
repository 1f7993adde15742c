"""``-bootstrap-expect``: one promise each, durable, from all or nothing is written; and who is refused, and how that reads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rostra.clients.gossip import MemberEvent, Members
from rostra.consensus.bootstrap import Promises
from rostra.consensus.configuration import Configuration
from rostra.consensus.driver import Consensus
from rostra.consensus.lmdb_store import LmdbStore
from rostra.consensus.model import Member, PeerId, Suffrage
from rostra.consensus.role import ConsensusRole, ConsensusSettings
from rostra.consensus.snapshots import MemorySnapshots
from rostra.consensus.storage import MemoryStore
from rostra.consensus.timing import scaled_timing
from rostra.errors import Conflict
from rostra.model.identity import Identity
from rostra.model.members import Member as GossipMember
from rostra.model.members import MemberStatus
from rostra.rpc import hello
from rostra.rpc.channels import PlainConnector
from rostra.rpc.doors import Door
from rostra.rpc.handlers import Handlers
from rostra.v1 import common_pb2, consensus_pb2_grpc, raft_pb2, raft_pb2_grpc
from tests.process.harness.ports import free_port

TIMING = scaled_timing(1)


@pytest.fixture(autouse=True)
def _several_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their numbers would have the same names."""
    monkeypatch.setattr("rostra.consensus.role.expose_stats", lambda role, stats: lambda: None)


def empty(store_id: str = "store-1") -> Consensus:
    return Consensus(node_id="n1", store=MemoryStore(store_id), snapshots=MemorySnapshots(), timing=TIMING)


def named(cluster_id: str, *stores: str) -> Configuration:
    members = [Member(PeerId(f"n{store[-1]}", store), Suffrage.VOTER) for store in stores]
    return Configuration(cluster_id, tuple(members))


FIRST = named("first", "store-1", "store-2", "store-3")
SECOND = named("second", "store-1", "store-2", "store-3")


def test_a_server_promises_one_configuration_and_names_it_to_whoever_asks_for_another(tmp_path: Path) -> None:
    promises = Promises(empty(), tmp_path, 3)
    assert promises.promise(FIRST, 3) == (None, "")
    assert promises.promise(FIRST, 3) == (None, ""), "the same again, whose answer was lost"
    assert promises.promise(SECOND, 3) == (FIRST, "another configuration has been promised")


def test_a_promise_survives_a_restart_and_is_for_its_owner_only(tmp_path: Path) -> None:
    Promises(empty(), tmp_path, 3).promise(FIRST, 3)
    again = Promises(empty(), tmp_path, 3)
    assert again.promised == FIRST
    assert again.promise(SECOND, 3)[0] == FIRST
    (file,) = tmp_path.iterdir()
    assert os.stat(file).st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("configuration", "expect", "reason"),
    [
        (FIRST, 5, "this server expects 3 servers, not 5"),
        (named("first", "store-8", "store-2", "store-3"), 3, "does not name store store-1 of node n1"),
    ],
)
def test_what_does_not_fit_is_not_promised(tmp_path: Path, configuration: Configuration, expect: int, reason: str) -> None:
    promises = Promises(empty(), tmp_path, 3)
    earlier, why = promises.promise(configuration, expect)
    assert reason in why
    assert earlier is None
    assert promises.promised is None


def test_only_what_was_promised_is_written_and_only_on_an_empty_server(tmp_path: Path) -> None:
    consensus = empty()
    promises = Promises(consensus, tmp_path, 3)
    promises.promise(FIRST, 3)
    with pytest.raises(Conflict, match="not the configuration that this server promised"):
        promises.commit(SECOND)
    promises.commit(FIRST)
    promises.commit(FIRST)
    assert consensus.core.cluster_id == "first"
    assert "belongs to cluster first already" in promises.promise(SECOND, 3)[1]


@dataclass(frozen=True)
class Shown:
    """A server that gossip shows, and the role behind it."""

    role: ConsensusRole
    address: str


class Gossip:
    """Shows the servers it is told of."""

    def __init__(self, members: list[GossipMember]) -> None:
        self._members = members

    async def watch_members(self, pool: str = "lan") -> AsyncIterator[MemberEvent]:
        yield Members(tuple(self._members), True)
        await asyncio.get_running_loop().create_future()


def shown(number: int, address: str, expect: int) -> GossipMember:
    host, _, port = address.rpartition(":")
    tags = {"role": "rostra", "dc": "dc1", "id": f"n{number}", "port": port, "expect": str(expect)}
    return GossipMember(f"n{number}", host, 8301, tags, MemberStatus.ALIVE, 1)


@contextlib.asynccontextmanager
async def serving(folder: Path, number: int, members: list[GossipMember], address: str, expect: int) -> AsyncIterator[Shown]:
    """A consensus role on a door of its own."""
    identity = Identity(f"n{number}", f"n{number}", "dc1", "127.0.0.1", "127.0.0.1", server=True)
    settings = ConsensusSettings(TIMING, folder / f"n{number}", expect=expect, server_address=address, primary_grace_s=600.0)
    role = ConsensusRole(identity, settings, Gossip(members), PlainConnector(), random.Random(number))
    handlers = Handlers()
    handlers.add(raft_pb2_grpc.add_RaftServiceServicer_to_server, role.raft_servicer)
    handlers.add(consensus_pb2_grpc.add_ConsensusServiceServicer_to_server, role.servicer)
    door = Door("server port", [address], handlers, {})
    await door.start()
    task = asyncio.create_task(role.run())
    try:
        yield Shown(role, address)
    finally:
        task.cancel()
        await asyncio.wait([task])
        await door.stop()


def free_addresses(count: int) -> list[str]:
    return [f"127.0.0.1:{free_port()}" for _ in range(count)]


def store_of(folder: Path) -> str:
    """The ID of a store that is made there, and left."""
    store = LmdbStore(folder)
    store_id = store.recover().store_id
    store.close()
    return store_id


async def until_one_cluster(*servers: Shown) -> str:
    async with asyncio.timeout(60):
        while len(found := {server.role.consensus.core.cluster_id for server in servers}) != 1 or "" in found:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found.pop()


async def test_nothing_is_written_until_every_named_server_has_promised_and_then_by_all(tmp_path: Path) -> None:
    addresses = free_addresses(3)
    members = [shown(number, address, 3) for number, address in enumerate(addresses, 1)]
    async with serving(tmp_path, 1, members, addresses[0], 3) as first, serving(tmp_path, 2, members, addresses[1], 3) as second:
        await asyncio.sleep(1.0)  # several looks; the third server is shown by gossip, and not there
        assert {first.role.consensus.core.cluster_id, second.role.consensus.core.cluster_id} == {""}
        async with serving(tmp_path, 3, members, addresses[2], 3) as third:
            await until_one_cluster(first, second, third)


async def test_a_proposer_that_dies_half_way_is_continued_with_what_was_promised(tmp_path: Path) -> None:
    addresses = free_addresses(3)
    members = [shown(number, address, 3) for number, address in enumerate(addresses, 1)]
    folders = [tmp_path / f"n{number}" for number in (1, 2, 3)]
    stores = [PeerId(folder.name, store_of(folder)) for folder in folders]
    promised = Configuration("promised", tuple(Member(store, Suffrage.VOTER, store.node_id) for store in stores))
    consensus = Consensus(node_id="n3", store=MemoryStore(stores[2].store_id), snapshots=MemorySnapshots(), timing=TIMING)
    assert Promises(consensus, folders[2], 3).promise(promised, 3) == (None, "")
    async with (
        serving(tmp_path, 1, members, addresses[0], 3) as first,
        serving(tmp_path, 2, members, addresses[1], 3) as second,
        serving(tmp_path, 3, members, addresses[2], 3) as third,
    ):
        assert await until_one_cluster(first, second, third) == "promised"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"datacenter": "dc2"}, "is of datacenter dc2, we are of dc1"),
        ({"protocol": 0}, "speaks protocols 0 to 0, we speak 1"),
        ({"expect": 5}, "this server expects 3 servers, not 5"),
    ],
)
async def test_servers_that_are_too_old_or_of_elsewhere_or_expect_otherwise_are_refused_by_name(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    (address,) = free_addresses(1)
    identity = Identity("n2", "n2", str(change.get("datacenter", "dc1")), "127.0.0.1", "127.0.0.1", server=True)
    greeting: common_pb2.Hello = hello.make_hello(identity, "consensus")
    if "protocol" in change:
        greeting.protocol_min = greeting.protocol_max = 0
    async with serving(tmp_path, 1, [], address, 3) as server, PlainConnector().connect(address) as channel:
        stub = raft_pb2_grpc.RaftServiceStub(channel)
        own = server.role.consensus.core.id
        request = raft_pb2.PromiseBootstrapRequest(
            hello=greeting,
            expect=int(str(change.get("expect", 3))),
            configuration=raft_pb2.Configuration(
                cluster_id="c",
                members=[
                    raft_pb2.RaftMember(id=raft_pb2.PeerId(node_id=own.node_id, store_id=own.store_id), suffrage=raft_pb2.SUFFRAGE_VOTER)
                ],
            ),
        )
        try:
            said = (await stub.PromiseBootstrap(request, timeout=30)).reason
        except Exception as error:  # a refusal of the call itself
            said = str(error)
        assert reason in said
        assert not list((tmp_path / "n1").glob("bootstrap-promise*"))


async def test_promises_that_contradict_each_other_start_nothing_and_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "rostra.consensus")
    addresses = free_addresses(3)
    members = [shown(number, address, 3) for number, address in enumerate(addresses, 1)]
    folders = [tmp_path / f"n{number}" for number in (1, 2, 3)]
    stores = [PeerId(folder.name, store_of(folder)) for folder in folders]
    for number, cluster_id in ((2, "one"), (3, "other")):
        consensus = Consensus(
            node_id=f"n{number}", store=MemoryStore(stores[number - 1].store_id), snapshots=MemorySnapshots(), timing=TIMING
        )
        promised = Configuration(cluster_id, tuple(Member(store, Suffrage.VOTER, store.node_id) for store in stores))
        Promises(consensus, folders[number - 1], 3).promise(promised, 3)
    async with (
        serving(tmp_path, 1, members, addresses[0], 3) as first,
        serving(tmp_path, 2, members, addresses[1], 3),
        serving(tmp_path, 3, members, addresses[2], 3),
    ):
        async with asyncio.timeout(60):
            while "has promised to start cluster other, another server one" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert first.role.consensus.core.cluster_id == ""
