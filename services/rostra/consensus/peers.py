"""The way to the other servers: one stream of messages to each, forwarded proposals, and snapshots (``driver.Transport``).

Nothing here is reliable, and nothing needs to be: what a broken stream loses, Raft repeats. Addresses come from gossip by
node ID, the last good one is kept; before gossip knows one, the configuration's is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from grpc import aio
from prometheus_client import Counter

from rostra.clients.streams import BidiStream, milliseconds
from rostra.consensus.configuration import Configuration
from rostra.consensus.convert import peer_to_proto, snapshot_header
from rostra.consensus.messages import Message
from rostra.consensus.model import PeerId, SnapshotMeta
from rostra.consensus.proposals import Committed, Outcome
from rostra.consensus.snapshots import SnapshotStore
from rostra.consensus.wire import MAX_BATCH_BYTES, message_to_proto, size_of
from rostra.errors import NotLeader, RostraError, Unavailable, UnknownOutcome
from rostra.model.identity import Identity
from rostra.rpc.channels import Connector
from rostra.rpc.companions import Companions
from rostra.rpc.hello import make_hello
from rostra.rpc.status import error_from_detail, error_from_rpc
from rostra.v1 import common_pb2, consensus_pb2, raft_pb2
from rostra.v1.consensus_pb2_grpc import ConsensusServiceStub
from rostra.v1.raft_pb2_grpc import RaftServiceStub

log = logging.getLogger("rostra.consensus")

MAX_WAITING: Final = 4096
"""Messages that wait for one peer; when there are more, all are dropped and Raft starts over with it."""
RECONNECT_S: Final = (0.01, 0.5)
SNAPSHOT_TIMEOUT_S: Final = 60.0
CALL_TIMEOUT_S: Final = 2.0
CHANGE_TIMEOUT_S: Final = 7.0

T = TypeVar("T")

_DROPPED = Counter("rostra_consensus_dropped_messages_total", "Messages to a peer that were dropped because too many waited", ["peer"])


class AddressBook:
    """Where the servers are, by node ID."""

    def __init__(self, configuration: Callable[[], Configuration]) -> None:
        self._configuration = configuration
        self._by_gossip: dict[str, str] = {}

    def learn(self, node_id: str, address: str) -> None:
        """Gossip shows the server there."""
        self._by_gossip[node_id] = address

    def find(self, peer: PeerId) -> str:
        """HOST:PORT, or empty where nothing is known."""
        if peer.node_id in self._by_gossip:
            return self._by_gossip[peer.node_id]
        member = self._configuration().by_id.get(peer)
        return "" if member is None else member.address


class ExchangeStream(BidiStream[raft_pb2.ExchangeRequest, raft_pb2.ExchangeResponse]):
    """Messages go out; refusals come in."""

    async def send(self, batch: Sequence[Message]) -> None:
        """In order."""
        made = raft_pb2.RaftBatch(messages=[message_to_proto(message) for message in batch])
        await self.write(raft_pb2.ExchangeRequest(batch=made))

    async def refusal(self) -> RostraError:
        """Waits until the other side refuses something; raises when the stream ends."""
        return error_from_detail((await self.read()).refusal)


class ForwardStream(BidiStream[consensus_pb2.ProposeRequest, consensus_pb2.ProposeResponse]):
    """Proposals for the leader, marked as forwarded."""

    async def send(self, first: int, commands: Sequence[bytes], only_in_term: int, timeout_s: float) -> None:
        """Numbered from ``first``."""
        proposals = [
            consensus_pb2.Proposal(
                sequence=number, data=data, timeout_ms=milliseconds(timeout_s), only_in_term=only_in_term, forwarded=True
            )
            for number, data in enumerate(commands, first)
        ]
        await self.write(consensus_pb2.ProposeRequest(batch=consensus_pb2.ProposalBatch(proposals=proposals)))

    async def receive(self) -> list[tuple[int, Outcome]]:
        """The next results."""
        results = (await self.read()).results.results
        return [
            (each.sequence, error_from_detail(each.error) if each.HasField("error") else Committed(each.index, each.term))
            for each in results
        ]


class Peers:
    """Connections are made when there is something to send, and again after a break, for as long as ``run`` does."""

    def __init__(self, identity: Identity, book: AddressBook, own: Callable[[], PeerId], connector: Connector, rng: random.Random) -> None:
        self.connector = connector
        self.identity = identity
        self.book = book
        self.own = own
        self.rng = rng
        self.cluster_id: Callable[[], str] = lambda: ""
        self.unreachable: Callable[[PeerId], None] = lambda _: None
        self._links: dict[PeerId, _Link] = {}
        self._forwarders: dict[PeerId, _Forwarder] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._channels: dict[str, aio.Channel] = {}

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await asyncio.get_running_loop().create_future()
        finally:
            self._tasks = None
            for channel in self._channels.values():
                await channel.close()

    def send(self, peer: PeerId, batch: Sequence[Message]) -> None:
        """Takes the messages, or drops them; never blocks."""
        if self._tasks is None:
            return
        link = self._links.get(peer)
        if link is None:
            link = self._links[peer] = _Link(self, peer)
            self._tasks.create_task(link.run(), name=f"consensus: messages to {peer.node_id}")
        link.put(batch)

    async def forward(self, leader: PeerId, commands: Sequence[bytes], only_in_term: int, timeout_s: float) -> list[Outcome]:
        """Has the leader propose. A definite error means that nothing was done; ``UnknownOutcome`` that it may have been."""
        if self._tasks is None:
            raise Unavailable("this server is starting or stopping")
        forwarder = self._forwarders.get(leader)
        if forwarder is None:
            forwarder = self._forwarders[leader] = _Forwarder(self, leader)
            self._tasks.create_task(forwarder.run(), name=f"consensus: proposals for {leader.node_id}")
        return await forwarder.propose(commands, only_in_term, timeout_s)

    async def send_snapshot(self, peer: PeerId, meta: SnapshotMeta, term: int, snapshots: SnapshotStore) -> bool:
        """Sends it from where the peer already is; True once the peer has installed it."""
        channel = self.channel(peer)
        if channel is None:
            return False
        stub = RaftServiceStub(channel)
        offer = raft_pb2.InstallSnapshotOffer(
            term=term,
            sender=peer_to_proto(self.own()),
            receiver=peer_to_proto(peer),
            header=snapshot_header(meta, meta.cluster_id),
            size_bytes=snapshots.size(meta),
        )
        hello = raft_pb2.InstallSnapshotRequest(hello=self.hello())
        async with SnapshotStream(stub.InstallSnapshot, hello, raft_pb2.InstallSnapshotRequest(offer=offer)) as stream:
            offset = await stream.resume_at()
            chunks = snapshots.read(meta, offset)
            while (data := await asyncio.to_thread(next, chunks, None)) is not None:
                await stream.send(offset, data)
                offset += len(data)
            return await stream.finish(offset) >= meta.index

    async def ask_status(self, address: str) -> consensus_pb2.ConsensusServiceGetStatusResponse:
        """What the server there says of itself."""
        async with self.connector.connect(address) as channel:
            request = consensus_pb2.ConsensusServiceGetStatusRequest()
            return await _asked(ConsensusServiceStub(channel).GetStatus(request, timeout=CALL_TIMEOUT_S))

    async def ask_to_change(self, leader: PeerId, request: consensus_pb2.ChangeMemberRequest) -> consensus_pb2.ChangeMemberResponse:
        """Has the leader change the membership."""
        channel = self.channel(leader)
        if channel is None:
            raise NotLeader(leader.node_id)
        return await _asked(ConsensusServiceStub(channel).ChangeMember(request, timeout=CHANGE_TIMEOUT_S))

    def channel(self, peer: PeerId) -> aio.Channel | None:
        """To where the peer is now; None where that is not known."""
        address = self.book.find(peer)
        if not address:
            return None
        if address not in self._channels:
            self._channels[address] = self.connector.connect(address)
        return self._channels[address]

    def hello(self) -> common_pb2.Hello:
        """Ours, as a server of the cluster."""
        return make_hello(self.identity, "consensus", self.cluster_id())

    def pause_s(self, failures: int) -> float:
        """Before the next attempt."""
        shortest, longest = RECONNECT_S
        return float(min(longest, shortest * 2 ** min(failures, 16)) * self.rng.uniform(0.5, 1.0))


async def _asked(call: Awaitable[T]) -> T:
    try:
        return await call
    except aio.AioRpcError as error:
        raise error_from_rpc(error) from None


class SnapshotStream(BidiStream[raft_pb2.InstallSnapshotRequest, raft_pb2.InstallSnapshotResponse]):
    """A snapshot goes out in chunks."""

    async def resume_at(self) -> int:
        """The offset that the peer wants next; raises what it refuses the offer with."""
        answer = await self._answer()
        return answer.received_bytes

    async def send(self, offset: int, data: bytes) -> None:
        """One piece."""
        chunk = raft_pb2.SnapshotChunk(offset=offset, data=data, crc32=zlib.crc32(data))
        await self.write(raft_pb2.InstallSnapshotRequest(chunk=chunk))

    async def finish(self, offset: int) -> int:
        """The end; the log index up to which the peer has installed it."""
        await self.write(raft_pb2.InstallSnapshotRequest(chunk=raft_pb2.SnapshotChunk(offset=offset, last=True)))
        async with asyncio.timeout(SNAPSHOT_TIMEOUT_S):
            while (answer := await self._answer()).WhichOneof("content") != "installed_index":
                pass
        return answer.installed_index

    async def _answer(self) -> raft_pb2.InstallSnapshotResponse:
        answer = await self.read()
        if answer.HasField("refusal"):
            raise error_from_detail(answer.refusal)
        return answer


class _Link:
    """Messages for one peer."""

    def __init__(self, peers: Peers, peer: PeerId) -> None:
        self._peers = peers
        self._peer = peer
        self._waiting: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._connected = False

    def put(self, batch: Sequence[Message]) -> None:
        if len(self._waiting) + len(batch) > MAX_WAITING:
            _DROPPED.labels(self._peer.node_id).inc(len(self._waiting))
            self._waiting.clear()
            self._peers.unreachable(self._peer)
        self._waiting.extend(batch)
        self._arrived.set()

    async def run(self) -> None:
        """Sends what comes, over one stream after the other."""
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
            self._peers.unreachable(self._peer)
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
            size += size_of(self._waiting[0])
            batch.append(self._waiting.popleft())
        return batch

    def _report(self, *, connected: bool, reason: RostraError | None = None) -> None:
        if connected == self._connected and not (reason and self._connected):
            return
        self._connected = connected
        where = {"peer": self._peer.node_id, "address": self._peers.book.find(self._peer)}
        if connected:
            log.info("peer connected", extra=where)
        else:
            log.warning("peer lost", extra={**where, "reason": reason})


class _Forwarder:
    """Proposals for one leader: numbered, many in flight."""

    def __init__(self, peers: Peers, leader: PeerId) -> None:
        self._peers = peers
        self._leader = leader
        self._stream: ForwardStream | None = None
        self._opened = asyncio.Event()
        self._wanted = asyncio.Event()
        self._sending = asyncio.Lock()
        self._next = 1
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}

    async def propose(self, commands: Sequence[bytes], only_in_term: int, timeout_s: float) -> list[Outcome]:
        """Raises before anything is sent; says ``UnknownOutcome`` of what was sent and not answered."""
        self._wanted.set()
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        try:
            async with asyncio.timeout(min(timeout_s, 1.0)):
                await self._opened.wait()
        except TimeoutError:
            raise NotLeader(self._leader.node_id) from None
        first, self._next = self._next, self._next + len(commands)
        futures: list[asyncio.Future[Outcome]] = [loop.create_future() for _ in commands]
        self._waiting.update(enumerate(futures, first))
        try:
            async with asyncio.timeout_at(until):
                async with self._sending:
                    if self._stream is None:
                        raise NotLeader(self._leader.node_id)
                    await self._stream.send(first, commands, only_in_term, timeout_s)
                return list(await asyncio.gather(*futures))
        except TimeoutError:
            unknown = UnknownOutcome(f"the leader did not answer within {timeout_s:g} s")
            return [each.result() if each.done() and not each.cancelled() else unknown for each in futures]
        except Unavailable as error:
            if isinstance(error, NotLeader):
                raise
            return [UnknownOutcome(str(error)) for _ in commands]
        finally:
            for number in range(first, first + len(commands)):
                self._waiting.pop(number, None)

    async def run(self) -> None:
        """Keeps a stream open while somebody wants one."""
        failures = 0
        while True:
            await self._wanted.wait()
            with contextlib.suppress(RostraError):
                channel = self._peers.channel(self._leader)
                if channel is not None:
                    hello = consensus_pb2.ProposeRequest(hello=self._peers.hello())
                    async with ForwardStream(ConsensusServiceStub(channel).Propose, hello) as self._stream:
                        failures = 0
                        self._opened.set()
                        await self._receive(self._stream)
            self._stream = None
            self._opened.clear()
            self._wanted.clear()
            for future in self._waiting.values():
                if not future.done():
                    future.set_result(UnknownOutcome("the connection to the leader broke"))
            failures += 1
            await asyncio.sleep(self._peers.pause_s(failures))

    async def _receive(self, stream: ForwardStream) -> None:
        while True:
            for number, outcome in await stream.receive():
                future = self._waiting.get(number)
                if future is not None and not future.done():
                    future.set_result(outcome)
