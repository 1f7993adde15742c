"""Proposals of this server's clients on their way to the leader: one stream, numbered, many in flight."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from rostra.clients.streams import BidiStream, milliseconds
from rostra.consensus.link import Way
from rostra.consensus.model import PeerId
from rostra.consensus.proposals import Committed, Outcome
from rostra.consensus.wire import MAX_BATCH_BYTES
from rostra.errors import NotLeader, RostraError, Unavailable, UnknownOutcome
from rostra.rpc.status import error_from_detail
from rostra.v1 import consensus_pb2
from rostra.v1.consensus_pb2_grpc import ConsensusServiceStub

OVERHEAD_BYTES: Final = 64
"""The most that a proposal takes in a message beside its data."""


class ForwardStream(BidiStream[consensus_pb2.ProposeRequest, consensus_pb2.ProposeResponse]):
    """Proposals for the leader, marked as forwarded."""

    async def send(self, first: int, commands: Sequence[bytes], only_in_term: int, level: int, timeout_s: float) -> None:
        """Numbered from ``first``, in messages of bounded size."""
        timeout_ms, size = milliseconds(timeout_s), 0
        proposals: list[consensus_pb2.Proposal] = []
        for number, data in enumerate(commands, first):
            proposal = consensus_pb2.Proposal(
                sequence=number, data=data, timeout_ms=timeout_ms, only_in_term=only_in_term, forwarded=True, level=level
            )
            size += len(data) + OVERHEAD_BYTES
            if proposals and size > MAX_BATCH_BYTES:
                await self._send(proposals)
                proposals, size = [], len(data) + OVERHEAD_BYTES
            proposals.append(proposal)
        await self._send(proposals)

    async def _send(self, proposals: Sequence[consensus_pb2.Proposal]) -> None:
        await self.write(consensus_pb2.ProposeRequest(batch=consensus_pb2.ProposalBatch(proposals=proposals)))

    async def receive(self) -> list[tuple[int, Outcome]]:
        """The next results."""
        results = (await self.read()).results.results
        return [
            (each.sequence, error_from_detail(each.error) if each.HasField("error") else Committed(each.index, each.term))
            for each in results
        ]


class Forwarder:
    """Proposals for one leader: numbered, many in flight."""

    def __init__(self, peers: Way, leader: PeerId) -> None:
        self._peers = peers
        self._leader = leader
        self._stream: ForwardStream | None = None
        self._opened = asyncio.Event()
        self._wanted = asyncio.Event()
        self._hoping = 0
        self._sending = asyncio.Lock()
        self._next = 1
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}

    async def propose(self, commands: Sequence[bytes], only_in_term: int, level: int, timeout_s: float) -> list[Outcome]:
        """Raises before anything is sent; says ``UnknownOutcome`` of what was sent and not answered."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        await self._open(min(timeout_s, 1.0))
        first, self._next = self._next, self._next + len(commands)
        futures: list[asyncio.Future[Outcome]] = [loop.create_future() for _ in commands]
        self._waiting.update(enumerate(futures, first))
        try:
            async with asyncio.timeout_at(until):
                async with self._sending:
                    if self._stream is None:
                        raise NotLeader(self._leader.node_id)
                    await self._stream.send(first, commands, only_in_term, level, timeout_s)
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

    async def _open(self, limit_s: float) -> None:
        self._wanted.set()
        self._hoping += 1
        try:
            async with asyncio.timeout(limit_s):
                await self._opened.wait()
        except TimeoutError:
            raise NotLeader(self._leader.node_id) from None
        finally:
            self._hoping -= 1

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
            if not self._hoping:
                self._wanted.clear()
            self.give_up("the connection to the leader broke")
            failures += 1
            await asyncio.sleep(self._peers.pause_s(failures))

    def give_up(self, reason: str) -> None:
        """What was sent and not answered is ``UnknownOutcome`` from now on."""
        for future in self._waiting.values():
            if not future.done():
                future.set_result(UnknownOutcome(reason))

    async def _receive(self, stream: ForwardStream) -> None:
        while True:
            for number, outcome in await stream.receive():
                future = self._waiting.get(number)
                if future is not None and not future.done():
                    future.set_result(outcome)
