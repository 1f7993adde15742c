"""``raft_snapshot_threshold``, ``raft_snapshot_interval`` and ``raft_trailing_logs``, with a catalog as the state machine."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from rostra.catalog.role import CatalogRole
from rostra.clients.catalog import CatalogClient
from rostra.clients.consensus import ConsensusClient
from rostra.clients.gossip import GossipClient
from rostra.consensus.role import ConsensusRole, ConsensusSettings
from rostra.consensus.timing import DEVELOPMENT_TIMING
from rostra.model.catalog import Node, Registration
from rostra.model.identity import Identity
from rostra.rpc.channels import PlainConnector
from rostra.rpc.handlers import Handlers
from rostra.rpc.inprocess import InProcessChannel
from rostra.v1 import catalog_pb2_grpc, consensus_pb2_grpc

IDENTITY = Identity("n1", "3f8d9e54-2a43-4f0c-9a5e-0d8f3c1b7a11", "dc1", "127.0.0.1", "127.0.0.1", server=True)
THRESHOLD, TRAILING = 20, 5


class Node1:
    """Consensus on a disk, a catalog on it, and no gossip."""

    def __init__(self, folder: Path) -> None:
        handlers = Handlers()
        channel = InProcessChannel(handlers)
        gossip = GossipClient(channel)
        settings = ConsensusSettings(
            DEVELOPMENT_TIMING, folder, snapshot_threshold=THRESHOLD, snapshot_interval_s=0.05, trailing_logs=TRAILING
        )
        self.consensus = ConsensusRole(IDENTITY, settings, gossip, PlainConnector(), random.Random(1))
        self.catalog = CatalogRole(IDENTITY, ConsensusClient(channel, IDENTITY), gossip)
        self.client = CatalogClient(channel)
        handlers.add(consensus_pb2_grpc.add_ConsensusServiceServicer_to_server, self.consensus.servicer)
        handlers.add(catalog_pb2_grpc.add_CatalogServiceServicer_to_server, self.catalog.servicer)

    @property
    def snapshot_index(self) -> int:
        snapshot = self.consensus.consensus.core.snapshot
        return 0 if snapshot is None else snapshot.index

    async def register(self, numbers: range) -> None:
        for number in numbers:
            await self.client.register(Registration(Node(f"node-{number:03}", "127.0.0.1")))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Node1]:
    node = Node1(folder)
    await node.consensus.start()
    tasks = [asyncio.create_task(node.consensus.run()), asyncio.create_task(node.catalog.run())]
    try:
        await until(lambda: node.catalog.ready and node.catalog.leadership.current.is_leader)
        yield node
    finally:
        for task in reversed(tasks):
            task.cancel()
            await asyncio.wait([task])


async def test_the_catalog_hands_over_a_snapshot_at_the_threshold_and_returns_from_it(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.register(range(THRESHOLD // 2))
        await asyncio.sleep(0.1)  # two looks
        assert node.snapshot_index == 0, "not before the threshold"
        await node.register(range(THRESHOLD // 2, 40))
        await until(lambda: node.snapshot_index >= THRESHOLD)
        await node.register(range(40, 45))
        log = node.consensus.consensus.core.log
        await until(lambda: log.base_index == node.snapshot_index - TRAILING)  # cut after the snapshot is there

    async with running(tmp_path) as node:
        result = await node.client.list_nodes()
        assert [each.name for each in result.value] == [f"node-{number:03}" for number in range(45)]
        assert node.consensus.consensus.core.log.base_index > 0, "the log before the snapshot is gone: the rest came from there"
