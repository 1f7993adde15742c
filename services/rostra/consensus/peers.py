"""The way to the other servers: one stream of messages to each, forwarded proposals, and snapshots (``driver.Transport``).

Nothing here is reliable, and nothing needs to be: what a broken stream loses, Raft repeats. Addresses come from gossip by
node ID, the last good one is kept; before gossip knows one, the configuration's is used.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from grpc import aio

from rostra.consensus.configuration import Configuration
from rostra.consensus.convert import peer_to_proto, snapshot_header
from rostra.consensus.forwarding import Forwarder
from rostra.consensus.link import Link
from rostra.consensus.messages import Message
from rostra.consensus.model import PeerId, SnapshotMeta
from rostra.consensus.proposals import Outcome
from rostra.consensus.snapshot_stream import SnapshotStream
from rostra.consensus.snapshots import SnapshotStore
from rostra.errors import NotLeader, Unavailable
from rostra.model.identity import Identity
from rostra.rpc.channels import Connector
from rostra.rpc.hello import make_hello
from rostra.rpc.status import error_from_rpc
from rostra.v1 import common_pb2, consensus_pb2, raft_pb2
from rostra.v1.consensus_pb2_grpc import ConsensusServiceStub
from rostra.v1.raft_pb2_grpc import RaftServiceStub

if TYPE_CHECKING:
    from rostra.v1.consensus_pb2_grpc import ConsensusServiceAsyncStub

RECONNECT_S: Final = (0.01, 0.5)
CALL_TIMEOUT_S: Final = 2.0
CHANGE_TIMEOUT_S: Final = 7.0

T = TypeVar("T")


class AddressBook:
    """Where the servers are, by node ID."""

    def __init__(self, configuration: Callable[[], Configuration]) -> None:
        self._configuration = configuration
        self._by_gossip: dict[str, Sequence[str]] = {}

    def learn(self, node_id: str, addresses: Sequence[str]) -> None:
        """Gossip shows the server there; at several addresses, where another process runs on a copy of its data folder."""
        self._by_gossip[node_id] = addresses

    def find(self, peer: PeerId) -> str:
        """HOST:PORT, or empty where nothing is known. Of several nobody knows which is the server's, so it is the configuration's for
        everybody: if some of us spoke with the copy and some with the original, the two could give one vote twice."""
        claimed = self._by_gossip.get(peer.node_id, ())
        if len(claimed) == 1:
            return claimed[0]
        member = self._configuration().by_id.get(peer)
        return "" if member is None else member.address


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
        self._links: dict[PeerId, Link] = {}
        self._forwarders: dict[PeerId, Forwarder] = {}
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

    def send(self, peer: PeerId, batch: Sequence[Message], *, unhurried: bool = False) -> None:
        """Takes the messages, or drops them; never blocks."""
        if self._tasks is None:
            return
        link = self._links.get(peer)
        if link is None:
            link = self._links[peer] = Link(self, peer)
            self._tasks.create_task(link.run(), name=f"consensus: messages to {peer.node_id}")
        link.put(batch, unhurried=unhurried)

    async def forward(self, leader: PeerId, commands: Sequence[bytes], only_in_term: int, level: int, timeout_s: float) -> list[Outcome]:
        """Has the leader propose. A definite error means that nothing was done; ``UnknownOutcome`` that it may have been."""
        if self._tasks is None:
            raise Unavailable("this server is starting or stopping")
        forwarder = self._forwarders.get(leader)
        if forwarder is None:
            forwarder = self._forwarders[leader] = Forwarder(self, leader)
            self._tasks.create_task(forwarder.run(), name=f"consensus: proposals for {leader.node_id}")
        return await forwarder.propose(commands, only_in_term, level, timeout_s)

    def led_by(self, leader: PeerId) -> None:
        """As ``Transport.led_by``."""
        for former, forwarder in self._forwarders.items():
            if former != leader:
                forwarder.give_up("another server leads now")

    async def send_snapshot(self, peer: PeerId, meta: SnapshotMeta, term: int, snapshots: SnapshotStore) -> bool:
        """Sends it from where the peer already is; True once the peer has installed it."""
        channel = self.channel(peer)
        if channel is None:
            return False
        stub = RaftServiceStub(channel)
        size, checksum = snapshots.measure(meta)
        offer = raft_pb2.InstallSnapshotOffer(
            term=term,
            sender=peer_to_proto(self.own()),
            receiver=peer_to_proto(peer),
            header=snapshot_header(meta, meta.cluster_id),
            size_bytes=size,
            data_crc32=checksum,
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
        return await _asked(self._consensus_of(leader).ChangeMember(request, timeout=CHANGE_TIMEOUT_S))

    async def ask_to_transfer(
        self, leader: PeerId, request: consensus_pb2.TransferLeadershipRequest
    ) -> consensus_pb2.TransferLeadershipResponse:
        """Has the leader hand over."""
        return await _asked(self._consensus_of(leader).TransferLeadership(request, timeout=CHANGE_TIMEOUT_S))

    async def ask_for_configuration(self, leader: PeerId) -> consensus_pb2.GetConfigurationResponse:
        """The membership as the leader has it."""
        return await _asked(self._consensus_of(leader).GetConfiguration(consensus_pb2.GetConfigurationRequest(), timeout=CALL_TIMEOUT_S))

    def _consensus_of(self, leader: PeerId) -> ConsensusServiceAsyncStub:
        channel = self.channel(leader)
        if channel is None:
            raise NotLeader(leader.node_id)
        return ConsensusServiceStub(channel)

    def channel(self, peer: PeerId) -> aio.Channel | None:
        """To where the peer is now; None where that is not known."""
        address = self.book.find(peer)
        if not address:
            return None
        if address not in self._channels:
            self._channels[address] = self.connector.connect(address)
        return self._channels[address]

    def address(self, peer: PeerId) -> str:
        """Where the peer is, or empty."""
        return self.book.find(peer)

    def lost(self, peer: PeerId) -> None:
        """What was under way to the peer did not arrive."""
        self.unreachable(peer)

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
