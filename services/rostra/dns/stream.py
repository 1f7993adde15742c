"""TCP: messages with their length before them (RFC 1035 section 4.2.2), many at a time on one connection, answered as they are
ready (RFC 7766 section 6.2.1.1)."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final, cast

from rostra.dns import metrics
from rostra.dns.desk import Desk
from rostra.dns.wire import HEADER_SIZE, Transport

MAX_WAITING: Final = 64
"""Questions of one connection that wait for a view or a recursor; then the rest of it waits unread."""
BURST: Final = 64
"""Questions answered in one turn of the loop."""


class Connections:
    """The open connections, and how many there may be."""

    def __init__(self, max_connections: int, max_per_client: int) -> None:
        self._max_connections = max_connections
        self._max_per_client = max_per_client
        self._by_client: Counter[str] = Counter()
        self.open: set[Connection] = set()

    def admit(self, connection: Connection, client: str) -> bool:
        if len(self.open) >= self._max_connections or self._by_client[client] >= self._max_per_client:
            metrics.TOO_MANY_CONNECTIONS.inc()
            return False
        self.open.add(connection)
        self._by_client[client] += 1
        metrics.CONNECTIONS.set(len(self.open))
        return True

    def leave(self, connection: Connection, client: str) -> None:
        if connection in self.open:
            self.open.discard(connection)
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]
            metrics.CONNECTIONS.set(len(self.open))


class Connection(asyncio.Protocol):
    """One connection. It is closed when nothing comes or goes for ``tcp_idle_s``, and when what comes is no DNS."""

    def __init__(self, desk: Desk, connections: Connections) -> None:
        self._desk = desk
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._client = ""
        self._buffer = b""
        self._offset = 0
        self._waiting = 0
        self._is_writable = True
        self._is_reading = True
        self._is_scheduled = False
        self._ended = False
        self._last_active = 0.0
        self._unsent = 0
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if peer else ""
        if not self._connections.admit(self, self._client):
            transport.abort()
            return
        self._last_active = self._loop.time()
        self._watch_idle()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._connections.leave(self, self._client)
        if self._idle is not None:
            self._idle.cancel()

    def data_received(self, data: bytes) -> None:
        self._last_active = self._loop.time()
        self._buffer += data
        if not self._is_scheduled:
            self._work()

    def eof_received(self) -> bool:
        """The client may have closed its half after its last question: what it asked is still answered. TLS knows no half."""
        self._ended = True
        self._close_when_done()
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        self._is_writable = False
        self._regulate()

    def resume_writing(self) -> None:
        self._is_writable = True
        self._work()

    def close(self) -> None:
        """At once, without what waits."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def _work(self) -> None:
        """Answers what is complete in the buffer, as far as the peer reads and the bounds allow."""
        self._is_scheduled = False
        self._offset = 0
        self._desk.freshness.look()
        alone = True
        for _ in range(BURST):
            if self._transport is None or not self._may_take():
                break
            message = self._next_message()
            if message is None:
                break
            self._take(message, alone=alone)
            alone = False
        else:
            self._is_scheduled = True
            self._loop.call_soon(self._work)
        self._buffer = self._buffer[self._offset :]
        self._regulate()
        self._close_when_done()

    def _may_take(self) -> bool:
        return self._is_writable and self._waiting < MAX_WAITING

    def _next_message(self) -> bytes | None:
        start = self._offset + 2
        if len(self._buffer) < start:
            return None
        end = start + int.from_bytes(self._buffer[start - 2 : start], "big")
        if end - start < HEADER_SIZE:
            metrics.NO_QUESTION.inc()
            self.close()
            return None
        if len(self._buffer) < end:
            return None
        self._offset = end
        return self._buffer[start:end]

    def _take(self, message: bytes, *, alone: bool) -> None:
        outcome = self._desk.at_once(message, Transport.TCP, self._client, alone=alone)
        if isinstance(outcome, bytes):
            self._write(outcome)
        elif outcome is None:
            self.close()
        elif self._desk.defer(self._later(message), self._one_less):
            self._waiting += 1
        else:
            self.close()

    async def _later(self, message: bytes) -> None:
        response = await self._desk.answer(message, Transport.TCP, self._client)
        if response is not None:
            self._write(response)

    def _one_less(self) -> None:
        self._waiting -= 1
        if not self._is_scheduled:
            self._work()

    def _write(self, response: bytes) -> None:
        if self._transport is not None:
            self._last_active = self._loop.time()
            self._transport.write(len(response).to_bytes(2, "big") + response)

    def _regulate(self) -> None:
        """Reads on only while what was read can be worked on."""
        if self._transport is None or self._transport.is_closing() or self._may_take() == self._is_reading:
            return
        self._is_reading = self._may_take()
        if self._is_reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _close_when_done(self) -> None:
        if self._ended and self._is_writable and not self._waiting and not self._is_scheduled and self._transport is not None:
            self._transport.close()

    def _watch_idle(self) -> None:
        if self._transport is None:
            return
        unsent = self._transport.get_write_buffer_size()
        if self._waiting or unsent < self._unsent:
            self._last_active = self._loop.time()
        self._unsent = unsent
        limit_s = self._desk.settings.tcp_idle_s
        rest_s = self._last_active + limit_s - self._loop.time()
        if rest_s <= 0:
            self.close()
        else:
            self._idle = self._loop.call_later(max(rest_s, limit_s / 10), self._watch_idle)
