"""A snapshot on its way from one server to another, over connections that break."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rostra.consensus import snapshot_stream
from rostra.consensus.bootstrap import Promises
from rostra.consensus.configuration import Configuration
from rostra.consensus.convert import peer_to_proto, snapshot_header
from rostra.consensus.driver import Consensus
from rostra.consensus.lmdb_store import LmdbStore
from rostra.consensus.model import Member, PeerId, SnapshotMeta, Suffrage
from rostra.consensus.peers import AddressBook, Peers
from rostra.consensus.raft_servicer import RaftServicer
from rostra.consensus.snapshots import FileSnapshots, MemorySnapshots
from rostra.consensus.storage import MemoryStore
from rostra.errors import BadRequest, Conflict, RostraError, Timeout, Unavailable
from rostra.model.identity import Identity
from rostra.rpc.handlers import Handlers
from rostra.rpc.inprocess import InProcessChannel
from rostra.v1 import raft_pb2, raft_pb2_grpc

from .test_catalog_snapshots import until
from .test_driver import running

LEADER = Identity("n1", "3f8d9e54-2a43-4f0c-9a5e-0d8f3c1b7a11", "dc1", "127.0.0.1", "127.0.0.1", server=True)
RECEIVER = Identity("n2", "3f8d9e54-2a43-4f0c-9a5e-0d8f3c1b7a12", "dc1", "127.0.0.2", "127.0.0.2", server=True)
OWN = PeerId(LEADER.id, "store-1")
DATA = random.Random(7).randbytes(3 * 1024 * 1024 + 17)


class Flaky(RaftServicer):
    """Its connections break after ``pieces``; ``offsets`` are where transfers began."""

    pieces: list[int]
    offsets: list[int]

    async def InstallSnapshot(  # noqa: N802 - the name is the contract's
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[raft_pb2.InstallSnapshotResponse]:
        limit = self.pieces.pop(0) if self.pieces else None

        async def until_it_breaks() -> AsyncIterator[raft_pb2.InstallSnapshotRequest]:
            taken = 0
            async for request in request_iterator:
                if request.WhichOneof("content") == "chunk":
                    taken += 1
                if limit is not None and taken > limit:
                    raise Unavailable("the connection broke")
                yield request

        async for answer in super().InstallSnapshot(until_it_breaks(), context):
            if answer.WhichOneof("content") == "received_bytes":
                self.offsets.append(answer.received_bytes)
            yield answer


class Connector:
    """There is one server to connect to."""

    def __init__(self, channel: InProcessChannel) -> None:
        self._channel = channel

    def connect(self, target: str) -> Any:
        return self._channel


class Way:
    """From the leader to one receiver."""

    def __init__(self, receiver: Consensus, *breaks: int, servicer: type[Flaky] = Flaky) -> None:
        self.receiver = receiver
        self.servicer = servicer(receiver, RECEIVER, Promises(receiver, None, 0))
        self.servicer.pieces, self.servicer.offsets = list(breaks), []
        handlers = Handlers()
        handlers.add(raft_pb2_grpc.add_RaftServiceServicer_to_server, self.servicer)
        configuration = Configuration(
            "cluster", (Member(OWN, Suffrage.VOTER, "n1"), Member(receiver.core.id, Suffrage.LEARNER, "n2", "10.0.0.2:8300"))
        )
        book = AddressBook(lambda: configuration)
        self.peers = Peers(LEADER, book, lambda: OWN, Connector(InProcessChannel(handlers)), random.Random(1))
        self.meta = SnapshotMeta("s1", "cluster", 500, 3, 0, configuration.encode(), 1)
        self.snapshots = MemorySnapshots()
        writer = self.snapshots.create(self.meta)
        writer.write(DATA)
        writer.finish()

    async def send(self) -> bool:
        return await self.peers.send_snapshot(self.receiver.core.id, self.meta, 3, self.snapshots)


async def test_it_goes_on_where_it_broke_off_and_is_installed_once_it_is_whole(tmp_path: Path) -> None:
    async with running(LmdbStore(tmp_path / "log"), snapshots := FileSnapshots(tmp_path / "snapshots")) as receiver:
        way = Way(receiver, 3, 0, 5)
        for _ in range(3):
            with pytest.raises(RostraError):
                await way.send()
            assert receiver.core.snapshot is None
        assert await way.send()
        assert way.servicer.offsets == sorted(way.servicer.offsets)
        assert way.servicer.offsets[0] == 0
        assert way.servicer.offsets[-1] > way.servicer.offsets[1] > 0
        await until(lambda: receiver.core.snapshot is not None)
        assert receiver.core.snapshot == way.meta
        assert receiver.core.commit_index == 500
        assert b"".join(snapshots.read(way.meta)) == DATA


async def test_a_damaged_piece_is_refused_and_what_was_there_before_it_stays(tmp_path: Path) -> None:
    async with running(LmdbStore(tmp_path / "log"), FileSnapshots(tmp_path / "snapshots")) as receiver:
        way = Way(receiver)
        damaged = raft_pb2.SnapshotChunk(offset=0, data=b"damaged", crc32=1)

        async def requests() -> AsyncIterator[raft_pb2.InstallSnapshotRequest]:
            yield raft_pb2.InstallSnapshotRequest(hello=way.peers.hello())
            yield raft_pb2.InstallSnapshotRequest(offer=way_offer(way))
            yield raft_pb2.InstallSnapshotRequest(chunk=damaged)

        with pytest.raises(BadRequest, match="out of place or damaged"):
            async for _ in way.servicer.InstallSnapshot(requests(), None):
                pass
        assert await way.send()
        assert way.servicer.offsets == [0, 0]


async def test_a_snapshot_for_another_store_is_refused(tmp_path: Path) -> None:
    async with running(LmdbStore(tmp_path / "log"), FileSnapshots(tmp_path / "snapshots")) as receiver:
        way = Way(receiver)
        former = PeerId(RECEIVER.id, "a store that is gone")
        way.peers.book.learn(RECEIVER.id, ["10.0.0.2:8300"])
        with pytest.raises(Conflict, match="reached store"):
            await way.peers.send_snapshot(former, way.meta, 3, way.snapshots)


def way_offer(way: Way) -> raft_pb2.InstallSnapshotOffer:
    size, checksum = way.snapshots.measure(way.meta)
    return raft_pb2.InstallSnapshotOffer(
        term=3,
        sender=peer_to_proto(OWN),
        receiver=peer_to_proto(way.receiver.core.id),
        header=snapshot_header(way.meta, "cluster"),
        size_bytes=size,
        data_crc32=checksum,
    )


class Silent(Flaky):
    """Takes every piece, and never says that it has installed them."""

    async def InstallSnapshot(  # noqa: N802 - the name is the contract's
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[raft_pb2.InstallSnapshotResponse]:
        async for answer in super().InstallSnapshot(request_iterator, context):
            if answer.WhichOneof("content") != "installed_index":
                yield answer
        await asyncio.Event().wait()


async def test_a_receiver_that_never_answers_is_given_up_and_does_not_end_the_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_stream, "SNAPSHOT_TIMEOUT_S", 0.05)
    async with running(MemoryStore(), MemorySnapshots()) as receiver, asyncio.timeout(30):
        way = Way(receiver, servicer=Silent)
        with pytest.raises(Timeout):
            await way.send()
