"""A catalog role between a fake consensus and a fake gossip."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from grpc import aio

from rostra.catalog.role import CatalogRole
from rostra.clients.catalog import CatalogClient
from rostra.clients.catalog_stream import CatalogStreamClient
from rostra.clients.consensus import ConsensusClient
from rostra.clients.gossip import GossipClient
from rostra.clients.snapshot import SnapshotClient
from rostra.rpc.channels import connect
from rostra.rpc.doors import Door
from rostra.rpc.handlers import Handlers
from rostra.rpc.inprocess import InProcessChannel
from rostra.v1.catalog_pb2_grpc import add_CatalogServiceServicer_to_server
from rostra.v1.catalog_stream_pb2_grpc import add_CatalogStreamServiceServicer_to_server
from rostra.v1.consensus_pb2_grpc import add_ConsensusServiceServicer_to_server
from rostra.v1.gossip_pb2_grpc import add_GossipServiceServicer_to_server
from rostra.v1.snapshot_pb2_grpc import add_SnapshotServiceServicer_to_server

from .fake_consensus_servicer import IDENTITY, FakeConsensus
from .fake_gossip_servicer import FakeGossip

HOLD_S = 1.5


class World:
    """``role`` is the catalog; ``client`` and ``streams`` ask it."""

    def __init__(self) -> None:
        self.consensus = FakeConsensus()
        self.gossip = FakeGossip()
        self.handlers = Handlers()
        self.handlers.add(add_ConsensusServiceServicer_to_server, self.consensus)
        self.handlers.add(add_GossipServiceServicer_to_server, self.gossip)
        self.role: CatalogRole
        self.client: CatalogClient
        self.snapshots: SnapshotClient
        self.streams: CatalogStreamClient
        self.task: asyncio.Task[None]

    def start(self, channel: aio.Channel, *, observer: bool = False) -> None:
        consensus, gossip = ConsensusClient(channel), GossipClient(channel)
        self.role = CatalogRole(IDENTITY, consensus, gossip, observer=observer, hold_s=HOLD_S, rng=random.Random(1))
        self.handlers.add(add_CatalogServiceServicer_to_server, self.role.servicer)
        self.handlers.add(add_CatalogStreamServiceServicer_to_server, self.role.stream_servicer)
        self.handlers.add(add_SnapshotServiceServicer_to_server, self.role.snapshot_servicer)
        self.client = CatalogClient(channel)
        self.snapshots = SnapshotClient(channel)
        self.streams = CatalogStreamClient(channel, IDENTITY, "dns")
        self.task = asyncio.create_task(self.role.run())

    async def until(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Polls: what is waited for crosses several tasks."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.002)


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.fixture(params=["within the process", "over a socket"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """Both channels: the same tests hold over either."""
    world = World()
    if request.param == "within the process":
        world.start(InProcessChannel(world.handlers, verify=True))
        await world.until(lambda: world.role.ready)
        yield world
        await stop(world.task)
        return
    address = f"unix:{tmp_path}/door"
    channel = connect(address)
    world.start(channel)
    door = Door("test door", [address], world.handlers, {})
    await door.start()
    await world.until(lambda: world.role.ready)
    yield world
    await stop(world.task)
    await channel.close()
    await door.stop()


@pytest.fixture
async def near() -> AsyncIterator[World]:
    """Within the process only."""
    world = World()
    world.start(InProcessChannel(world.handlers))
    await world.until(lambda: world.role.ready)
    yield world
    await stop(world.task)
