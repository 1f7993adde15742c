"""One HTTP connection: uvicorn's httptools protocol with our limits, and with catalog reads answered in place (docs/design/gateway.md).

A request takes one of four ways, which answer the same bytes: a head that is known whole from the memo; a catalog read after the full
parse; a write (``handling``); anything else through the application. The memo is filled by the full parse alone, with heads of reads
without a body and without an index on a connection that stays open, and used only when a chunk is exactly one known head and nothing is
under way.

Answers go out in the order of the requests. While a client does not take what it was sent, no further request of it is begun or read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from rostra.errors import RostraError
from rostra.gateway import metrics, request_log
from rostra.gateway.answer import CLOSES, KEEPS, KEEPS_OLD, Answer, error_answer, text_answer
from rostra.gateway.app import clean_path
from rostra.gateway.ask import Ask, Parameters, decode_path
from rostra.gateway.cycles import ReadCycle, RouteCycle
from rostra.gateway.handling import HandledCycle, handled
from rostra.gateway.heads import CONTINUE, Refused, awaits_continue, bad_request, check_head, has_body, split_target
from rostra.gateway.read import Read
from rostra.gateway.request_log import Asked
from rostra.model.consistency import Consistency

if TYPE_CHECKING:
    from rostra.gateway.door import Door

Cycle = RouteCycle | HandledCycle | ReadCycle
TASKS: Final = (RouteCycle, HandledCycle)
"""Cycles whose answer a task makes, which is let finish."""

MEMO_HEAD_BYTES: Final = 2048
"""Longer heads are not worth remembering."""
MESSAGE_SLACK_BYTES: Final = 64 * 1024
"""What a body in chunks may take beyond its own bytes."""
STREAM_BUFFER_BYTES: Final = 256 * 1024
"""What is held of a body that is taken as it comes, before no more of it is read."""
STILL_SENDING: Final = frozenset({"header_bytes", "body_bytes"})
LINGER_S: Final = 1.0
"""Refused so, a client mostly goes on sending. For so long that is dropped: its next packet would meet a closed socket, and take the answer
away before it is read (RFC 9112 section 9.6)."""
NAMESPACE: Final = b"x-consul-namespace"
HALF_OPEN_S: Final = 10.0
"""For so long a client that sends no more is still answered."""
NO_QUEUE: Final[deque[Any]] = deque(maxlen=0)
"""Shared by all connections without a request that waits for its turn: a deque of one's own takes most of a KiB."""
NOTHING: Final[dict[Any, Any]] = {}


class Flow(FlowControl):
    """Reading and writing may be paused; who waits for writing gets an event when it has to."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = False
        self.write_paused = False
        self._writable: asyncio.Event | None = None

    async def drain(self) -> None:
        while self.write_paused:
            if self._writable is None:
                self._writable = asyncio.Event()
            await self._writable.wait()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._writable = None

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._writable is not None:
            self._writable.set()


class HttpProtocol(HttpToolsProtocol):
    """See the module. ``door`` is what all connections share.

    A parked blocking query is one of these and little else, so what most connections never need is made when it is needed.
    """

    __slots__ = (
        "_asked",
        "_asks_for_other",
        "_begun",
        "_body_bytes",
        "_current",
        "_in_body",
        "_in_message",
        "_lingers",
        "_memorable",
        "_message_bytes",
        "_queue",
        "_starting",
        "_streams_body",
        "active",
        "door",
        "peer",
        "quiet_since",
        "refused",
    )

    def __init__(self, door: Door) -> None:
        super().__init__(config=door.config, server_state=door.state, app_state=NOTHING)
        self.door = door
        self.access_log = False
        self.pipeline = NO_QUEUE  # the order of requests is ours to keep
        self.peer = ""
        self.refused = False
        self.quiet_since = 0.0
        self.active = True
        self._queue: deque[Cycle] = NO_QUEUE
        self._asked: dict[Cycle, Asked] = NOTHING
        self._current: Cycle | None = None
        self._in_message = False
        self._in_body = False
        self._lingers = False
        self._message_bytes = 0
        self._body_bytes = 0
        self._begun = 0
        self._memorable: list[Read] = []
        self._starting = False
        self._streams_body = False
        self._asks_for_other = False

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.connections.add(self)
        self.flow = Flow(transport)
        self.server, self.client = get_local_addr(transport), get_remote_addr(transport)
        self.scheme = "https" if is_ssl(transport) else "http"
        transport.set_write_buffer_limits(high=self.door.limits.write_buffer_bytes)
        self.peer = self.client[0] if self.client else ""
        if not self.door.enter(self):
            self._refuse("connections", 429, "Too many connections of this address")

    def connection_lost(self, exc: Exception | None) -> None:
        self.door.leave(self)
        for cycle in (self._current, *self._queue):
            if cycle is not None:
                cycle.cancel()
        self._current, self.cycle = None, None  # type: ignore[assignment]
        self._queue = NO_QUEUE
        self._asked = NOTHING
        super().connection_lost(exc)

    def finish(self) -> asyncio.Task[None] | None:
        """Ends the connection: at once when nothing is under way but a read, else after the answer that is, whose task is returned."""
        current = self._current
        if isinstance(current, TASKS) and not current.is_stream and current.task is not None:
            current.connection = CLOSES
            self._queue = NO_QUEUE
            return current.task
        self.transport.close()
        return None

    # Bytes in

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        self.active = True
        if self._current is None and not self._in_message and not self._queue:
            known = self.door.memo.get(data)
            if known is not None and not self.flow.write_paused and not request_log.is_kept():
                self._answer_known(known)
                return
        idle, begun = not self._in_message and self._current is None, self._begun
        self._memorable = []
        self._message_bytes += len(data)
        if self._parse(data):
            self._check_size()
            if idle and self._begun == begun + 1 and not self._in_message and len(data) <= MEMO_HEAD_BYTES:
                for read in self._memorable:
                    self.door.remember(bytes(data), read)

    def _answer_known(self, read: Read) -> None:
        """A head from the memo: on a connection that stays open, with nothing under way."""
        door = self.door
        door.from_memo += 1
        if read.consistency is Consistency.STALE and not read.near and (encoded := door.at_hand(read)):
            self.transport.write(encoded)
            door.busy_poll.answered()
            return
        self._current = cycle = ReadCycle(self, read, None)
        cycle.start()

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has said all it wants to say may still listen: what is under way is answered, but for what waits or never ends.
        Whoever asked for that is mostly gone for good."""
        current = self._current
        if current is None or self._in_message or self._has_no_end(current):
            return False
        self._close_after_answers()
        asyncio.get_running_loop().call_later(HALF_OPEN_S, self.transport.close)
        return True

    def _parse(self, data: bytes) -> bool:
        try:
            while data:
                try:
                    self.parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as other:
                    if not self._asks_for_other:
                        self._close_after_answers()  # CONNECT
                        break
                    data = self._head_without_upgrade() + data[other.args[0] :]
                    self.parser = httptools.HttpRequestParser(self)
                    self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                    self._asks_for_other = False
        except httptools.HttpParserError as error:
            refusal = error.__context__
            if not isinstance(refusal, Refused):
                refusal = bad_request(str(error))
            self._refuse(refusal.why, refusal.status, refusal.text)
            return False
        return True

    def _head_without_upgrade(self) -> bytes:
        """What was asked, and not in which other protocol one would like to go on: none is spoken here, so this one goes on (RFC 9110
        section 7.8). The parser would take no body after such a head."""
        start = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        headers = [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([start, *headers, b"", b""])

    def _check_size(self) -> None:
        limits = self.door.limits
        if not self._in_message:
            self._message_bytes = 0
        elif not self._in_body and self._message_bytes > limits.header_bytes:
            self._refuse("header_bytes", 431, f"Request head too large, max size: {limits.header_bytes} bytes")
        elif self._streams_body:
            self._message_bytes = 0
        elif self._message_bytes > limits.header_bytes + 2 * limits.body_bytes + MESSAGE_SLACK_BYTES:
            self._refuse("body_bytes", 413, f"Request body too large, max size: {limits.body_bytes} bytes")

    def _refuse(self, why: str, status: int, text: str) -> None:
        """Ends the connection. Earlier requests are answered, but for what waits or never ends; then this is the answer of the one that is
        being received, unless it has one already."""
        if self.refused:
            return
        self.refused = True
        metrics.REFUSED.labels(why).inc()
        if not self._drop_unfinished() or self._has_no_end(self._current):
            self.transport.close()
            return
        self._lingers = why in STILL_SENDING
        self._begin(ReadCycle(self, None, text_answer(status, text), CLOSES))

    def _drop_unfinished(self) -> bool:
        """Gives up the request that is not yet here as a whole; False when its answer is begun."""
        unfinished = cast("Cycle | None", self.cycle) if self._in_message else None
        if unfinished is None:
            return True
        if unfinished.response_started:
            return False
        if unfinished is self._current:
            unfinished.cancel()
            self._current = None
        else:
            self._queue.pop()
        return True

    def _has_no_end(self, cycle: Cycle | None) -> bool:
        return cycle is not None and (cycle.is_parked or (isinstance(cycle, TASKS) and cycle.is_stream))

    # What the parser finds

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.cycle = None  # type: ignore[assignment]
        self._in_message, self._in_body, self._body_bytes = True, False, 0
        self._begun += 1
        self.quiet_since = 0.0

    def on_headers_complete(self) -> None:
        self._in_body = True
        self.quiet_since = 0.0
        version, method = self.parser.get_http_version(), self.parser.get_method()
        self._asks_for_other = self.parser.should_upgrade() and method != b"CONNECT"
        if self._asks_for_other:
            return
        headers = dict(self.headers)
        check_head(version, self.headers, headers)
        waits = awaits_continue(version, self.headers, headers)
        connection = self._connection_after(version)
        cycle: Cycle | None
        if self.url == b"*" and method == b"OPTIONS":  # of the server as such (RFC 9110 section 9.3.7)
            self._streams_body = False
            cycle = ReadCycle(self, None, Answer(200, ()), connection)
        else:
            path, query = split_target(self.url)
            self._streams_body = self.door.streams_body(method, path)
            self._check_length(headers)
            if method == b"GET":
                cycle = None if waits else self._read_of(path, query, headers, connection)
            else:
                cycle = handled(self, method, path, query, self.headers, connection)
            cycle = cycle or self._route(method, path, query, version, connection)
        if request_log.is_kept():
            self._asked = {} if self._asked is NOTHING else self._asked
            self._asked[cycle] = request_log.asked(method, self.url)
        if not isinstance(cycle, RouteCycle):
            self.scope, self.headers, self.url = None, [], b""  # type: ignore[assignment]
        if not isinstance(cycle, ReadCycle):
            cycle.awaits_continue = waits
        self._begin(cycle)

    def _connection_after(self, version: str) -> bytes:
        """What becomes of the connection once the request is answered, as its answer says it."""
        if self.refused or self.door.is_closing or not self.parser.should_keep_alive():
            return CLOSES
        return KEEPS_OLD if version == "1.0" else KEEPS

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._streams_body:
            self.quiet_since = 0.0
        elif self._body_bytes > self.door.limits.body_bytes:
            raise Refused("body_bytes", 413, f"Request body too large, max size: {self.door.limits.body_bytes} bytes")
        cycle: object = self.cycle
        if isinstance(cycle, HandledCycle):
            cycle.body += body
        elif isinstance(cycle, RouteCycle) and not cycle.response_complete:
            cycle.body += body
            cycle.message_event.set()
            if self._streams_body and len(cycle.body) > STREAM_BUFFER_BYTES:
                self.flow.pause_reading()  # until the cycle takes what is here

    def on_message_complete(self) -> None:
        if self._asks_for_other:
            return
        self._in_message = self._in_body = False
        self._message_bytes = 0
        cycle: object = self.cycle
        if isinstance(cycle, HandledCycle):
            cycle.is_whole = True
            if cycle is self._current:
                cycle.start()
        elif isinstance(cycle, RouteCycle) and not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def _check_length(self, headers: dict[bytes, bytes]) -> None:
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.door.limits.body_bytes and not self._streams_body:
            raise Refused("body_bytes", 413, f"Request body too large, max size: {self.door.limits.body_bytes} bytes")

    # Requests in order

    def _read_of(self, path: bytes, query: bytes, headers: dict[bytes, bytes], connection: bytes) -> ReadCycle | None:
        """The request as a catalog read; None when the application has to look at it."""
        if NAMESPACE in headers:
            return None
        accepted = headers.get(b"accept-encoding", b"")
        read = self.door.prepared.get((self.url, accepted))
        if read is None:
            made = self._prepare(path, query, accepted, connection)
            if not isinstance(made, Read):
                return made
            read = made
            self.door.keep(self.url, accepted, read)
        if connection is KEEPS and not has_body(headers) and not read.options.index:
            self._memorable.append(read)
        return ReadCycle(self, read, None, connection)

    def _prepare(self, path: bytes, query: bytes, accepted: bytes, connection: bytes) -> Read | ReadCycle | None:
        """The read that a URL means, or its refusal, or None."""
        name = decode_path(path)
        found = self.door.table.find(name)
        route = found[1].get("GET") if found is not None else None
        if found is None or route is None or route.read is None or clean_path(name) != name or self.door.rules.is_blocked(name):
            return None
        wanted = {"accept-encoding": accepted.decode("latin-1")}
        try:
            return route.read(Ask(path=name, tail=name[len(found[0]) :], parameters=Parameters(query.decode("latin-1")), headers=wanted))
        except RostraError as error:
            return ReadCycle(self, None, error_answer(error), connection)

    def _route(self, method: bytes, path: bytes, query: bytes, version: str, connection: bytes) -> RouteCycle:
        self.scope["method"] = method.decode("ascii")
        self.scope["http_version"] = version
        self.scope["raw_path"], self.scope["query_string"] = path, query
        self.scope["path"] = decode_path(path)
        return RouteCycle(
            self,
            connection,
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            on_response=on_nothing,
        )

    def _begin(self, cycle: Cycle) -> None:
        self.cycle = cycle  # type: ignore[assignment]
        if self._queue is NO_QUEUE:
            self._queue = deque()
        self._queue.append(cycle)
        self._advance()

    def on_answered(self, head: bytes) -> None:
        """Called by the cycle that has sent its last byte; its answer began with ``head``."""
        done, self._current = self._current, None
        self.active = True
        self.door.busy_poll.answered()
        if self._asked and done is not None and (asked := self._asked.pop(done, None)) is not None:
            request_log.answered(asked, head, self.client)
        if done is not None and done.connection is CLOSES:
            self.refused = True
            self._close()
            return
        if self._queue or self.flow.read_paused or self.flow.write_paused:
            self._advance()

    def _close(self) -> None:
        """Closes; at once, or when a client that was refused while it was sending has had time to read that."""
        if self._lingers and self.transport.can_write_eof():
            self.transport.write_eof()
            asyncio.get_running_loop().call_later(LINGER_S, self.transport.close)
        else:
            self.transport.close()

    def _advance(self) -> None:
        """Starts the next request, in a loop and not by recursion: a chunk may hold thousands."""
        if self._starting:
            return
        self._starting = True
        try:
            while self._queue and self._current is None and not self.flow.write_paused and not self.transport.is_closing():
                self._current = cycle = self._queue.popleft()
                if cycle.awaits_continue:
                    self.transport.write(CONTINUE)
                if isinstance(cycle, ReadCycle):
                    self.door.from_view += 1
                    cycle.start()
                elif isinstance(cycle, HandledCycle):
                    cycle.start()
                else:
                    cycle.task = self.door.spawn(cycle.run_asgi(self.app))
        finally:
            self._starting = False
        if self._queue or self.flow.write_paused:
            self.flow.pause_reading()
        else:
            self._queue = NO_QUEUE
            self.flow.resume_reading()

    def _close_after_answers(self) -> None:
        self.refused = True
        last = self._queue[-1] if self._queue else self._current
        if last is not None:
            last.connection = CLOSES

    # Slow clients

    def pause_writing(self) -> None:
        self.flow.pause_writing()
        self.flow.pause_reading()
        self.quiet_since = 0.0

    def resume_writing(self) -> None:
        self.flow.resume_writing()
        self.quiet_since = 0.0
        self._advance()

    def sweep(self, now: float) -> None:
        """Ends the connection if it has been in one state for longer than that may last. Called about once a second."""
        limits = self.door.limits
        if self.flow.write_paused:
            limit_s, ended = limits.write_timeout_s, ("write_timeout", 0, "")
        elif self._in_message and not self._in_body:
            limit_s, ended = limits.header_timeout_s, ("header_timeout", 408, "The head of the request took too long")
        elif self._in_message and self._streams_body and self.flow.read_paused:
            return  # it is us who are slow
        elif self._in_message:
            limit_s, ended = limits.body_timeout_s, ("body_timeout", 408, "The body of the request took too long")
        elif self._current is None:
            limit_s, ended = limits.idle_timeout_s, ("idle_timeout", 0, "")
            if self.active:
                self.quiet_since, self.active = now, False
        else:
            return
        if not self.quiet_since:
            self.quiet_since = now
        elif now - self.quiet_since >= limit_s:
            why, status, text = ended
            if status:
                self._refuse(why, status, text)
            elif why == "write_timeout":
                metrics.REFUSED.labels(why).inc()
                self.transport.abort()
            else:
                self.transport.close()


def on_nothing() -> None:
    """A cycle tells us itself, and with what."""
