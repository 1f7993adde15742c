"""Messages for one peer: a queue in front of one stream after the other. What a broken stream loses, Raft repeats."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from grpc import aio
from prometheus_client import Counter

from rostra.clients.streams import BidiStream
from rostra.consensus.messages import AppendRequest, Message
from rostra.consensus.model import PeerId
from rostra.consensus.wire import MAX_BATCH_BYTES, message_to_proto, size_of
from rostra.errors import RostraError, Unavailable
from rostra.rpc.companions import Companions
from rostra.rpc.status import error_from_detail
from rostra.v1 import common_pb2, raft_pb2
from rostra.v1.raft_pb2_grpc import RaftServiceStub

log = logging.getLogger("rostra.consensus")

MAX_WAITING: Final = 4096
"""Messages that wait for one peer; when there are more, all are dropped and Raft starts over with it."""

UNHURRIED_S: Final = 0.002
"""For so long a message that nobody waits for may wait for another to travel with."""

_DROPPED = Counter("rostra_consensus_dropped_messages_total", "Messages to a peer that were dropped because too many waited", ["peer"])


class Way(Protocol):
    """What is needed to reach a peer, again and again."""

    def channel(self, peer: PeerId) -> aio.Channel | None: ...

    def address(self, peer: PeerId) -> str: ...

    def hello(self) -> common_pb2.Hello: ...

    def pause_s(self, failures: int) -> float: ...

    def lost(self, peer: PeerId) -> None: ...


class ExchangeStream(BidiStream[raft_pb2.ExchangeRequest, raft_pb2.ExchangeResponse]):
    """Messages go out; refusals come in."""

    async def send(self, batch: Sequence[Message]) -> None:
        """In order."""
        made = raft_pb2.RaftBatch(messages=[message_to_proto(message) for message in batch])
        await self.write(raft_pb2.ExchangeRequest(batch=made))

    async def refusal(self) -> RostraError:
        """Waits until the other side refuses something; raises when the stream ends."""
        return error_from_detail((await self.read()).refusal)


class Link:
    """Messages for one peer."""

    def __init__(self, peers: Way, peer: PeerId) -> None:
        self._peers = peers
        self._peer = peer
        self._waiting: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._departure: asyncio.TimerHandle | None = None
        self._connected = False

    def put(self, batch: Sequence[Message], *, unhurried: bool = False) -> None:
        """In order."""
        if len(self._waiting) + len(batch) > MAX_WAITING:
            _DROPPED.labels(self._peer.node_id).inc(len(self._waiting))
            self._waiting.clear()
            self._peers.lost(self._peer)
        self._waiting.extend(batch)
        if not unhurried:
            self._arrived.set()
        elif self._departure is None:
            self._departure = asyncio.get_running_loop().call_later(UNHURRIED_S, self._depart)

    def _depart(self) -> None:
        self._departure = None
        self._arrived.set()

    async def run(self) -> None:
        """For ever: sends what comes, over one stream after the other."""
        failures = 0
        while True:
            await self._arrived.wait()
            try:
                channel = self._peers.channel(self._peer)
                if channel is None:
                    raise Unavailable("its address is not known")
                stub = RaftServiceStub(channel)
                async with ExchangeStream(stub.Exchange, raft_pb2.ExchangeRequest(hello=self._peers.hello())) as stream:
                    failures = 0
                    self._report(connected=True)
                    await self._pump(stream)
            except RostraError as error:
                failures += 1
                self._report(connected=False, reason=error)
            self._waiting.clear()
            self._arrived.clear()
            self._peers.lost(self._peer)
            await asyncio.sleep(self._peers.pause_s(failures))

    async def _pump(self, stream: ExchangeStream) -> None:
        async with Companions() as companions:
            reader = companions.start(self._read(stream), f"consensus: refusals of {self._peer.node_id}")
            while not reader.done():
                await self._arrived.wait()
                self._arrived.clear()
                while self._waiting and not reader.done():
                    await stream.send(self._take())

    async def _read(self, stream: ExchangeStream) -> None:
        try:
            while True:
                refusal = await stream.refusal()
                log.warning("peer refuses our messages", extra={"peer": self._peer.node_id, "reason": refusal})
        finally:
            self._arrived.set()

    def _take(self) -> list[Message]:
        batch: list[Message] = []
        size = 0
        while self._waiting and (not batch or size + size_of(self._waiting[0]) <= MAX_BATCH_BYTES):
            message = self._waiting.popleft()
            if self._waiting and _says_as_much(self._waiting[0], message):
                continue
            size += size_of(message)
            batch.append(message)
        return batch

    def _report(self, *, connected: bool, reason: RostraError | None = None) -> None:
        if connected == self._connected and not (reason and self._connected):
            return
        self._connected = connected
        where = {"peer": self._peer.node_id, "address": self._peers.address(self._peer)}
        if connected:
            log.info("peer connected", extra=where)
        else:
            log.warning("peer lost", extra={**where, "reason": reason})


def _says_as_much(later: Message, notice: Message) -> bool:
    """Whether a notice of the commit index is no news once the message after it is there."""
    if not isinstance(notice, AppendRequest) or not notice.is_notice or not isinstance(later, AppendRequest):
        return False
    # An append in the pipeline ends at or behind whatever the peer is known to have, and so does its commit index.
    return later.term == notice.term and later.commit_index >= notice.commit_index
