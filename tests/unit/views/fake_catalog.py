"""A catalog with a simple inside: one shared log, no index, no ring, and levers to make it lag, stall, break and fall silent.

It serves the real contract, over a socket or within the process, and derives every answer by folding the log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc import aio

from rostra.errors import BadRequest, NoLeader, NotReady, RostraError, Unavailable
from rostra.model.catalog import Deregistration, Node, Registration, Service, ServiceInstance, ServiceSummary
from rostra.model.identity import Identity
from rostra.model.proto import command_from_proto, entry_to_proto, topic_from_proto
from rostra.model.topics import NODES, SERVICES, Entry, Topic, TopicKind, instance_key, node_key
from rostra.rpc.channels import connect
from rostra.rpc.handlers import Handlers
from rostra.rpc.hello import make_hello
from rostra.rpc.inprocess import InProcessChannel
from rostra.rpc.status import detail_from_error
from rostra.v1 import catalog_stream_pb2 as pb
from rostra.v1.catalog_stream_pb2_grpc import CatalogStreamServiceServicer, add_CatalogStreamServiceServicer_to_server
from rostra.views.upstreams import Upstream

CONTACT_S = 0.05
PART_ENTRIES = 2
IDENTITY = Identity("n1", "5a1c0d52-91d4-4c0f-9d0e-0d9b1a4a2f11", "dc1")


def service_topic(name: str) -> Topic:
    return Topic(TopicKind.SERVICE, name)


@dataclass(slots=True)
class FakeCluster:
    """The log that all catalogs share. ``contents`` and ``last_change`` say what a topic holds as of an index."""

    cluster_id: str = "0c6a3b1e-0000-4000-8000-000000000001"
    leader: bool = True
    leader_at: str = ""
    """Which catalog says that it leads, by name."""
    index: int = 10
    log: list[tuple[int, Topic, tuple[Entry, ...]]] = field(default_factory=list)
    results: dict[bytes, int] = field(default_factory=dict)
    catalogs: list[FakeCatalog] = field(default_factory=list)

    def contents(self, topic: Topic, index: int | None = None) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for at, changed, delta in self.log:
            if changed == topic and (index is None or at <= index):
                entries |= {entry.key: entry for entry in delta}
        return {key: entries[key] for key in sorted(entries) if entries[key].value is not None}

    def last_change(self, topic: Topic, index: int | None = None) -> int:
        """A topic that never changed is as old as the cluster."""
        return max((at for at, changed, _ in self.log if changed == topic and (index is None or at <= index)), default=1)

    def register(self, node: str, service: str) -> int:
        """Adds an instance of ``service`` on ``node``."""
        self.index += 1
        index = self.index
        record = Node(node, "127.0.0.1", id=f"00000000-0000-4000-8000-{sum(node.encode()):012}", modify_index=index)
        instance = ServiceInstance(record, Service(service, service, port=index % 65536), ())
        key = instance_key(node, service)
        instances = len(self.contents(service_topic(service)).keys() | {key})
        self._append(NODES, Entry(node_key(node), index, record))
        self._append(SERVICES, Entry(service, index, ServiceSummary(service, (), instances)))
        self._append(service_topic(service), Entry(key, index, instance))
        self._changed()
        return index

    def deregister(self, node: str, service: str) -> int:
        """Removes it again."""
        self.index += 1
        topic, key = service_topic(service), instance_key(node, service)
        left = len(self.contents(topic).keys() - {key})
        self._append(SERVICES, Entry(service, self.index, ServiceSummary(service, (), left) if left else None))
        self._append(topic, Entry(key, self.index, None))
        self._changed()
        return self.index

    def apply(self, request_id: bytes, command: object) -> int:
        """A repeated request ID gets the first one's result."""
        if request_id not in self.results:
            match command:
                case Registration(node=node, service=Service(name=service)):
                    self.results[request_id] = self.register(node.name, service)
                case Deregistration(node=node_name, service_id=service):
                    self.results[request_id] = self.deregister(node_name, service)
                case _:
                    raise BadRequest("registration.service is required", field="registration.service")
        return self.results[request_id]

    def _append(self, topic: Topic, entry: Entry) -> None:
        self.log.append((self.index, topic, (entry,)))

    def _changed(self) -> None:
        for catalog in self.catalogs:
            catalog.catch_up()


class FakeCatalog(CatalogStreamServiceServicer):
    """One server. The levers are plain attributes; gates are open when set."""

    def __init__(self, cluster: FakeCluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.applied = cluster.index
        self.frozen = False
        self.dead = False
        self.cut_off = False
        self.silent = False
        self.knows_at_once = False
        """Whether it answers barriers beside the stream, where nothing is left to be sent."""
        self.ring_floor = 0
        self.lose_results = 0
        self.tells_watches = True
        """Whether it says by itself how far a watcher's topics have come with its writes."""
        self.told_gate = _open_gate()
        self.writes_begun = 0
        self.write_error: RostraError | None = None
        self.barrier_gate = _open_gate()
        self.snapshot_gate = _open_gate()
        self.write_gate = _open_gate()
        self.subscribes: list[pb.Subscribe] = []
        self.unsubscribes: list[int] = []
        self.barriers: list[pb.Barrier] = []
        self.reached_at_once = 0
        self.request_ids: list[bytes] = []
        self.snapshots = 0
        self._connections: set[_Connection] = set()
        self._server: aio.Server | None = None
        cluster.catalogs.append(self)

    async def start(self, transport: str) -> Upstream:
        if transport == "socket":
            self._server = aio.server()
            add_CatalogStreamServiceServicer_to_server(self, self._server)
            port = self._server.add_insecure_port("127.0.0.1:0")
            await self._server.start()
            return Upstream(self.name, connect(f"127.0.0.1:{port}"))
        handlers = Handlers()
        handlers.add(add_CatalogStreamServiceServicer_to_server, self)
        return Upstream(self.name, InProcessChannel(handlers, verify=True))

    async def stop(self) -> None:
        self.die()
        if self._server is not None:
            await self._server.stop(0)

    def die(self) -> None:
        """Breaks every stream and refuses new ones, until ``revive``."""
        self.dead = True
        self.break_streams()

    def revive(self) -> None:
        self.dead = False

    def break_streams(self) -> None:
        for connection in self._connections:
            connection.queue.put_nowait(Unavailable("broken"))

    def break_watches(self) -> None:
        """As ``break_streams``, but writes go on where they were."""
        for connection in self._connections:
            if connection.topics:
                connection.queue.put_nowait(Unavailable("broken"))

    @property
    def watched(self) -> bool:
        """Whether a hub lives on this catalog."""
        return any(connection.topics for connection in self._connections)

    @property
    def sees_leader(self) -> bool:
        return self.cluster.leader and not self.cut_off

    def catch_up(self) -> None:
        """Applies the log, and sends what that changes."""
        if not self.frozen:
            self.applied = self.cluster.index
            for connection in self._connections:
                connection.flush()

    def tell_watch(self, watch_id: int, index: int) -> bool:
        watch = next((each for each in self._connections if watch_id and each.watch_id == watch_id), None)
        if watch is None or not self.tells_watches or self.applied < index:
            return False
        watch.start(watch.progress(index))
        return True

    def thaw(self) -> None:
        self.frozen = False
        self.catch_up()

    async def Watch(self, request_iterator: AsyncIterator[pb.WatchRequest], context: Any) -> AsyncIterator[pb.WatchResponse]:  # noqa: N802
        connection = _Connection(self)
        async for message in self._serve(connection, connection.watch(request_iterator), context):
            yield message

    async def GetBarrier(self, request: pb.GetBarrierRequest, context: Any) -> pb.GetBarrierResponse:  # noqa: N802
        connection = next((each for each in self._connections if each.watch_id == request.watch_id), None)
        knows = self.knows_at_once and self.sees_leader and self.applied >= self.cluster.index
        if not knows or connection is None or connection.snapshots or not connection.queue.empty():
            return pb.GetBarrierResponse()
        self.reached_at_once += 1
        return pb.GetBarrierResponse(index=max(1, self.applied), sent=connection.sent)

    async def Write(self, request_iterator: AsyncIterator[pb.WriteRequest], context: Any) -> AsyncIterator[pb.WriteResponse]:  # noqa: N802
        connection = _Connection(self)
        async for message in self._serve(connection, connection.write(request_iterator), context):
            yield message

    async def _serve(self, connection: _Connection, reading: Any, context: Any) -> AsyncIterator[Any]:
        self._connections.add(connection)
        reader = asyncio.ensure_future(reading)
        try:
            if self.dead:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "dead")
            while True:
                message = await connection.queue.get()
                if isinstance(message, RostraError):
                    await context.abort(grpc.StatusCode.UNAVAILABLE, str(message))
                connection.sent += not message.HasField("hello")
                yield message
        finally:
            self._connections.discard(connection)
            for task in (reader, *connection.tasks):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


class _Connection:
    """One stream: the requests come in by a task, the answers go out by a queue."""

    def __init__(self, catalog: FakeCatalog) -> None:
        self.catalog = catalog
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.topics: dict[int, tuple[Topic, int]] = {}
        self.tasks: list[asyncio.Future[None]] = []
        self.watch_id = self.sent = self.snapshots = 0
        self.names_watch = 0

    def flush(self) -> None:
        """Deltas of the topics that are live here."""
        for number, (topic, sent) in self.topics.items():
            for index, changed, entries in self.catalog.cluster.log:
                if changed == topic and sent < index <= self.catalog.applied:
                    delta = pb.TopicDelta(subscription=number, index=index, entries=[entry_to_proto(entry) for entry in entries])
                    self.queue.put_nowait(pb.WatchResponse(delta=delta))
                    self.topics[number] = (topic, index)

    async def watch(self, requests: AsyncIterator[pb.WatchRequest]) -> None:
        async for message in requests:
            match message.WhichOneof("content"):
                case "hello":
                    self.watch_id = message.watch_id
                    hello = make_hello(IDENTITY, "catalog", self.catalog.cluster.cluster_id)
                    self.queue.put_nowait(pb.WatchResponse(hello=hello))
                    self.start(self._contact())
                case "subscribe":
                    self._subscribe(message.subscribe)
                case "unsubscribe":
                    self.catalog.unsubscribes.append(message.unsubscribe.subscription)
                    self.topics.pop(message.unsubscribe.subscription, None)
                case "barrier":
                    self.catalog.barriers.append(message.barrier)
                    self.start(self._barrier(message.barrier))

    async def write(self, requests: AsyncIterator[pb.WriteRequest]) -> None:
        async for message in requests:
            if message.HasField("hello"):
                self.names_watch = message.watch_id
                self.queue.put_nowait(pb.WriteResponse(hello=make_hello(IDENTITY, "catalog", self.catalog.cluster.cluster_id)))
            else:
                self.catalog.writes_begun += len(message.batch.writes)
                await self.catalog.write_gate.wait()
                results = [self._write(write) for write in message.batch.writes]
                if self.catalog.lose_results:
                    self.catalog.lose_results -= 1
                    self.queue.put_nowait(Unavailable("broken"))
                else:
                    self.queue.put_nowait(pb.WriteResponse(results=pb.WriteResults(results=results)))

    def start(self, work: Any) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    def _write(self, write: pb.Write) -> pb.WriteResult:
        catalog = self.catalog
        catalog.request_ids.append(write.header.request_id)
        assert write.command.request_id == write.header.request_id
        try:
            if catalog.write_error is not None:
                raise catalog.write_error
            if not catalog.sees_leader:
                raise NoLeader
            index = catalog.cluster.apply(write.header.request_id, command_from_proto(write.command))
        except RostraError as error:
            return pb.WriteResult(sequence=write.sequence, error=detail_from_error(error))
        return pb.WriteResult(sequence=write.sequence, index=index, watch_told=catalog.tell_watch(self.names_watch, index))

    def _subscribe(self, request: pb.Subscribe) -> None:
        catalog, topic = self.catalog, topic_from_proto(request.topic)
        catalog.subscribes.append(request)
        last_change = catalog.cluster.last_change(topic, catalog.applied)
        if request.resume_cluster_id == catalog.cluster.cluster_id and request.resume_index >= max(1, catalog.ring_floor):
            resumed = pb.TopicResumed(subscription=request.subscription, index=last_change)
            self.queue.put_nowait(pb.WatchResponse(resumed=resumed))
            self.topics[request.subscription] = (topic, request.resume_index)
            self.flush()
        else:
            self.start(self._snapshot(request.subscription, topic, catalog.applied))

    async def _snapshot(self, number: int, topic: Topic, index: int) -> None:
        """As of when it was asked for, in parts; changes since then follow as deltas."""
        catalog = self.catalog
        self.snapshots += 1
        last_change = catalog.cluster.last_change(topic, index)
        entries = [entry_to_proto(entry) for entry in catalog.cluster.contents(topic, index).values()]
        if topic not in (NODES, SERVICES):
            await catalog.snapshot_gate.wait()
        catalog.snapshots += 1
        for start in range(0, max(1, len(entries)), PART_ENTRIES):
            part = entries[start : start + PART_ENTRIES]
            more = start + PART_ENTRIES < len(entries)
            snapshot = pb.TopicSnapshot(subscription=number, index=last_change, entries=part, more=more)
            self.queue.put_nowait(pb.WatchResponse(snapshot=snapshot))
            await asyncio.sleep(0)
        if number not in catalog.unsubscribes:
            self.topics[number] = (topic, index)
            self.flush()
        self.snapshots -= 1

    async def _barrier(self, barrier: pb.Barrier) -> None:
        error: RostraError | None = None
        index = 0
        try:
            async with asyncio.timeout(barrier.timeout_ms / 1000):
                await self.catalog.barrier_gate.wait()
                await until(lambda: self.catalog.sees_leader)
                index = self.catalog.cluster.index
                await until(lambda: self.catalog.applied >= index)
        except TimeoutError:
            error = NoLeader()
        reached = pb.BarrierReached(barrier=barrier.barrier, index=index, error=detail_from_error(error) if error else None)
        self.queue.put_nowait(pb.WatchResponse(barrier_reached=reached))

    async def progress(self, index: int) -> None:
        await self.catalog.told_gate.wait()
        self.queue.put_nowait(pb.WatchResponse(barrier_reached=pb.BarrierReached(index=index)))

    async def _contact(self) -> None:
        while True:
            if not self.catalog.silent:
                contact = pb.Contact(known_leader=self.catalog.sees_leader, applied_index=self.catalog.applied, leader="n1")
                contact.leader_address = self.catalog.cluster.leader_at
                self.queue.put_nowait(pb.WatchResponse(contact=contact))
            await asyncio.sleep(CONTACT_S)


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Waits for what has no event of its own: the state of another task, or of gRPC."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


NOT_READY = NotReady("starting")
