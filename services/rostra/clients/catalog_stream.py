"""Client of ``CatalogStreamService``: its two streams, in domain values.

Each stream is an async context manager that opens with the Hellos and cancels the call at its end. One task may send
and one receive. Failures are ``rostra.errors``; after one the stream is of no more use.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError
from grpc import aio

from rostra.clients.streams import BidiStream, Request, Response, milliseconds
from rostra.errors import BadRequest, Unavailable
from rostra.model.catalog import Command
from rostra.model.consistency import Consistency, Contact
from rostra.model.identity import Identity
from rostra.model.proto import command_to_proto, entry_from_proto, topic_to_proto
from rostra.model.topics import Entry
from rostra.rpc.hello import make_hello
from rostra.rpc.inprocess import InProcessChannel
from rostra.rpc.status import error_from_detail
from rostra.v1 import catalog_stream_pb2, command_pb2, common_pb2
from rostra.v1.catalog_stream_pb2_grpc import CatalogStreamServiceStub
from rostra.views.messages import (
    BarrierAnswer,
    BarrierRequest,
    Delta,
    Ended,
    Resumed,
    SnapshotPart,
    Subscribe,
    Unsubscribe,
    WatchEvent,
    WatchRequest,
    WriteResult,
)

MAX_WRITE_BYTES: Final = (1 << 20) - 1024
"""A message is at most 1 MiB; this leaves room for what surrounds a command."""

DECODE_SLICE: Final = 64
"""Entries decoded in one turn of the loop, about a millisecond's work."""


@dataclass(frozen=True, slots=True)
class PreparedWrite:
    """A command as it goes out, encoded once however often it is sent. ``size`` in bytes."""

    message: command_pb2.Command
    size: int


@dataclass(frozen=True, slots=True)
class NumberedWrite:
    """A write as it is sent this time."""

    sequence: int
    write: PreparedWrite
    timeout_s: float


def prepare_write(command: Command, request_id: bytes) -> PreparedWrite:
    """Raises ``BadRequest`` when it is too large for a message."""
    message = command_to_proto(command, request_id)
    size = message.ByteSize()
    if size > MAX_WRITE_BYTES:
        raise BadRequest(f"the write takes {size} bytes; at most {MAX_WRITE_BYTES} are allowed", field="body")
    return PreparedWrite(message, size)


class CatalogStreamClient:
    """``role`` is the caller's; the channel stays the caller's to close. The catalog hands on what is for another ``datacenter``."""

    def __init__(self, channel: aio.Channel, identity: Identity, role: str, datacenter: str = "") -> None:
        self._stub = CatalogStreamServiceStub(channel)
        self.is_near = isinstance(channel, InProcessChannel)
        self._hello = make_hello(identity, role, datacenter=datacenter)

    def watch(self) -> WatchStream:
        """A Watch stream, opened by entering it."""
        watch_id = secrets.randbits(63) | 1
        opening = catalog_stream_pb2.WatchRequest(hello=self._hello, watch_id=watch_id)
        return WatchStream(self._stub.Watch, opening, watch_id, self._stub.GetBarrier if self.is_near else None)

    def write(self, watch_id: int = 0) -> WriteStream:
        """A Write stream, opened by entering it. ``watch_id``: of this process's Watch stream to the same catalog, which is told of its
        writes; a catalog in this process is asked instead."""
        opening = catalog_stream_pb2.WriteRequest(hello=self._hello, watch_id=0 if self.is_near else watch_id)
        return WriteStream(self._stub.Write, opening)


class _CatalogStream(BidiStream[Request, Response]):
    def _accept(self, message: Any) -> None:
        super()._accept(message)
        if not self.cluster_id:
            raise Unavailable(f"{self.peer} does not know its cluster yet")


class WatchStream(_CatalogStream[catalog_stream_pb2.WatchRequest, catalog_stream_pb2.WatchResponse]):
    """Subscriptions and barriers go out, what becomes of them comes in.

    To a catalog in this process a barrier may go beside the stream, by ``reach``; elsewhere ``get_barrier`` is None.
    """

    def __init__(self, method: Any, opening: catalog_stream_pb2.WatchRequest, watch_id: int, get_barrier: Any) -> None:
        super().__init__(method, opening)
        self._get_barrier = get_barrier
        self.watch_id = watch_id
        self._barriers = {
            each: catalog_stream_pb2.GetBarrierRequest(watch_id=watch_id, consistency=common_pb2.Consistency.ValueType(each.value))
            for each in Consistency
        }
        self._received = 0

    def reach(self, consistency: Consistency) -> int:
        """The index that a barrier would be answered with, if the catalog knows it without asking others and all it has sent was received
        before this call. 0: send one."""
        if self._get_barrier is None:
            return 0
        found = self._get_barrier.at_once(self._barriers[consistency])
        return int(found.index) if found is not None and found.sent == self._received else 0

    async def send(self, request: WatchRequest) -> None:
        """Waits while the server is slow."""
        await self.write(_watch_request(request))

    async def receive(self) -> WatchEvent:
        """The next event; content that this version does not know is passed over."""
        while True:
            event = await _watch_event(await self._read_whole())
            self._received += 1  # only now: what is still being decoded is in nobody's view
            if event is not None:
                return event

    async def _read_whole(self) -> catalog_stream_pb2.WatchResponse:
        """The next message, put together where it comes in pieces."""
        message = await self.read()
        if not message.HasField("fragment"):
            return message
        pieces = [message.fragment.data]
        while message.fragment.more:
            message = await self.read()
            if not message.HasField("fragment"):
                raise Unavailable(f"{self.peer} left a message unfinished")
            pieces.append(message.fragment.data)
        try:
            return catalog_stream_pb2.WatchResponse.FromString(b"".join(pieces))
        except DecodeError:
            raise Unavailable(f"{self.peer} sent pieces that make no message") from None


class WriteStream(_CatalogStream[catalog_stream_pb2.WriteRequest, catalog_stream_pb2.WriteResponse]):
    """Writes go out in batches, results come in."""

    async def send(self, writes: Iterable[NumberedWrite]) -> None:
        """One batch, which the caller keeps under the message limit. Waits while the server is slow."""
        await self.write(_write_request(writes))

    def send_at_once(self, writes: Iterable[NumberedWrite]) -> None:
        """The same while ``writes_at_once``."""
        self.write_at_once(_write_request(writes))

    async def receive(self) -> list[WriteResult]:
        """The next results, in any order."""
        message = await self.read()
        return [
            WriteResult(
                result.sequence,
                result.index,
                error_from_detail(result.error) if result.HasField("error") else None,
                result.watch_told,
            )
            for result in message.results.results
        ]


def _write_request(writes: Iterable[NumberedWrite]) -> catalog_stream_pb2.WriteRequest:
    return catalog_stream_pb2.WriteRequest(batch=catalog_stream_pb2.WriteBatch(writes=[_write(write) for write in writes]))


def _watch_request(request: WatchRequest) -> catalog_stream_pb2.WatchRequest:
    match request:
        case Subscribe():
            return catalog_stream_pb2.WatchRequest(
                subscribe=catalog_stream_pb2.Subscribe(
                    subscription=request.subscription,
                    topic=topic_to_proto(request.topic),
                    resume_index=request.resume_index,
                    resume_cluster_id=request.resume_cluster_id,
                )
            )
        case Unsubscribe():
            return catalog_stream_pb2.WatchRequest(unsubscribe=catalog_stream_pb2.Unsubscribe(subscription=request.subscription))
        case BarrierRequest():
            barrier = catalog_stream_pb2.Barrier(
                barrier=request.number,
                consistency=common_pb2.Consistency.ValueType(request.consistency.value),
                timeout_ms=milliseconds(request.timeout_s),
            )
            return catalog_stream_pb2.WatchRequest(barrier=barrier)


async def _watch_event(message: catalog_stream_pb2.WatchResponse) -> WatchEvent | None:
    match message.WhichOneof("content"):
        case "delta":
            delta = message.delta
            return Delta(delta.subscription, delta.index, await _entries(delta.entries))
        case "snapshot":
            part = message.snapshot
            return SnapshotPart(part.subscription, part.index, await _entries(part.entries), part.more)
        case "resumed":
            return Resumed(message.resumed.subscription, message.resumed.index)
        case "ended":
            return Ended(message.ended.subscription, error_from_detail(message.ended.error))
        case "barrier_reached":
            return _barrier_answer(message.barrier_reached)
        case "contact":
            return _contact(message.contact)
        case _:
            return None


async def _entries(messages: Sequence[catalog_stream_pb2.TopicEntry]) -> tuple[Entry, ...]:
    if len(messages) <= DECODE_SLICE:
        return tuple(map(entry_from_proto, messages))
    entries: list[Entry] = []
    for start in range(0, len(messages), DECODE_SLICE):
        entries.extend(map(entry_from_proto, messages[start : start + DECODE_SLICE]))
        await asyncio.sleep(0)
    return tuple(entries)


def _barrier_answer(message: catalog_stream_pb2.BarrierReached) -> BarrierAnswer:
    return BarrierAnswer(message.barrier, message.index, error_from_detail(message.error) if message.HasField("error") else None)


def _contact(message: catalog_stream_pb2.Contact) -> Contact:
    return Contact(
        known_leader=message.known_leader,
        last_contact_ms=message.last_contact_ms,
        applied_index=message.applied_index,
        leader=message.leader,
        leader_address=message.leader_address,
        caught_up=message.caught_up,
    )


def _write(numbered: NumberedWrite) -> catalog_stream_pb2.Write:
    command = numbered.write.message
    header = common_pb2.RequestHeader(request_id=command.request_id, timeout_ms=milliseconds(numbered.timeout_s))
    return catalog_stream_pb2.Write(sequence=numbered.sequence, header=header, command=command)
