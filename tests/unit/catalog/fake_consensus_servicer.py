"""ConsensusService over a list: what is proposed is committed at once, unless a test pulls one of the levers."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from rostra.errors import NoLeader, NotReady, RostraError, Unavailable, UnknownOutcome, Unsupported
from rostra.model.catalog import Command
from rostra.model.identity import Identity
from rostra.model.proto import command_to_proto
from rostra.rpc.companions import Companions
from rostra.rpc.hello import make_hello
from rostra.rpc.status import detail_from_error
from rostra.v1 import consensus_pb2 as pb
from rostra.v1 import raft_pb2

from .partial import Partial

IDENTITY = Identity("n1", "5a1c0d52-91d4-4c0f-9d0e-0d9b1a4a2f11", "dc1", "10.0.0.9", "10.0.0.9", server=True)


class FakeConsensus(Partial):
    """``term`` 0: nobody leads. ``deaf``: proposals and rounds are taken and not answered. ``forgetful``: proposals are
    committed and answered with ``UnknownOutcome``. ``down``: every call fails. ``silent``: who leads is not told. ``servers`` answers what
    is asked of the membership."""

    def __init__(self) -> None:
        self.servers: Any = None
        self.reset("0c6a3b1e-0000-4000-8000-000000000001")
        self.changed = asyncio.Event()
        self.term = 1
        self.is_leader = False
        self.deaf = self.forgetful = self.down = self.silent = False
        self.knows_at_once = False
        self.proposals: list[pb.Proposal] = []
        self.rounds: list[pb.ReadRound] = []
        self.attachments: list[pb.AttachOpen] = []
        self.applied = 0
        self.handed_over: bytes | None = None
        self.entries_per_message = 10
        self._round_answers: list[Callable[[], None]] = []
        self._streams: set[asyncio.Event] = set()

    def reset(self, cluster_id: str) -> None:
        """Another cluster, and empty."""
        self.cluster_id = cluster_id
        self.log: list[raft_pb2.LogEntry] = []
        self.first_index = 1
        self.snapshot = b""
        self.wanted = 0

    # --- levers ---

    @property
    def last_index(self) -> int:
        return self.first_index + len(self.log) - 1

    def commit(self, data: bytes = b"", kind: raft_pb2.EntryKind.ValueType = raft_pb2.ENTRY_KIND_COMMAND) -> int:
        index = self.last_index + 1
        self.log.append(raft_pb2.LogEntry(index=index, term=self.term, kind=kind, time_ns=index, data=data))
        self.tell()
        return index

    def do(self, command: Command, request_id: bytes = b"") -> int:
        """Commits a command that somebody else proposed."""
        return self.commit(command_to_proto(command, request_id).SerializeToString())

    def truncate(self, snapshot: bytes) -> None:
        """The log up to now gives way to a snapshot of it."""
        self.snapshot, self.first_index, self.log = snapshot, self.last_index + 1, []

    def want_snapshot(self) -> None:
        self.wanted = self.last_index
        self.tell()

    def lead(self, term: int, *, here: bool = False) -> None:
        self.term, self.is_leader = term, here and term > 0
        self.tell()

    def tell(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def break_streams(self) -> None:
        """Every open stream fails."""
        for stream in tuple(self._streams):
            stream.set()
        self.tell()

    def answer_rounds(self) -> None:
        """Answers the rounds that were taken while it was deaf."""
        answers, self._round_answers = self._round_answers, []
        for answer in answers:
            answer()

    # --- the service ---

    async def Attach(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.AttachResponse]:
        await anext(request_iterator)
        place = (await anext(request_iterator)).open
        self.attachments.append(place)
        if place.cluster_id not in ("", self.cluster_id):
            raise Unavailable(f"this is cluster {self.cluster_id}")
        async with self._stream() as broken, Companions() as companions:
            yield pb.AttachResponse(hello=self._hello())
            companions.start(self._take_reports(request_iterator), "reports")
            sent = place.applied_index
            if sent + 1 < self.first_index or sent > self.last_index:
                for part in self._snapshot_parts():
                    yield pb.AttachResponse(snapshot=part)
                sent = self.first_index - 1
            while True:
                self._check(broken)
                changed = self.changed
                while sent < self.last_index:
                    self._check(broken)  # it may have broken while the last message went out
                    entries = self.log[sent + 1 - self.first_index :][: self.entries_per_message]
                    sent = entries[-1].index
                    yield pb.AttachResponse(entries=pb.CommittedEntries(entries=entries, commit_index=self.last_index))
                if self.wanted:
                    yield pb.AttachResponse(snapshot_wanted=pb.SnapshotWanted(minimum_index=self.wanted))
                    self.wanted = 0
                await changed.wait()

    async def _take_reports(self, requests: Any) -> None:
        data = bytearray()
        async for request in requests:
            if request.WhichOneof("content") == "applied_index":
                self.applied = request.applied_index
            else:
                chunk = request.snapshot.chunk
                assert zlib.crc32(chunk.data) == chunk.crc32
                assert len(chunk.data) <= 256 * 1024
                data += chunk.data
                if chunk.last:
                    self.handed_over = bytes(data)
            self.tell()

    def _snapshot_parts(self) -> list[pb.SnapshotPart]:
        last = self.first_index - 1
        header = raft_pb2.SnapshotHeader(format_version=1, cluster_id=self.cluster_id, last_index=last, last_term=self.term)
        half = len(self.snapshot) // 2
        chunks = [
            raft_pb2.SnapshotChunk(offset=offset, data=data, crc32=zlib.crc32(data), last=offset > 0 or not data)
            for offset, data in ((0, self.snapshot[:half]), (half, self.snapshot[half:]))
        ]
        return [pb.SnapshotPart(header=header), *(pb.SnapshotPart(chunk=chunk) for chunk in chunks)]

    async def Propose(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.ProposeResponse]:
        await anext(request_iterator)
        async with self._stream() as broken, Companions() as companions:
            yield pb.ProposeResponse(hello=self._hello())
            answers: asyncio.Queue[pb.ProposeResponse | None] = asyncio.Queue()
            companions.start(self._forward(request_iterator, answers, self._propose), "proposals")
            companions.start(_when(broken, lambda: answers.put_nowait(None)), "break")
            while (answer := await answers.get()) is not None:
                yield answer
            raise Unavailable("broken by the test")

    def _propose(self, request: Any) -> list[pb.ProposeResponse]:
        self.proposals += request.batch.proposals
        if self.deaf:
            return []
        results = [self._decide(proposal) for proposal in request.batch.proposals]
        return [pb.ProposeResponse(results=pb.ProposalResults(results=results))]

    def _decide(self, proposal: pb.Proposal) -> pb.ProposalResult:
        error: RostraError | None = None
        if self.term == 0 or (proposal.only_in_term and proposal.only_in_term != self.term):
            error = NoLeader()
        else:
            index = self.commit(proposal.data)
            if not self.forgetful:
                return pb.ProposalResult(sequence=proposal.sequence, index=index, term=self.term)
            error = UnknownOutcome("forgotten by the test")
        return pb.ProposalResult(sequence=proposal.sequence, error=detail_from_error(error))

    async def GetReadIndex(self, request: pb.GetReadIndexRequest, context: Any) -> pb.GetReadIndexResponse:
        return pb.GetReadIndexResponse(index=self.last_index if self.knows_at_once else 0)

    async def ReadIndex(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.ReadIndexResponse]:
        await anext(request_iterator)
        async with self._stream() as broken, Companions() as companions:
            yield pb.ReadIndexResponse(hello=self._hello())
            answers: asyncio.Queue[pb.ReadIndexResponse | None] = asyncio.Queue()

            def take(request: Any) -> list[pb.ReadIndexResponse]:
                self.rounds.append(request.round)
                number, index = request.round.round, self.last_index

                def answer() -> None:
                    answers.put_nowait(pb.ReadIndexResponse(result=pb.ReadRoundResult(round=number, index=index)))

                if self.term == 0 or self.deaf:
                    self._round_answers.append(answer)
                else:
                    answer()
                return []

            companions.start(self._forward(request_iterator, answers, take), "rounds")
            companions.start(_when(broken, lambda: answers.put_nowait(None)), "break")
            while (response := await answers.get()) is not None:
                yield response
            raise Unavailable("broken by the test")

    async def _forward(self, requests: Any, answers: asyncio.Queue[Any], take: Callable[[Any], list[Any]]) -> None:
        try:
            async for request in requests:
                for answer in take(request):
                    answers.put_nowait(answer)
                self.tell()
        finally:
            answers.put_nowait(None)

    async def WatchLeadership(self, request: Any, context: Any) -> AsyncIterator[pb.WatchLeadershipResponse]:
        async with self._stream() as broken:
            yield pb.WatchLeadershipResponse(hello=self._hello())
            while True:
                self._check(broken)
                changed = self.changed
                leadership = pb.Leadership(
                    term=self.term,
                    leader="n1" if self.term else "",
                    leader_address="10.0.0.9:8300" if self.term else "",
                    is_leader=self.is_leader,
                    commit_index=self.last_index,
                )
                if not self.silent:
                    yield pb.WatchLeadershipResponse(leadership=leadership)
                await changed.wait()

    async def GetStatus(self, request: Any, context: Any) -> pb.ConsensusServiceGetStatusResponse:
        if self.down:
            raise NotReady("down")
        return pb.ConsensusServiceGetStatusResponse(cluster_id=self.cluster_id)

    async def GetConfiguration(self, request: pb.GetConfigurationRequest, context: Any) -> Any:
        return self._servers().configuration(request)

    async def ChangeMember(self, request: pb.ChangeMemberRequest, context: Any) -> Any:
        return self._servers().change(request)

    async def TransferLeadership(self, request: pb.TransferLeadershipRequest, context: Any) -> Any:
        return self._servers().transfer(request)

    def _servers(self) -> Any:
        if self.servers is None:
            raise Unsupported("the membership")
        return self.servers

    def _hello(self) -> Any:
        return make_hello(IDENTITY, "consensus", self.cluster_id)

    @contextlib.asynccontextmanager
    async def _stream(self) -> AsyncIterator[asyncio.Event]:
        if self.down:
            raise Unavailable("down")
        broken = asyncio.Event()
        self._streams.add(broken)
        try:
            yield broken
        finally:
            self._streams.discard(broken)

    def _check(self, broken: asyncio.Event) -> None:
        if broken.is_set():
            raise Unavailable("broken by the test")


async def _when(event: asyncio.Event, act: Callable[[], None]) -> None:
    await event.wait()
    act()
