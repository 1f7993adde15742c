"""The asyncio shell around one ``Core``: sockets and timers in, packets, streams and log lines out.

The core is touched by plain method calls on the one event loop, never across an await, so it needs no lock. Datagrams go from the
loop straight into it: the queue in front of it is the socket's own buffer, which is bounded and drops what does not fit.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from rostra.gossip.address import Address
from rostra.gossip.admission import Networks
from rostra.gossip.core import Core
from rostra.gossip.effects import CoreEvent, OpenStream
from rostra.gossip.transport import PacketSocket
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.messages import StreamMessage
from rostra.gossip.wire.streams import StreamDecoder

Result = TypeVar("Result")

_INBOUND_STREAMS_MAX: Final = 128
_OUTBOUND_STREAMS_MAX: Final = 64
_BUFFERED_BYTES_MAX: Final = 64 * 1024 * 1024
"""What all streams together may hold of messages that are not complete yet."""

_READ_BYTES: Final = 64 * 1024
_DECODE_IN_LOOP_BYTES: Final = 16 * 1024


class Driver:
    """Runs one core. ``on_events`` gets what the core reports, in order, in the loop; it must not call back into the core."""

    def __init__(
        self,
        core: Core,
        envelope: Envelope,
        sockets: tuple[socket.socket, socket.socket],
        on_events: Callable[[Sequence[CoreEvent]], None],
        networks: Networks,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._core = core
        self._envelope = envelope
        self._sockets = sockets
        self._on_events = on_events
        self._networks = networks
        self._loop = asyncio.get_running_loop()
        self._failure: asyncio.Future[None] = self._loop.create_future()
        self._packets: PacketSocket | None = None
        self._is_closed = False
        self._tasks: asyncio.TaskGroup | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_at = math.inf
        self._inbound_streams = 0
        self._buffered_bytes = 0
        self._outbound_streams = 0

    async def run(self, ready: asyncio.Event) -> None:
        """Serve until cancelled. An error in the core ends it with that error."""
        udp, tcp = self._sockets
        server: asyncio.Server | None = None
        async with asyncio.TaskGroup() as self._tasks:
            try:
                server = await asyncio.start_server(self._on_connection, sock=tcp, limit=_READ_BYTES, start_serving=False)
                self._packets = await PacketSocket.open(udp, self._on_packet, self.counters)
                await server.start_serving()
                self._flush()
                ready.set()
                await self._failure
            finally:  # inside the group: nothing may start a task while it waits for its last ones
                self._is_closed = True
                if self._timer is not None:
                    self._timer.cancel()
                if self._packets is not None:
                    self._packets.close()
                if server is not None:
                    server.close()

    def command(self, run: Callable[[float], Result]) -> Result:
        """Call into the core with the time, and do what it asks. The caller's errors are raised to the caller."""
        result = run(self._loop.time())
        self._flush()
        return result

    # Inputs

    def _on_packet(self, data: bytes, source: Address) -> None:
        if self._packets is None:
            return  # it came while the sockets were opening: lost, as datagrams may be
        self.counters["packets_received"] += 1
        if not self._networks(source.ip):
            self._core.refused[Reason.NOT_ADMITTED] += 1
            return
        self._input(lambda now: self._core.receive_packet(data, source, now))

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._input(self._core.tick)

    def _input(self, step: Callable[[float], None]) -> None:
        try:
            self.command(step)
        except Exception as error:  # a broken invariant: ``run`` ends with it
            if not self._failure.done():
                self._failure.set_exception(error)

    # Outputs

    def _flush(self) -> None:
        output = self._core.take()
        if self._is_closed:
            return
        assert self._packets is not None
        if output.events:
            self._on_events(output.events)
        for address, data in output.packets:
            self._packets.send(address, data)
        self.counters["packets_sent"] += len(output.packets)
        for stream in output.streams:
            self._start_dial(stream)
        self._arm_timer()

    def _arm_timer(self) -> None:
        deadline = self._core.deadline
        if self._timer_at <= deadline:
            return  # it comes early at worst, and then looks again
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._on_timer)
        self._timer_at = deadline

    # Streams that we open

    def _start_dial(self, stream: OpenStream) -> None:
        assert self._tasks is not None
        if self._outbound_streams >= _OUTBOUND_STREAMS_MAX:
            self._loop.call_soon(self._input, lambda _: self._core.on_stream_failure(stream.exchange, "too many streams are open"))
            return
        self._outbound_streams += 1
        self._tasks.create_task(self._dial(stream), name=f"gossip {stream.kind.value} with {stream.address}")

    async def _dial(self, stream: OpenStream) -> None:
        self.counters["streams_opened"] += 1
        answer: StreamMessage | None = None
        error = "it closed the stream without an answer"
        try:
            async with asyncio.timeout_at(stream.deadline):
                reader, writer = await asyncio.open_connection(stream.address.host, stream.address.port)
                try:
                    writer.write(stream.data)
                    await writer.drain()
                    answer = await self._read_message(reader, StreamDecoder(self._envelope, dialled=False))
                finally:
                    writer.close()
        except TimeoutError:
            error = "it did not answer in time"
        except OSError as problem:
            error = os.strerror(problem.errno) if problem.errno else str(problem)
        except WireError as refusal:
            self._core.refused[refusal.reason] += 1
            error = f"its answer was refused: {refusal}"
        finally:
            self._outbound_streams -= 1
        if answer is None:
            self._input(lambda _: self._core.on_stream_failure(stream.exchange, error))
        else:
            self._input(lambda now: self._core.on_stream_answer(stream.exchange, answer, now))

    # Streams that others open

    def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._tasks is not None
        if self._is_closed or self._inbound_streams >= _INBOUND_STREAMS_MAX:
            self.counters["streams_refused"] += 1
            writer.close()
            return
        self._inbound_streams += 1
        serving = self._tasks.create_task(self._serve(reader, writer), name="gossip stream of a peer")
        serving.add_done_callback(lambda _: self._end_serving(writer))  # a task that is cancelled before its first step has no ``finally``

    def _end_serving(self, writer: asyncio.StreamWriter) -> None:
        self._inbound_streams -= 1
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counters["streams_accepted"] += 1
        try:
            async with asyncio.timeout(self._core.config.timing.stream_timeout_s):
                if (answer := await self._answer(reader)) is not None:
                    writer.write(answer)
                    await writer.drain()
        except TimeoutError:
            self.counters["streams_timed_out"] += 1
        except OSError:
            self.counters["streams_broken"] += 1

    async def _answer(self, reader: asyncio.StreamReader) -> bytes | None:
        try:
            message = await self._read_message(reader, StreamDecoder(self._envelope, dialled=True))
            if message is None:
                raise WireError(Reason.TRUNCATED, "stream")
        except WireError as error:
            return self._core.refuse_stream(error)
        return self.command(lambda now: self._core.receive_stream(message, now))

    async def _read_message(self, reader: asyncio.StreamReader, decoder: StreamDecoder) -> StreamMessage | None:
        """The one message of a stream; None when the stream ends before it."""
        held_bytes = 0
        try:
            while data := await reader.read(_READ_BYTES):
                held_bytes += len(data)
                self._buffered_bytes += len(data)
                if self._buffered_bytes > _BUFFERED_BYTES_MAX:
                    raise WireError(Reason.OVERSIZED, "all streams together")
                # Much data may take long to decompress: then the loop must go on meanwhile.
                large = held_bytes > _DECODE_IN_LOOP_BYTES
                message = await asyncio.to_thread(decoder.feed, data) if large else decoder.feed(data)
                if message is not None:
                    return message
        finally:
            self._buffered_bytes -= held_bytes
        return None
