"""A whole node in memory, its roles wired by one kind of channel: over a socket, or within the process."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from rostra.agent.process import Role
from rostra.catalog.role import CatalogRole
from rostra.clients.agent import AgentClient
from rostra.clients.catalog import CatalogClient
from rostra.clients.consensus import ConsensusClient
from rostra.clients.dns import DnsClient
from rostra.clients.gossip import GossipClient
from rostra.consensus.role import ConsensusRole, ConsensusSettings
from rostra.consensus.timing import DEVELOPMENT_TIMING
from rostra.dns.role import DnsRole
from rostra.dns.settings import DnsSettings
from rostra.gossip.pool import PoolConfig
from rostra.gossip.role import GossipRole
from rostra.gossip.timing import DEV
from rostra.local.role import LocalRole, LocalSettings
from rostra.model.catalog import Node
from rostra.model.identity import Identity
from rostra.model.servers import consul_service, tagged_addresses
from rostra.rpc.channels import PlainConnector, connect
from rostra.rpc.doors import Door
from rostra.rpc.handlers import Handlers
from rostra.rpc.inprocess import InProcessChannel
from rostra.v1 import agent_pb2_grpc, catalog_pb2_grpc, catalog_stream_pb2_grpc, consensus_pb2_grpc, dns_pb2_grpc, gossip_pb2_grpc
from rostra.views.hub import Hub
from rostra.views.upstreams import FixedUpstreams, Upstream

IDENTITY = Identity("n1", "3f8d9e54-2a43-4f0c-9a5e-0d8f3c1b7a11", "dc1", "127.0.0.1", "127.0.0.1", server=True)


class Control:
    """The process around the roles, for a node that has none."""

    identity = IDENTITY
    version = "0.0.0"
    left = False

    def config_json(self) -> str:
        return '{"server": true}'

    async def stats(self) -> Mapping[str, Mapping[str, str]]:
        return {"build": {"version": self.version}}

    async def join(self, addresses: Sequence[str], *, wan: bool) -> int:
        return len(addresses)

    async def leave(self) -> None:
        self.left = True

    async def force_leave(self, name: str, *, prune: bool, wan: bool) -> None:
        """Nothing has failed."""

    async def reload(self) -> tuple[Sequence[str], Sequence[str]]:
        return ["log_level"], ["datacenter"]


class World:
    """The node. Every role and every client uses the one channel."""

    def __init__(self, channel: aio.Channel, handlers: Handlers) -> None:
        rng = random.Random(1)
        self.channel = channel
        self.control = Control()
        tags = {"role": "rostra", "dc": "dc1", "id": IDENTITY.id, "port": "8300", "build": "0.0.0", "vsn": "2"}
        lan = PoolConfig("lan", IDENTITY.name, "127.0.0.1", 0, tags, timing=DEV)
        self.gossip_role = GossipRole(IDENTITY, [lan], alone=True, rng=rng)
        self.consensus_role = ConsensusRole(IDENTITY, ConsensusSettings(DEVELOPMENT_TIMING), GossipClient(channel), PlainConnector(), rng)
        self.gossip = GossipClient(channel, IDENTITY)
        self.consensus = ConsensusClient(channel, IDENTITY)
        self.catalog_role = CatalogRole(IDENTITY, self.consensus, self.gossip)
        self.hub = Hub(FixedUpstreams([Upstream("here", channel)]), IDENTITY)
        node = Node("n1", "127.0.0.1", IDENTITY.id, tagged_addresses("127.0.0.1"))
        self.local_role = LocalRole(node, [consul_service(8300)], LocalSettings(), self.hub, self.hub, self.control, rng)
        self.dns_role = DnsRole(self.hub, DnsSettings(port=0))
        self.catalog = CatalogClient(channel)
        self.agent = AgentClient(channel)
        self.dns = DnsClient(channel)
        handlers.add(gossip_pb2_grpc.add_GossipServiceServicer_to_server, self.gossip_role.servicer)
        handlers.add(consensus_pb2_grpc.add_ConsensusServiceServicer_to_server, self.consensus_role.servicer)
        handlers.add(catalog_pb2_grpc.add_CatalogServiceServicer_to_server, self.catalog_role.servicer)
        handlers.add(catalog_stream_pb2_grpc.add_CatalogStreamServiceServicer_to_server, self.catalog_role.stream_servicer)
        handlers.add(agent_pb2_grpc.add_AgentServiceServicer_to_server, self.local_role.servicer)
        handlers.add(dns_pb2_grpc.add_DnsServiceServicer_to_server, self.dns_role.servicer)
        self.roles: list[Role] = [self.gossip_role, self.consensus_role, self.catalog_role, self.local_role, self.dns_role]

    def runs(self) -> list[Coroutine[Any, Any, None]]:
        return [*(role.run() for role in self.roles), self.hub.run()]

    async def settled(self) -> None:
        """Until the node is in its own catalog and the views show it."""
        await until(lambda: self.local_role.ready and self.hub.ready)


async def until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    """Waits for a condition; fails after the limit."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        await asyncio.sleep(0.01)


@pytest.fixture(params=["socket", "in-process"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    handlers = Handlers()
    over_socket = request.param == "socket"
    address = f"unix:{tmp_path}/door.sock"
    channel = connect(address) if over_socket else InProcessChannel(handlers, verify=True)
    world = World(channel, handlers)
    door = Door("test door", [address], handlers, {})
    for role in world.roles:
        await role.start()
    if over_socket:
        await door.start()
    tasks = [asyncio.create_task(run) for run in world.runs()]
    await world.settled()
    yield world
    for task in reversed(tasks):
        task.cancel()
        await asyncio.wait([task])
    for role in reversed(world.roles):
        await role.stop()
    await channel.close()
    if over_socket:
        await door.stop()
