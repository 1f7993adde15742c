"""Proposals on their way to the leader, and what bounds them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from rostra.consensus.configuration import Configuration
from rostra.consensus.core import Core
from rostra.consensus.forwarding import Forwarder, ForwardStream
from rostra.consensus.model import PeerId, ReadMode
from rostra.consensus.peers import AddressBook, Peers
from rostra.consensus.proposals import Committed
from rostra.consensus.reads import ReadBatches
from rostra.consensus.servicer import MAX_GROUP, ConsensusServicer, _groups
from rostra.consensus.snapshots import MemorySnapshots
from rostra.consensus.storage import MemoryStore
from rostra.errors import Busy, NotLeader, UnknownOutcome
from rostra.rpc.channels import PlainConnector
from rostra.rpc.handlers import Handlers
from rostra.rpc.hello import make_hello
from rostra.rpc.inprocess import MAX_MESSAGE_BYTES, InProcessChannel
from rostra.rpc.status import detail_from_error
from rostra.v1 import common_pb2, consensus_pb2, consensus_pb2_grpc

from .helpers import Cluster
from .test_attach import IDENTITY
from .test_driver import leading


class Recorded(ForwardStream):
    """Keeps what it would have sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def write(self, message: Any) -> None:
        self.sent.append(message)


@pytest.mark.parametrize("commands", [[b"x" * 10] * 30_000, [bytes(400_000)] * 5, [b"one"]], ids=["many", "large", "one"])
async def test_what_fitted_into_one_message_of_a_client_fits_when_it_is_forwarded_and_keeps_its_order(commands: list[bytes]) -> None:
    stream = Recorded()
    await stream.send(2**40, commands, 2**40, 3, 7.0)
    assert max(message.ByteSize() for message in stream.sent) <= MAX_MESSAGE_BYTES
    proposals = [proposal for message in stream.sent for proposal in message.batch.proposals]
    assert [proposal.data for proposal in proposals] == commands
    assert [proposal.sequence for proposal in proposals] == list(range(2**40, 2**40 + len(commands)))
    assert all(proposal.forwarded for proposal in proposals)


def test_however_many_are_refused_the_answer_fits_into_a_message() -> None:
    groups = _groups([consensus_pb2.Proposal(sequence=number, data=b"x") for number in range(5_000)])
    assert [proposal.sequence for group in groups for proposal in group] == list(range(5_000))
    error = detail_from_error(NotLeader("3f8d9e54-2a43-4f0c-9a5e-0d8f3c1b7a11"))
    results = [consensus_pb2.ProposalResult(sequence=2**40, error=error) for _ in range(MAX_GROUP)]
    assert consensus_pb2.ProposeResponse(results=consensus_pb2.ProposalResults(results=results)).ByteSize() <= MAX_MESSAGE_BYTES
    assert max(map(len, groups)) == MAX_GROUP


async def test_a_reader_too_many_is_told_that_it_is() -> None:
    core: Core = Cluster(3)["n1"].core
    core.leader = core.id
    reads = ReadBatches(1)
    reads.join(ReadMode.LEASE)
    reads.ask(core, lambda: 0.0)
    with pytest.raises(Busy, match="too many reads"):
        reads.join(ReadMode.LEASE)


class LateWay:
    """Leads nowhere at first, and then to the leader."""

    def __init__(self, failures: int, channel: InProcessChannel) -> None:
        self.attempts = 0
        self._failures = failures
        self._channel = channel

    def channel(self, peer: PeerId) -> Any:
        self.attempts += 1
        return None if self.attempts <= self._failures else self._channel

    def hello(self) -> common_pb2.Hello:
        return make_hello(IDENTITY, "consensus", "")

    def pause_s(self, failures: int) -> float:
        return 0.01


async def test_who_waits_for_the_leader_is_not_forgotten_when_the_first_connection_fails() -> None:
    async with leading(lambda: (MemoryStore(), MemorySnapshots())) as consensus, asyncio.timeout(30):
        core = consensus.core
        peers = Peers(IDENTITY, AddressBook(lambda: core.configuration), lambda: core.id, PlainConnector(), random.Random(1))
        handlers = Handlers()
        handlers.add(consensus_pb2_grpc.add_ConsensusServiceServicer_to_server, ConsensusServicer(consensus, IDENTITY, peers))
        way: Any = LateWay(3, InProcessChannel(handlers))
        forwarder = Forwarder(way, core.id)
        running = asyncio.create_task(forwarder.run())
        (outcome,) = await forwarder.propose([b"a"], 0, 1, 30.0)
        assert isinstance(outcome, Committed)
        assert way.attempts == 4
        running.cancel()
        await asyncio.wait([running])


class Hangs:
    """A leader that was stopped: the connection stands, and nothing is answered."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def Propose(  # noqa: N802 (gRPC's name)
        self, requests: AsyncIterator[consensus_pb2.ProposeRequest], _: object
    ) -> AsyncIterator[consensus_pb2.ProposeResponse]:
        yield consensus_pb2.ProposeResponse(hello=make_hello(IDENTITY, "consensus", ""))
        async for request in requests:
            if request.HasField("batch"):
                self.asked.set()


async def test_a_leader_that_hangs_is_not_waited_for_once_another_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    former, other = PeerId("n1", "s1"), PeerId("n2", "s2")
    hangs: Any = Hangs()
    handlers = Handlers()
    method: Any = grpc.stream_stream_rpc_method_handler(hangs.Propose)
    handlers.add_registered_method_handlers("rostra.v1.ConsensusService", {"Propose": method})
    channel: Any = InProcessChannel(handlers)
    peers = Peers(IDENTITY, AddressBook(Configuration), lambda: PeerId("n3", "s3"), PlainConnector(), random.Random(1))
    monkeypatch.setattr(peers, "channel", lambda _: channel)
    running = asyncio.create_task(peers.run())
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(30):
            proposal = asyncio.create_task(peers.forward(former, [b"a", b"b"], 0, 1, 600.0))
            await hangs.asked.wait()
            peers.led_by(former)
            await asyncio.sleep(0)
            assert not proposal.done()
            peers.led_by(other)
            assert [type(outcome) for outcome in await proposal] == [UnknownOutcome, UnknownOutcome]
    finally:
        running.cancel()
        await asyncio.wait([running])
