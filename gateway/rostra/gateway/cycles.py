"""One request and its answer, from the parsed head to the last byte: by the application, or by the protocol itself for catalog reads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from uvicorn._types import ASGI3Application, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from rostra.errors import RostraError
from rostra.gateway.answer import (
    CHUNKED,
    CLOSES,
    KEEPS,
    TEXT,
    UNTIL_CLOSED,
    Answer,
    encode,
    encode_head,
    error_answer,
    length_header,
)
from rostra.gateway.read import Read
from rostra.gateway.slices import can_park, is_quick
from rostra.model.consistency import Consistency

if TYPE_CHECKING:
    from rostra.gateway.door import Connection
    from rostra.gateway.parking import Parked
    from rostra.views.barriers import Barrier
    from rostra.views.reader import Reading


log = logging.getLogger("rostra.gateway.http")


class RouteCycle(RequestResponseCycle):
    """A request that the application answers. What it sends is encoded like every other answer."""

    def __init__(self, protocol: Connection, connection: bytes, **given: Any) -> None:
        super().__init__(keep_alive=connection is not CLOSES, expect_100_continue=False, **given)
        self._protocol = protocol
        self._start: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._head = b""
        self._framing = UNTIL_CLOSED
        self.connection = connection
        self.awaits_continue = False
        self.is_stream = False
        """Whether the answer has no end of its own."""
        self.task: asyncio.Task[None] | None = None

    async def run_asgi(self, app: ASGI3Application) -> None:
        """A defect of ours is logged and told as such; the connection stays."""
        try:
            await app(self.scope, self.receive, self.send)
            if self.response_started and not self.response_complete:
                self.transport.close()  # cut short, and must not look whole
        except Exception:
            log.exception("request failed", extra={"method": self.scope["method"], "path": self.scope["path"]})
            if not self.response_started:
                await self.send({"type": "http.response.start", "status": 500, "headers": [TEXT]})
                await self.send({"type": "http.response.body", "body": b"internal error", "more_body": False})
            else:
                self.transport.close()

    is_parked = False

    def cancel(self) -> None:
        """The client is gone. A read is given up; a write that was begun is finished."""
        self.disconnected = True
        self.message_event.set()
        if self.task is not None and self.scope["method"] == "GET":
            self.task.cancel()

    async def send(self, message: ASGISendEvent) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self.response_started = True
            self._start = (message["status"], list(message.get("headers", ())))
            return
        assert message["type"] == "http.response.body"
        body, more = message.get("body", b""), message.get("more_body", False)
        parts: list[bytes] = []
        if self._start is not None:
            (status, headers), self._start, self.is_stream = self._start, None, more
            self._framing = self._framing_of(body)
            self._head = encode_head(status, headers, self._protocol.door.date.now(), self._framing, self.connection)
            parts.append(self._head)
        if self._framing is CHUNKED:
            parts.append(b"%x\r\n%b\r\n" % (len(body), body) if body else b"")
            parts.append(b"" if more else b"0\r\n\r\n")
        else:
            parts.append(body)
        self.transport.write(b"".join(parts))
        if not more:
            self.response_complete = True
            self.message_event.set()
            self._protocol.on_answered(self._head)

    def _framing_of(self, body: bytes) -> bytes:
        if not self.is_stream:
            return length_header(len(body))
        if self.scope["http_version"] != "1.0":
            return CHUNKED
        self.connection = CLOSES
        return UNTIL_CLOSED


class ReadCycle:
    """A catalog read that the protocol answers: at once, when a barrier is reached, or when the answer changes."""

    __slots__ = ("_cancel", "_may_block", "_parked", "_protocol", "_read", "_refusal", "connection", "disconnected", "response_complete")

    awaits_continue = False

    def __init__(self, protocol: Connection, read: Read | None, refusal: Answer | None, connection: bytes = KEEPS) -> None:
        self._protocol = protocol
        self._read = read
        self._refusal = refusal
        self._parked: Parked | None = None
        self._cancel: Callable[[], object] | None = None
        self._may_block = read is not None and read.options.index > 0
        self.connection = connection
        self.response_complete = False
        self.disconnected = False

    def start(self) -> None:
        """Called once, when no earlier request of the connection is under way."""
        read = self._read
        if read is None:
            assert self._refusal is not None
            self._finish(self._refusal)
        elif read.near:
            self._slowly()
        elif read.consistency is Consistency.STALE:
            self.answer_from_views(None)
        else:
            self._protocol.door.batches[read.consistency].join(self)

    def cancel(self) -> None:
        """The client is gone."""
        self.disconnected = True
        parked, self._parked = self._parked, None  # it holds this: neither is to wait for the garbage collector
        if parked is not None:
            parked.leave()
        if self._cancel is not None:
            self._cancel()

    @property
    def response_started(self) -> bool:
        """An answer goes out whole."""
        return self.response_complete

    @property
    def is_parked(self) -> bool:
        """Whether it waits for its answer to change."""
        return self._parked is not None

    @property
    def shared_read(self) -> Read | None:
        """What this asks, if its answer is the same for all who ask that, byte for byte."""
        return self._read if self.connection is KEEPS and not self._may_block else None

    def await_barrier(self) -> None:
        """The barrier takes a while."""
        if self.disconnected:
            return
        assert self._read is not None
        try:
            barrier = self._protocol.door.reads.reader.barrier(self._read.consistency)
        except RostraError as error:
            self._finish(self._protocol.door.reads.failed(error))
            return
        barrier.add_done_callback(self._reached)

    def _reached(self, future: asyncio.Future[Barrier]) -> None:
        if self.disconnected or self.response_complete:
            return
        read, reads = self._read, self._protocol.door.reads
        assert read is not None
        if future.cancelled():
            self._slowly()
            return
        error = future.exception()
        if error is not None:
            self._finish(reads.failed(error) if isinstance(error, RostraError) else _defect(error))
            return
        self.answer_from_views(future.result())

    def answer_from_views(self, barrier: Barrier | None) -> None:
        """Answers, waits for the answer to change, or goes the long way."""
        if self.disconnected:
            return
        read, reads = self._read, self._protocol.door.reads
        assert read is not None
        try:
            reading = reads.reader.peek(read.topics, barrier)
        except RostraError as error:  # no place for one more topic
            self._finish(reads.failed(error))
            return
        if reading is None or not is_quick(read, reading.views) or (self._may_block and not can_park(read, reading.views)):
            self._slowly()
        elif self._may_block and not read.results.refresh(reading.views).is_due(read.options.index):
            self._park()
        else:
            self._finish_read(read, reading)

    def _park(self) -> None:
        assert self._read is not None
        try:
            self._parked = self._protocol.door.parking.park(self._read, self._due)
        except RostraError as error:
            self._finish(error_answer(error))

    def _due(self, reading: Reading | None, answers: dict[Read, bytes]) -> None:
        """The answer changed, or (with no reading) the time is up: then it is made fresh once more."""
        self._parked, self._may_block = None, False
        assert self._read is not None
        if reading is None:
            self.start()
        elif self.connection is KEEPS and (known := answers.get(self._read)):
            self.write(known)
        else:
            self._finish_read(self._read, reading, answers)

    def _slowly(self) -> None:
        """The way that may wait at several places: a task."""
        assert self._read is not None
        self._spawn(self._protocol.door.reads.answer(self._read, may_block=self._may_block))

    def _spawn(self, work: Coroutine[Any, Any, Answer]) -> None:
        task = self._protocol.door.spawn(work)
        self._cancel = task.cancel
        task.add_done_callback(self._slow_done)

    def _slow_done(self, task: asyncio.Task[Answer]) -> None:
        if self.disconnected or task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._finish(task.result())
        else:
            self._finish(error_answer(error) if isinstance(error, RostraError) else _defect(error))

    def _finish_read(self, read: Read, reading: Reading, answers: dict[Read, bytes] | None = None) -> None:
        door = self._protocol.door
        if not door.reads.is_at_hand(read, reading):
            self._spawn(door.reads.at_length(read, reading))
        elif self.connection is KEEPS:
            encoded = door.reads.finished(read, reading, door.date.now(), door.rules.headers)
            if answers is not None:
                answers[read] = encoded
            self.write(encoded)
        else:
            self._finish(door.reads.now(read, reading))

    def _finish(self, answer: Answer) -> None:
        door = self._protocol.door
        if door.rules.headers:
            answer = Answer(answer.status, (*answer.headers, *door.rules.headers), answer.body)
        self.write(encode(answer, door.date.now(), self.connection))

    def fail(self, error: Exception) -> None:
        """A defect of ours."""
        if not self.response_complete:
            self._finish(_defect(error))

    def write(self, encoded: bytes) -> None:
        """The whole answer, to whoever is still there."""
        if self.disconnected:
            return
        self.response_complete = True
        self._protocol.transport.write(encoded)
        self._protocol.on_answered(encoded)


def _defect(error: BaseException) -> Answer:
    log.error("request failed", exc_info=error)
    return error_answer(RostraError("internal error"))
