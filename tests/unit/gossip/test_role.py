"""The role and GossipService over a real gRPC socket."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from rostra.clients.gossip import GossipClient, KeyAction, Members, Settled
from rostra.errors import BadRequest, ConfigError, NotFound
from rostra.gossip.keyring import encode_key
from rostra.gossip.pool import PoolConfig
from rostra.gossip.role import GossipRole
from rostra.gossip.storage import PoolStorage
from rostra.gossip.timing import LAN
from rostra.model.identity import Identity
from rostra.model.members import MemberChange, MemberStatus
from rostra.rpc.channels import connect
from rostra.rpc.doors import Door
from rostra.rpc.handlers import Handlers
from rostra.v1 import gossip_pb2, gossip_pb2_grpc

from ...process.harness.ports import free_port

QUICK = dataclasses.replace(
    LAN, probe_interval_s=30.0, gossip_interval_s=0.01, leave_propagate_delay_s=0.02, broadcast_timeout_s=1.0, query_timeout_mult=3000
)  # fmt: skip
"""Quick, but for how long an answer may take: every member of these pools has to find time for it, and nobody is to be thought dead."""
PROBING = dataclasses.replace(QUICK, probe_interval_s=0.05, probe_timeout_s=0.02)
OLD, NEW = bytes(range(16)), bytes(range(32))


class Node:
    """A gossip role behind a door of its own."""

    def __init__(self, folder: Path, name: str, *, server: bool = True, **config: Any) -> None:
        identity = Identity(name, f"id-of-{name}", "dc1", "127.0.0.1", "127.0.0.1", server=server)
        role, tags = ("rostra", {"port": "8300"}) if server else ("rostra-client", {})
        settings = {"bind_host": "127.0.0.1", "bind_port": 0, "tags": {"role": role, "dc": "dc1", **tags}, "timing": QUICK, **config}
        pools = [PoolConfig("lan", name, **settings)] + ([PoolConfig("wan", f"{name}.dc1", **settings)] if server else [])
        self.role = GossipRole(identity, pools, alone=False, rng=random.Random(1))
        self.lan = self.role.pools["lan"]
        handlers = Handlers()
        handlers.add(gossip_pb2_grpc.add_GossipServiceServicer_to_server, self.role.servicer)
        self._address = f"unix:{folder}/{name}.sock"
        self._door = Door("test door", [self._address], handlers, {})
        self._task: asyncio.Task[None] | None = None
        self.channel: aio.Channel
        self.client: GossipClient

    async def start(self) -> None:
        await self.role.start()
        await self._door.start()
        self._task = asyncio.create_task(self.role.run())
        for pool in self.role.pools.values():
            await pool.ready.wait()
        if "wan" in self.role.pools:  # known only now: the system has chosen it
            tags = {**self.lan.local_member().tags, "wan_join_port": str(self.role.port("wan"))}
            self.lan.set_tags(tags)
        self.channel = connect(self._address)
        self.client = GossipClient(self.channel)

    async def crash(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        await self.crash()
        await self.channel.close()
        await self._door.stop()
        await self.role.stop()


class Nodes:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all: list[Node] = []

    async def start(self, name: str, **config: Any) -> Node:
        node = Node(self._folder, name, **config)
        self._all.append(node)
        await node.start()
        return node

    async def join(self, name: str, to: Node, **config: Any) -> Node:
        node = await self.start(name, **config)
        assert await node.client.join([str(to.lan.address)]) == 1
        await until(to, "lan", name, MemberStatus.ALIVE)
        return node

    async def stop(self) -> None:
        for node in self._all:
            await node.stop()


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    found = Nodes(tmp_path)
    yield found
    await found.stop()


async def read(call: Any) -> Any:
    """The next message of a stream."""
    message = await call.read()
    assert message is not aio.EOF
    return message


async def until(node: Node, pool: str, name: str, status: MemberStatus | None) -> None:
    """Follow the members as any client does."""
    known: dict[str, MemberStatus] = {}
    async with asyncio.timeout(60):
        async for event in node.client.watch_members(pool):
            match event:
                case Members(members=members):
                    known = {member.name: member.status for member in members}
                case MemberChange(kind=kind, member=member):
                    known[member.name] = member.status
                    if kind.value == "reaped":
                        del known[member.name]
                case Settled():
                    pass
            if known.get(name) is status:
                return


async def test_a_slow_watcher_is_given_the_whole_list_again_and_ends_up_right(nodes: Nodes) -> None:
    node = await nodes.start("n1")
    stub = gossip_pb2_grpc.GossipServiceStub(node.channel)
    call = stub.WatchMembers(gossip_pb2.WatchMembersRequest())
    assert (await read(call)).HasField("hello")
    assert (await read(call)).HasField("snapshot")
    last = 20_000
    for number in range(1, last + 1):  # nobody reads meanwhile
        node.lan.set_tags({"role": "rostra", "dc": "dc1", "number": str(number)})
        if number % 500 == 0:
            await asyncio.sleep(0)
    seen, snapshots, changes = 0, 0, 0
    async with asyncio.timeout(60):
        while seen < last:
            message = await read(call)
            if message.HasField("snapshot"):
                snapshots += 1
                (member,) = message.snapshot.members
            else:
                changes += 1
                member = message.change.member
            number = int(member.tags["number"])
            assert number == seen + 1 or (number > seen and message.HasField("snapshot")), "nothing lost, nothing out of order"
            seen = number
    assert snapshots >= 1
    assert changes < last / 2, "it was told to begin anew, not everything that it had missed"
    call.cancel()


async def test_a_slow_reader_of_events_is_told_how_many_it_lost(nodes: Nodes) -> None:
    node = await nodes.start("n1")
    stub = gossip_pb2_grpc.GossipServiceStub(node.channel)
    call = stub.WatchUserEvents(gossip_pb2.WatchUserEventsRequest())
    assert (await read(call)).HasField("hello")
    count = 12_000
    for number in range(count):
        node.lan.user_event("tick", b"%d" % number + bytes(200))
        if number % 500 == 0:
            await asyncio.sleep(0)
    heard, lost = 0, 0
    async with asyncio.timeout(60):
        while heard + lost < count:
            message = await read(call)
            if message.HasField("user_event"):
                assert int(message.user_event.payload.rstrip(b"\0")) == heard + lost, "events are counted without a gap"
                heard += 1
            else:
                lost += message.lost
    assert lost > 0
    assert node.lan.user_event("after", b"") > count
    assert (await read(call)).user_event.name == "after"
    call.cancel()


async def test_an_event_is_sent_by_one_and_watched_at_another(nodes: Nodes) -> None:
    first = await nodes.start("n1")
    second = await nodes.join("n2", first)
    call = gossip_pb2_grpc.GossipServiceStub(second.channel).WatchUserEvents(gossip_pb2.WatchUserEventsRequest())
    assert (await read(call)).HasField("hello")
    ltime = await first.client.send_user_event("deploy", b"v1")
    async with asyncio.timeout(60):
        assert (await read(call)).user_event == gossip_pb2.UserEvent(name="deploy", payload=b"v1", ltime=ltime)
    with pytest.raises(BadRequest):
        await first.client.send_user_event("", b"")
    call.cancel()


async def test_keys_are_listed_and_changed_on_every_member(nodes: Nodes) -> None:
    first = await nodes.start("n1", keys=[OLD])
    second = await nodes.join("n2", first, keys=[OLD])
    assert (await first.client.get_status()).pools["lan"].encrypted
    for action, key in ((KeyAction.INSTALL, NEW), (KeyAction.USE, NEW), (KeyAction.REMOVE, OLD)):
        done = await first.client.change_key(action, key, relay_factor=1)
        assert (done.members, done.responses, done.errors) == (2, 2, {})
    listed = await second.client.list_keys()
    assert (listed.members, listed.keys, listed.primary_keys, listed.errors) == (2, {encode_key(NEW): 2}, {encode_key(NEW): 2}, {})
    local = await second.client.list_keys(local_only=True)
    assert (local.members, local.keys) == (1, {encode_key(NEW): 1})
    assert set((await first.client.list_keys("wan")).keys) == {encode_key(OLD)}, "each pool has a keyring of its own"
    refused = await first.client.change_key(KeyAction.USE, OLD)
    assert refused.errors == dict.fromkeys(("n1", "n2"), "the key is not in the keyring")


async def test_a_member_that_does_not_answer_about_keys_is_named(nodes: Nodes) -> None:
    first = await nodes.start("n1", keys=[OLD], timing=dataclasses.replace(QUICK, query_timeout_mult=20))
    second = await nodes.join("n2", first, keys=[OLD])
    await second.crash()
    listed = await first.client.list_keys()
    assert (listed.members, listed.keys, listed.errors) == (2, {encode_key(OLD): 1}, {"n2": "it did not answer in time"})


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (gossip_pb2.ChangeKeyRequest(action=gossip_pb2.KEY_ACTION_USE, key=b"short"), "key"),
        (gossip_pb2.ChangeKeyRequest(key=NEW), "action"),
        (gossip_pb2.ChangeKeyRequest(action=gossip_pb2.KEY_ACTION_USE, key=NEW, relay_factor=6), "relay_factor"),
        (gossip_pb2.ChangeKeyRequest(action=gossip_pb2.KEY_ACTION_USE, key=NEW), "not encrypted"),
    ],
)
async def test_a_key_request_that_makes_no_sense_is_refused(nodes: Nodes, request_: gossip_pb2.ChangeKeyRequest, field: str) -> None:
    node = await nodes.start("n1", keys=[] if field == "not encrypted" else [OLD])
    with pytest.raises(aio.AioRpcError) as refusal:
        await gossip_pb2_grpc.GossipServiceStub(node.channel).ChangeKey(request_)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in str(refusal.value.details())
    assert node.lan.keys == (() if field == "not encrypted" else (OLD,))


async def test_servers_are_brought_into_the_wan_pool_and_forced_out_of_both(nodes: Nodes) -> None:
    first = await nodes.start("n1", timing=PROBING)
    second = await nodes.join("n2", first, timing=PROBING)
    await nodes.join("c1", first, server=False, timing=PROBING)
    await until(first, "wan", "n2.dc1", MemberStatus.ALIVE)
    await until(second, "wan", "n1.dc1", MemberStatus.ALIVE)
    assert {member.name for member in (await first.client.list_members("wan"))[0]} == {"n1.dc1", "n2.dc1"}
    await second.crash()
    await until(first, "lan", "n2", MemberStatus.FAILED)
    await until(first, "wan", "n2.dc1", MemberStatus.FAILED)
    await first.client.force_leave("n2", prune=True)
    await until(first, "wan", "n2.dc1", MemberStatus.LEFT)
    with pytest.raises(NotFound):
        await first.client.force_leave("nobody")


async def test_who_has_left_the_wan_pool_is_not_brought_back(nodes: Nodes) -> None:
    first = await nodes.start("n1")
    second = await nodes.join("n2", first)
    await until(first, "wan", "n2.dc1", MemberStatus.ALIVE)
    await second.client.leave("wan")
    await until(first, "wan", "n2.dc1", MemberStatus.LEFT)
    wan = second.role.pools["wan"]
    dialled = wan.stats()["streams_opened"]
    second.lan.set_tags({**second.lan.local_member().tags, "new": "tag"})  # as good as a server that appears
    async with asyncio.timeout(60):
        async for event in first.client.watch_members():
            told = event.members if isinstance(event, Members) else [event.member] if isinstance(event, MemberChange) else []
            if any(member.tags.get("new") == "tag" for member in told):
                break
    assert wan.stats()["streams_opened"] == dialled


async def test_a_keyring_that_cannot_be_read_is_found_out_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "lan.keyring").write_text("[]")
    node = Node(tmp_path, "n1", storage=PoolStorage(tmp_path, "lan"))
    with pytest.raises(ConfigError, match=r"lan\.keyring cannot be read: it is empty"):
        await node.role.start()
    await node.role.stop()


async def test_sockets_that_were_bound_and_never_run_are_given_back(tmp_path: Path) -> None:
    node = Node(tmp_path, "n1", bind_port=(port := free_port()), server=False)
    await node.role.start()
    await node.role.stop()
    again = Node(tmp_path, "n1", bind_port=port, server=False)
    await again.role.start()
    assert again.role.port("lan") == port
    await again.role.stop()
