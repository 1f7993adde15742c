"""Client of ``ConsensusService``: the replicated log as a state machine and a proposer see it. Domain values in and out."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from grpc import aio
from msgspec import Struct

from rostra.clients.streams import BidiStream, milliseconds
from rostra.errors import Conflict, RostraError
from rostra.model.consistency import Consistency
from rostra.model.identity import Identity
from rostra.rpc.hello import check_hello, make_hello
from rostra.rpc.inprocess import InProcessChannel
from rostra.rpc.status import error_from_detail, error_from_rpc
from rostra.v1 import common_pb2, consensus_pb2, raft_pb2
from rostra.v1.consensus_pb2_grpc import ConsensusServiceStub

TIMEOUT_S: Final = 7.0
"""The hold time: longest wait for a unary answer."""
MAX_CHUNK_BYTES: Final = 256 * 1024
"""Data in one piece of a snapshot."""
_GET_READ_INDEX: Final = {
    each: consensus_pb2.GetReadIndexRequest(consistency=common_pb2.Consistency.ValueType(each.value))
    for each in (Consistency.DEFAULT, Consistency.CONSISTENT)
}


class Proposal(Struct, frozen=True):
    """A command to propose; ``only_in_term`` fences a leader's duty (0: in any term). ``level``: of its kind (docs/design/versions.md)."""

    sequence: int
    data: bytes
    timeout_s: float
    only_in_term: int = 0
    level: int = 1


class ProposalResult(Struct, frozen=True):
    """Committed at ``index``, or why not: ``UnknownOutcome`` is the only error after which it may still be committed."""

    sequence: int
    index: int = 0
    term: int = 0
    error: RostraError | None = None


@dataclass(frozen=True, slots=True)
class RoundResult:
    """Apply up to ``index`` before reading, or why there is no telling."""

    round: int
    index: int = 0
    error: RostraError | None = None


class CommittedEntry(Struct, frozen=True):
    """An entry of the log; ``data`` is empty where it is not for the state machine."""

    index: int
    term: int
    time_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Entries:
    """Committed entries in order, without gaps."""

    entries: Sequence[CommittedEntry]
    commit_index: int


@dataclass(frozen=True, slots=True)
class SnapshotStart:
    """A snapshot to load instead of what the state machine has; its bytes follow."""

    cluster_id: str
    last_index: int
    last_term: int
    time_ns: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotData:
    """Bytes of a snapshot."""

    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class SnapshotWanted:
    """Consensus asks for a snapshot that covers at least ``minimum_index``."""

    minimum_index: int


AttachEvent: TypeAlias = Entries | SnapshotStart | SnapshotData | SnapshotWanted


@dataclass(frozen=True, slots=True)
class Leadership:
    """Who leads, as the asked server knows it; ``leader`` is a node name, or empty."""

    term: int = 0
    leader: str = ""
    leader_address: str = ""
    is_leader: bool = False
    last_contact_ms: int = 0
    commit_index: int = 0


@dataclass(frozen=True, slots=True)
class RaftMember:
    """A member of the configuration; ``match_index`` and ``last_contact_ms`` are None unless the leader was asked."""

    node_id: str
    store_id: str
    node_name: str
    address: str
    voter: bool
    match_index: int | None = None
    last_contact_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """The membership, the index of the entry that holds it, and the leader's node ID where one is known."""

    index: int
    cluster_id: str
    members: Sequence[RaftMember]
    leader_id: str = ""


@dataclass(frozen=True, slots=True)
class ConsensusStatus:
    """A server's own view. ``cluster_id`` is empty before the cluster is bootstrapped."""

    cluster_id: str
    node_id: str
    store_id: str
    state: str
    leadership: Leadership
    stats: Mapping[str, str] = field(default_factory=dict)


class ConsensusClient:
    """The channel stays the caller's to close. Raises ``rostra.errors``."""

    def __init__(self, channel: aio.Channel, identity: Identity | None = None, role: str = "client") -> None:
        self._channel = channel
        self._is_near = isinstance(channel, InProcessChannel)
        self._stub = ConsensusServiceStub(channel)
        self._identity = identity or Identity("", "", "")
        self._role = role

    def on_behalf_of(self, identity: Identity, role: str) -> ConsensusClient:
        """The same client, introducing itself as that role of that node."""
        return ConsensusClient(self._channel, identity, role)

    def propose(self) -> ProposeStream:
        """A stream of proposals, opened by entering it."""
        return ProposeStream(self._stub.Propose, consensus_pb2.ProposeRequest(hello=self._hello()))

    def read_index(self) -> ReadIndexStream:
        """A stream of read rounds, opened by entering it."""
        return ReadIndexStream(self._stub.ReadIndex, consensus_pb2.ReadIndexRequest(hello=self._hello()))

    def read_index_at_once(self, consistency: Consistency) -> int:
        """An index that no write acknowledged before this call exceeds, if the server is in this process and knows one without asking
        another; else 0."""
        if not self._is_near:
            return 0
        get_read_index: Any = self._stub.GetReadIndex
        answer = get_read_index.at_once(_GET_READ_INDEX[consistency])
        return int(answer.index) if answer is not None else 0

    def attach(
        self, *, cluster_id: str = "", applied_index: int = 0, applied_term: int = 0, primary: bool = False, command_level: int = 1
    ) -> AttachStream:
        """A state machine's stream, opened by entering it: says which cluster it belongs to, if any, and where it stands."""
        place = consensus_pb2.AttachOpen(
            cluster_id=cluster_id,
            applied_index=applied_index,
            applied_term=applied_term,
            primary=primary,
            command_level=command_level,
        )
        hello = consensus_pb2.AttachRequest(hello=self._hello(cluster_id))
        return AttachStream(self._stub.Attach, hello, consensus_pb2.AttachRequest(open=place))

    async def watch_leadership(self) -> AsyncIterator[Leadership]:
        """Who leads, now and at each change, until the caller stops or the server fails."""
        call = self._stub.WatchLeadership(consensus_pb2.WatchLeadershipRequest(hello=self._hello()))
        try:
            async for message in call:
                if message.HasField("hello"):
                    check_hello(message.hello)
                elif message.HasField("leadership"):
                    yield _leadership(message.leadership)
        except aio.AioRpcError as error:
            raise error_from_rpc(error) from None
        finally:
            call.cancel()

    async def get_status(self, timeout_s: float = TIMEOUT_S) -> ConsensusStatus:
        """The server's own view."""
        answer = await _call(self._stub.GetStatus, consensus_pb2.ConsensusServiceGetStatusRequest(), timeout_s)
        return ConsensusStatus(
            cluster_id=answer.cluster_id,
            node_id=answer.id.node_id,
            store_id=answer.id.store_id,
            state=answer.state,
            leadership=_leadership(answer.leadership),
            stats=dict(answer.stats),
        )

    async def get_configuration(self, timeout_s: float = TIMEOUT_S, *, from_leader: bool = False) -> Configuration:
        """The membership, with the progress of the members where the server leads. ``from_leader``: as the leader has it; ``NoLeader``."""
        request = consensus_pb2.GetConfigurationRequest(from_leader=from_leader)
        return configuration_from_proto(await _call(self._stub.GetConfiguration, request, timeout_s))

    async def add_learner(self, member: RaftMember, *, only_at_index: int = 0, timeout_s: float = TIMEOUT_S) -> int:
        """Adds a member that does not vote yet, or changes its address; the index of the configuration that has it."""
        return await self._change(consensus_pb2.MEMBER_CHANGE_ACTION_ADD_LEARNER, member, only_at_index, timeout_s)

    async def promote(self, member: RaftMember, *, only_at_index: int = 0, timeout_s: float = TIMEOUT_S) -> int:
        """Lets a learner vote."""
        return await self._change(consensus_pb2.MEMBER_CHANGE_ACTION_PROMOTE, member, only_at_index, timeout_s)

    async def remove(self, member: RaftMember, *, only_at_index: int = 0, timeout_s: float = TIMEOUT_S) -> int:
        """Takes a member out."""
        return await self._change(consensus_pb2.MEMBER_CHANGE_ACTION_REMOVE, member, only_at_index, timeout_s)

    async def transfer_leadership(self, node_id: str = "", timeout_s: float = TIMEOUT_S) -> str:
        """Hands leadership to that node, or to the most caught-up voter; the name of the node that has it now."""
        request = consensus_pb2.TransferLeadershipRequest(node_id=node_id)
        return str((await _call(self._stub.TransferLeadership, request, timeout_s)).leader)

    async def bootstrap(self, members: Iterable[RaftMember] = (), timeout_s: float = TIMEOUT_S) -> str:
        """Starts a new cluster on an empty store, of these members or of this server alone; the new cluster's ID."""
        request = consensus_pb2.BootstrapRequest(members=[_member_to_proto(member) for member in members])
        return str((await _call(self._stub.Bootstrap, request, timeout_s)).cluster_id)

    def _hello(self, cluster_id: str = "") -> common_pb2.Hello:
        return make_hello(self._identity, self._role, cluster_id)

    async def _change(
        self, action: consensus_pb2.MemberChangeAction.ValueType, member: RaftMember, only_at_index: int, timeout_s: float
    ) -> int:
        request = consensus_pb2.ChangeMemberRequest(action=action, member=_member_to_proto(member), only_at_index=only_at_index)
        return int((await _call(self._stub.ChangeMember, request, timeout_s)).index)


class ProposeStream(BidiStream[consensus_pb2.ProposeRequest, consensus_pb2.ProposeResponse]):
    """Proposals go out in batches, results come in, in any order."""

    async def send(self, proposals: Iterable[Proposal]) -> None:
        """One batch, which the caller keeps under the message limit."""
        await self.write(_propose_request(proposals))

    def send_at_once(self, proposals: Iterable[Proposal]) -> None:
        """The same while ``writes_at_once``."""
        self.write_at_once(_propose_request(proposals))

    async def receive(self) -> list[ProposalResult]:
        """The next results."""
        message = await self.read()
        return [ProposalResult(one.sequence, one.index, one.term, _error(one)) for one in message.results.results]


class ReadIndexStream(BidiStream[consensus_pb2.ReadIndexRequest, consensus_pb2.ReadIndexResponse]):
    """Rounds go out, indexes come in."""

    async def send(self, number: int, consistency: Consistency, timeout_s: float) -> None:
        """Asks for one index for everything that waited before this call."""
        mode = common_pb2.Consistency.ValueType(consistency.value)
        asked = consensus_pb2.ReadRound(round=number, consistency=mode, timeout_ms=milliseconds(timeout_s))
        await self.write(consensus_pb2.ReadIndexRequest(round=asked))

    async def receive(self) -> RoundResult:
        """The next answer."""
        result = (await self.read()).result
        return RoundResult(result.round, result.index, _error(result))


class AttachStream(BidiStream[consensus_pb2.AttachRequest, consensus_pb2.AttachResponse]):
    """Entries and snapshots come in, reports and snapshots go out. Only one task may send."""

    async def report_applied(self, index: int) -> None:
        """Everything up to ``index`` is applied: more may come."""
        await self.write(consensus_pb2.AttachRequest(applied_index=index))

    async def send_snapshot_start(self, start: SnapshotStart) -> None:
        """Begins handing over a snapshot."""
        header = raft_pb2.SnapshotHeader(
            format_version=1,
            cluster_id=start.cluster_id,
            last_index=start.last_index,
            last_term=start.last_term,
            time_ns=start.time_ns,
        )
        await self.write(consensus_pb2.AttachRequest(snapshot=consensus_pb2.SnapshotPart(header=header)))

    async def send_snapshot_data(self, offset: int, data: bytes, *, last: bool) -> None:
        """Goes on with it; at most ``MAX_CHUNK_BYTES``."""
        chunk = raft_pb2.SnapshotChunk(offset=offset, data=data, crc32=zlib.crc32(data), last=last)
        await self.write(consensus_pb2.AttachRequest(snapshot=consensus_pb2.SnapshotPart(chunk=chunk)))

    async def receive(self) -> AttachEvent:
        """The next event; content that this version does not know is passed over."""
        while True:
            message = await self.read()
            match message.WhichOneof("content"):
                case "entries":
                    return _entries(message.entries)
                case "snapshot_wanted":
                    return SnapshotWanted(message.snapshot_wanted.minimum_index)
                case "snapshot":
                    return _snapshot_part(message.snapshot)


def configuration_from_proto(message: consensus_pb2.GetConfigurationResponse) -> Configuration:
    """The membership, with the progress of those of whom it is told."""
    progress = {(one.id.node_id, one.id.store_id): one for one in message.progress}
    members = [_member(member, progress.get((member.id.node_id, member.id.store_id))) for member in message.configuration.members]
    return Configuration(message.index, message.configuration.cluster_id, members, message.leader.node_id)


def configuration_to_proto(configuration: Configuration) -> consensus_pb2.GetConfigurationResponse:
    """The same again."""
    return consensus_pb2.GetConfigurationResponse(
        index=configuration.index,
        configuration=raft_pb2.Configuration(
            cluster_id=configuration.cluster_id, members=[_member_to_proto(member) for member in configuration.members]
        ),
        leader=raft_pb2.PeerId(node_id=configuration.leader_id),
        progress=[
            consensus_pb2.MemberProgress(
                id=raft_pb2.PeerId(node_id=member.node_id, store_id=member.store_id),
                match_index=member.match_index or 0,
                last_contact_ms=member.last_contact_ms,
            )
            for member in configuration.members
            if member.last_contact_ms is not None
        ],
    )


async def _call(method: Any, request: Any, timeout_s: float) -> Any:
    try:
        return await method(request, timeout=timeout_s)
    except aio.AioRpcError as error:
        raise error_from_rpc(error) from None
    except (asyncio.InvalidStateError, aio.UsageError) as error:
        raise Conflict(str(error)) from None


def _propose_request(proposals: Iterable[Proposal]) -> consensus_pb2.ProposeRequest:
    messages = [
        consensus_pb2.Proposal(
            sequence=one.sequence,
            data=one.data,
            timeout_ms=milliseconds(one.timeout_s),
            only_in_term=one.only_in_term,
            level=one.level,
        )
        for one in proposals
    ]
    return consensus_pb2.ProposeRequest(batch=consensus_pb2.ProposalBatch(proposals=messages))


def _error(message: Any) -> RostraError | None:
    return error_from_detail(message.error) if message.HasField("error") else None


def _entries(message: consensus_pb2.CommittedEntries) -> Entries:
    entries = [
        CommittedEntry(one.index, one.term, one.time_ns, one.data if one.kind == raft_pb2.ENTRY_KIND_COMMAND else b"")
        for one in message.entries
    ]
    return Entries(entries, message.commit_index)


def _snapshot_part(part: consensus_pb2.SnapshotPart) -> SnapshotStart | SnapshotData:
    if part.HasField("header"):
        header = part.header
        return SnapshotStart(header.cluster_id, header.last_index, header.last_term, header.time_ns)
    if zlib.crc32(part.chunk.data) != part.chunk.crc32:
        raise Conflict(f"a piece of a snapshot at {part.chunk.offset} does not match its checksum")
    return SnapshotData(part.chunk.data, part.chunk.last)


def _leadership(message: consensus_pb2.Leadership) -> Leadership:
    return Leadership(
        term=message.term,
        leader=message.leader,
        leader_address=message.leader_address,
        is_leader=message.is_leader,
        last_contact_ms=message.last_contact_ms,
        commit_index=message.commit_index,
    )


def _member(member: raft_pb2.RaftMember, progress: consensus_pb2.MemberProgress | None) -> RaftMember:
    return RaftMember(
        node_id=member.id.node_id,
        store_id=member.id.store_id,
        node_name=member.node_name,
        address=member.address,
        voter=member.suffrage == raft_pb2.SUFFRAGE_VOTER,
        match_index=None if progress is None else progress.match_index,
        last_contact_ms=None if progress is None else progress.last_contact_ms,
    )


def _member_to_proto(member: RaftMember) -> raft_pb2.RaftMember:
    return raft_pb2.RaftMember(
        id=raft_pb2.PeerId(node_id=member.node_id, store_id=member.store_id),
        node_name=member.node_name,
        address=member.address,
        suffrage=raft_pb2.SUFFRAGE_VOTER if member.voter else raft_pb2.SUFFRAGE_LEARNER,
    )
