"""CatalogStreamService: the catalog over long-lived streams, proto <-> domain. What is sent in which order on a Watch is
decided by ``rostra.views.session``; how fresh a barrier is, by ``reads``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from rostra.catalog import metrics
from rostra.catalog.datacenters import Datacenters
from rostra.catalog.driver import CatalogDriver
from rostra.catalog.leadership import LeadershipWatch
from rostra.catalog.reads import Reads
from rostra.catalog.stream_results import StreamResults
from rostra.catalog.writes import Writes
from rostra.errors import BadRequest, Busy, NoPath, NotReady, Resync, RostraError
from rostra.model.catalog import RestorePart
from rostra.model.consistency import Consistency, Contact
from rostra.model.identity import Identity
from rostra.model.proto import command_from_proto, topic_from_proto
from rostra.model.topics import Topic, TopicKind
from rostra.rpc.companions import Companions
from rostra.rpc.hello import check_hello, make_hello
from rostra.rpc.status import detail_from_error
from rostra.v1 import catalog_stream_pb2, catalog_stream_pb2_grpc, common_pb2
from rostra.v1.catalog_stream_pb2_grpc import CatalogStreamServiceStub
from rostra.views.session import Send, SendContact, SendDelta, SendEnded, SendPart, SendReached, SendResumed, WatchSession

MAX_BARRIERS: Final = 64
"""Barriers of one stream under way; a further one is answered Busy."""
MAX_WHOLE_BYTES: Final = 2 * 1024 * 1024
"""Of entries in one message, which is at most 4 MiB. A delta has fewer (``views.publisher``)."""
FRAGMENT_BYTES: Final = 512 * 1024

_CONSISTENCIES: Final = {0: Consistency.DEFAULT, **{each.value: each for each in Consistency}}


class CatalogStreamServicer(catalog_stream_pb2_grpc.CatalogStreamServiceServicer):
    """``tell_contact``, ``tell_who_waits`` and ``end_watches`` are for the role."""

    def __init__(
        self,
        identity: Identity,
        driver: CatalogDriver,
        reads: Reads,
        writes: Writes,
        leadership: LeadershipWatch,
        datacenters: Datacenters,
    ) -> None:
        self._identity = identity
        self._driver = driver
        self._reads = reads
        self._writes = writes
        self._leadership = leadership
        self._datacenters = datacenters
        self._watches: set[_Watch] = set()
        self._watches_by_id: dict[int, _Watch] = {}
        self._was_fresh = False

    @property
    def watch_count(self) -> int:
        return len(self._watches)

    def tell_contact(self) -> None:
        """Says on every Watch stream how fresh this server is."""
        contact = self._contact()
        for watch in self._watches:
            watch.session.tell_contact(contact)

    def tell_who_waits(self) -> None:
        """The same, where a barrier is under way: who waits for it is to know that this server lives."""
        for watch in self._watches:
            if watch.barriers:
                watch.session.tell_contact(self._contact())

    def end_watches(self, error: RostraError) -> None:
        """Ends every Watch stream."""
        for watch in self._watches:
            watch.end(error)

    async def Write(self, request_iterator: Any, context: Any) -> AsyncIterator[catalog_stream_pb2.WriteResponse]:
        opening = await _opening(request_iterator)
        if self._datacenters.is_elsewhere(opening.hello.datacenter):
            async with aclosing(self._elsewhere("Write", opening, request_iterator)) as answers:
                async for answer in answers:
                    yield answer
            return
        check_hello(opening.hello, self._driver.cluster_id)
        yield catalog_stream_pb2.WriteResponse(hello=self._hello())
        results = StreamResults(self._writes.leave, lambda index: self._tell_progress(opening.watch_id, index))
        try:
            async with Companions() as companions:
                companions.start(self._take_writes(request_iterator, results), "catalog: write stream")
                while (batch := await results.take()) is not None:
                    yield catalog_stream_pb2.WriteResponse(results=catalog_stream_pb2.WriteResults(results=batch))
        finally:
            results.leave()

    async def Watch(self, request_iterator: Any, context: Any) -> AsyncIterator[catalog_stream_pb2.WatchResponse]:
        opening = await _opening(request_iterator)
        if self._datacenters.is_elsewhere(opening.hello.datacenter):
            async with aclosing(self._elsewhere("Watch", opening, request_iterator)) as answers:
                async for answer in answers:
                    yield answer
            return
        if not self._driver.is_caught_up(self._leadership.commit_index):
            raise NotReady("the catalog has not caught up with the log yet")
        check_hello(opening.hello, self._driver.cluster_id)
        yield catalog_stream_pb2.WatchResponse(hello=self._hello())
        watch = _Watch()
        self._watches.add(watch)
        if opening.watch_id:
            self._watches_by_id[opening.watch_id] = watch
        metrics.WATCHES.set(len(self._watches))
        watch.session.tell_contact(self._contact())
        try:
            async with Companions() as companions:
                companions.start(self._take_watch_requests(request_iterator, watch, companions), "catalog: watch stream")
                while not watch.done:
                    watch.changed.clear()
                    while sends := watch.session.turn():
                        for send in sends:
                            for message in _messages(send):
                                yield message
                    await watch.changed.wait()
            if watch.error is not None:
                raise watch.error
        finally:
            self._watches.discard(watch)
            if self._watches_by_id.get(opening.watch_id) is watch:
                del self._watches_by_id[opening.watch_id]
            metrics.WATCHES.set(len(self._watches))
            watch.session.close()

    async def GetBarrier(self, request: catalog_stream_pb2.GetBarrierRequest, context: Any) -> catalog_stream_pb2.GetBarrierResponse:
        watch = self._watches_by_id.get(request.watch_id)
        if watch is None or not watch.session.is_quiet:
            return catalog_stream_pb2.GetBarrierResponse()
        index = self._reads.at_once(_consistency(request))
        return catalog_stream_pb2.GetBarrierResponse(index=index, sent=watch.session.sent)

    # --- writes ---

    async def _take_writes(self, requests: Any, results: StreamResults) -> None:
        try:
            async for request in requests:
                for write in request.batch.writes:
                    while results.is_full:
                        await results.room()
                    self._start_write(write, results)
        finally:
            results.no_more()

    def _tell_progress(self, watch_id: int, index: int) -> bool:
        watch = self._watches_by_id.get(watch_id)
        if watch is None:
            return False
        watch.session.tell_progress(index)
        return True

    def _start_write(self, write: catalog_stream_pb2.Write, results: StreamResults) -> None:
        header, place = write.header, results.begin(write.sequence)
        try:
            self._check_datacenter(header.datacenter)
            command = command_from_proto(write.command)
            if isinstance(command, RestorePart):
                raise BadRequest("a restore comes by SnapshotService, which checks it first", field="command.restore")
            place.waiter = self._writes.start(
                command,
                place.end,
                request_id=header.request_id or write.command.request_id,
                timeout_s=header.timeout_ms / 1000 or None,
                was_read=True,
            )
        except RostraError as error:
            place.end(0, error)

    # --- watches ---

    async def _take_watch_requests(self, requests: Any, watch: _Watch, companions: Companions) -> None:
        try:
            async for request in requests:
                match request.WhichOneof("content"):
                    case "subscribe":
                        self._subscribe(watch.session, request.subscribe)
                    case "unsubscribe":
                        watch.session.unsubscribe(request.unsubscribe.subscription)
                    case "barrier":
                        self._start_barrier(watch, request.barrier, companions)
        finally:
            watch.end(None)

    def _subscribe(self, session: WatchSession, request: catalog_stream_pb2.Subscribe) -> None:
        try:
            self._check_datacenter(request.datacenter)
            topic = _topic(request.topic)
        except RostraError as error:
            session.refuse(request.subscription, error)
            return
        resumes = bool(request.resume_index) and request.resume_cluster_id == self._driver.cluster_id
        publisher = self._driver.publications.open(topic)
        session.subscribe(request.subscription, publisher, request.resume_index if resumes else None)

    def _start_barrier(self, watch: _Watch, request: catalog_stream_pb2.Barrier, companions: Companions) -> None:
        try:
            consistency = _consistency(request)
        except BadRequest as error:
            watch.session.answer_barrier(request.barrier, 0, error)
            return
        near = self._driver.applied.index if consistency is Consistency.STALE else self._reads.near(consistency)
        if 0 < near <= self._driver.applied.index:
            watch.session.answer_barrier(request.barrier, near)
            return
        if watch.barriers >= MAX_BARRIERS:
            watch.session.answer_barrier(request.barrier, 0, Busy(f"{MAX_BARRIERS} barriers are under way on this stream"))
            return
        watch.barriers += 1
        companions.start(self._reach(watch, request, consistency, near), "catalog: barrier")

    async def _reach(self, watch: _Watch, request: catalog_stream_pb2.Barrier, consistency: Consistency, near: int) -> None:
        """``near``: the index that is to be applied, if it is known already; else 0."""
        try:
            index = await self._reads.be_fresh(consistency, request.timeout_ms / 1000 or None, near)
        except RostraError as error:
            watch.session.answer_barrier(request.barrier, self._driver.applied.index, error)
        else:
            watch.session.answer_barrier(request.barrier, index)
            if not self._was_fresh:
                self._was_fresh = True
                self.tell_contact()
        finally:
            watch.barriers -= 1

    def _elsewhere(self, method: str, opening: Any, requests: Any) -> AsyncGenerator[Any, None]:
        return self._datacenters.carry(CatalogStreamServiceStub, method, opening.hello.datacenter, opening, requests)

    def _hello(self) -> common_pb2.Hello:
        return make_hello(self._identity, "catalog", self._driver.cluster_id)

    def _contact(self) -> Contact:
        return replace(self._leadership.contact(self._driver.state.applied_index), caught_up=self._was_fresh)

    def _check_datacenter(self, datacenter: str) -> None:
        if datacenter not in ("", self._identity.datacenter):
            raise NoPath


def _consistency(request: catalog_stream_pb2.Barrier | catalog_stream_pb2.GetBarrierRequest) -> Consistency:
    try:
        return _CONSISTENCIES[request.consistency]
    except KeyError:
        raise BadRequest("unknown consistency", field="consistency") from None


class _Watch:
    """One Watch stream. Identity is its own: two are never equal."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.session = WatchSession(self.changed.set)
        self.barriers = 0
        self.done = False
        self.error: RostraError | None = None

    def end(self, error: RostraError | None) -> None:
        """The stream ends, in good order without an error."""
        if not self.done:
            self.done, self.error = True, error
        self.changed.set()


async def _opening(requests: Any) -> Any:
    """The first message, a Hello."""
    try:
        first = await anext(requests)
    except StopAsyncIteration:
        raise BadRequest("the stream ended before it began", field="hello") from None
    if first.WhichOneof("content") != "hello":
        raise BadRequest("the first message of a stream is Hello", field="hello")
    return first


def _topic(message: catalog_stream_pb2.Topic) -> Topic:
    topic = topic_from_proto(message)
    named = topic.kind not in (TopicKind.NODES, TopicKind.SERVICES)
    if named != bool(topic.name):
        raise BadRequest("topic.name is required" if named else "topic.name must be empty for a list", field="topic.name")
    return topic


def _messages(send: Send) -> Iterable[catalog_stream_pb2.WatchResponse]:
    """What is sent, in pieces where it is too large for a message: one entry may be, since a service has any number of checks and a
    summary the tags of any number of instances."""
    response = _response(send)
    if not isinstance(send, SendPart) or len(send.part.entries) <= MAX_WHOLE_BYTES:
        return (response,)
    data = response.SerializeToString()
    return (
        catalog_stream_pb2.WatchResponse(
            fragment=catalog_stream_pb2.WatchFragment(data=data[start : start + FRAGMENT_BYTES], more=start + FRAGMENT_BYTES < len(data))
        )
        for start in range(0, len(data), FRAGMENT_BYTES)
    )


def _response(send: Send) -> catalog_stream_pb2.WatchResponse:
    message = catalog_stream_pb2.WatchResponse()
    match send:
        case SendDelta():
            message.delta.subscription, message.delta.index = send.subscription, send.delta.index
            message.delta.MergeFromString(send.delta.entries)
        case SendPart():
            message.snapshot.subscription, message.snapshot.index = send.subscription, send.part.index
            message.snapshot.more = send.part.more
            message.snapshot.MergeFromString(send.part.entries)
        case SendResumed():
            message.resumed.subscription, message.resumed.index = send.subscription, send.index
        case SendEnded():
            message.ended.subscription = send.subscription
            message.ended.error.CopyFrom(detail_from_error(send.error))
        case SendReached():
            message.barrier_reached.barrier, message.barrier_reached.index = send.barrier, send.index
            if send.error is not None:
                message.barrier_reached.error.CopyFrom(detail_from_error(send.error))
        case SendContact(contact):
            message.contact.known_leader, message.contact.last_contact_ms = contact.known_leader, contact.last_contact_ms
            message.contact.applied_index = contact.applied_index
            message.contact.leader, message.contact.leader_address = contact.leader, contact.leader_address
            message.contact.caught_up = contact.caught_up
    return message


ANOTHER_CLUSTER: Final = "the catalog belongs to another cluster now"


def another_cluster() -> Resync:
    """Why watches end when the state was replaced."""
    return Resync(ANOTHER_CLUSTER)
