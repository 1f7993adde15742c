"""A state machine on its stream, as the servicer serves it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from random import Random

import pytest

from rostra.clients.consensus import AttachStream, ConsensusClient, Entries, SnapshotStart
from rostra.consensus.attachment import DEFAULT_WINDOW_BYTES
from rostra.consensus.driver import Consensus
from rostra.consensus.peers import AddressBook, Peers
from rostra.consensus.servicer import ConsensusServicer
from rostra.consensus.snapshots import MemorySnapshots
from rostra.consensus.storage import MemoryStore
from rostra.errors import RostraError
from rostra.model.identity import Identity
from rostra.rpc.channels import PlainConnector
from rostra.rpc.handlers import Handlers
from rostra.rpc.inprocess import InProcessChannel
from rostra.v1 import consensus_pb2_grpc

from .test_driver import last_index, leading

IDENTITY = Identity("n1", "3f8d9e54-2a43-4f0c-9a5e-0d8f3c1b7a11", "dc1", "127.0.0.1", "127.0.0.1", server=True)
COMMAND = bytes(400_000)


@contextlib.asynccontextmanager
async def attached(consensus: Consensus) -> AsyncIterator[AttachStream]:
    core = consensus.core
    peers = Peers(IDENTITY, AddressBook(lambda: core.configuration), lambda: core.id, PlainConnector(), Random(1))
    handlers = Handlers()
    handlers.add(consensus_pb2_grpc.add_ConsensusServiceServicer_to_server, ConsensusServicer(consensus, IDENTITY, peers))
    async with ConsensusClient(InProcessChannel(handlers), IDENTITY).attach(primary=True) as stream:
        yield stream


async def apply_up_to(stream: AttachStream, index: int) -> None:
    """As a state machine does: reports what it has applied."""
    applied = 0
    while applied < index:
        event = await stream.receive()
        if isinstance(event, Entries):
            applied = event.entries[-1].index
            await stream.report_applied(applied)


async def test_reports_between_the_pieces_of_a_snapshot_make_room_for_more_entries() -> None:
    """While a large snapshot is handed over, more is written than the window holds. Were the reports lost, there would be no room any
    more, hence nothing to apply, hence never another report."""
    async with leading(lambda: (MemoryStore(), MemorySnapshots())) as consensus, attached(consensus) as stream, asyncio.timeout(30):
        start = last_index(await consensus.propose([b"a"]))
        await apply_up_to(stream, start)
        core = consensus.core
        await stream.send_snapshot_start(SnapshotStart(core.cluster_id, start, core.term, core.log.time_ns(start)))
        await stream.send_snapshot_data(0, b"first", last=False)
        count = DEFAULT_WINDOW_BYTES // len(COMMAND) * 2
        end = last_index([outcome for _ in range(count) for outcome in await consensus.propose([COMMAND])])
        await apply_up_to(stream, end)
        await stream.send_snapshot_data(5, b"last", last=True)
        while core.snapshot is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert core.snapshot.index == start
        assert consensus.applied_index == end


async def test_a_snapshot_whose_stream_ends_before_its_last_piece_is_not_kept() -> None:
    """A state machine that dies half-way ends its stream like one that has said everything. What had come by then must not become the
    latest snapshot: the log behind it would go, and nobody could load it."""
    async with leading(lambda: (MemoryStore(), MemorySnapshots())) as consensus, asyncio.timeout(30):
        start = last_index(await consensus.propose([b"a"]))
        async with attached(consensus) as stream:
            await apply_up_to(stream, start)
            core = consensus.core
            await stream.send_snapshot_start(SnapshotStart(core.cluster_id, start, core.term, core.log.time_ns(start)))
            await stream.send_snapshot_data(0, b"first", last=False)
            await stream._call.done_writing()
            with pytest.raises(RostraError):
                await stream.receive()
        assert core.snapshot is None
