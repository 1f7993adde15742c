"""ConsensusService: proto to domain and back. Every stream answers Hello with Hello first."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from rostra.consensus.answers import Answers
from rostra.consensus.attachment import Attachment, Entries, Restore, SnapshotWanted
from rostra.consensus.convert import (
    configuration_to_proto,
    entries_to_proto,
    leadership_to_proto,
    member_from_proto,
    peer_to_proto,
    snapshot_header,
)
from rostra.consensus.driver import Consensus, Leadership
from rostra.consensus.model import ChangeAction, Member, PeerId
from rostra.consensus.peers import Peers
from rostra.consensus.proposals import Committed, Outcome
from rostra.consensus.read_rounds import HOLD_S, ReadRounds, mode_of
from rostra.consensus.report import state_of
from rostra.errors import BadRequest, Conflict, NoLeader, NotFound, NotReady, RostraError, UnknownOutcome
from rostra.model.identity import Identity
from rostra.rpc.companions import Companions
from rostra.rpc.deadlines import Deadlines
from rostra.rpc.hello import check_hello, make_hello
from rostra.rpc.status import detail_from_error
from rostra.v1 import common_pb2, consensus_pb2, consensus_pb2_grpc, raft_pb2

CONTACT_S: Final = 1.0
MAX_BATCHES: Final = 256
"""Batches of one stream that wait for their outcome; more are not read, which the sender feels as a full stream."""
MAX_GROUP: Final = 2048
"""Proposals that one message answers, even if each is answered with an error and its text."""

_ACTIONS: Final = {
    consensus_pb2.MEMBER_CHANGE_ACTION_ADD_LEARNER: ChangeAction.ADD_LEARNER,
    consensus_pb2.MEMBER_CHANGE_ACTION_PROMOTE: ChangeAction.PROMOTE,
    consensus_pb2.MEMBER_CHANGE_ACTION_REMOVE: ChangeAction.REMOVE,
}


class ConsensusServicer(consensus_pb2_grpc.ConsensusServiceServicer):
    """Every decision is in the driver and its core."""

    def __init__(self, consensus: Consensus, identity: Identity, peers: Peers) -> None:
        self._consensus = consensus
        self._identity = identity
        self._peers = peers

    @property
    def _cluster_id(self) -> str:
        return self._consensus.core.cluster_id

    def _hello(self) -> common_pb2.Hello:
        return make_hello(self._identity, "consensus", self._cluster_id)

    async def Propose(self, request_iterator: Any, context: Any) -> AsyncIterator[consensus_pb2.ProposeResponse]:
        await self._welcome(request_iterator)
        yield consensus_pb2.ProposeResponse(hello=self._hello())
        answers = Answers[consensus_pb2.ProposeResponse](MAX_BATCHES)
        deadlines: Deadlines[asyncio.Future[list[Outcome]]] = Deadlines(lambda decided: decided.cancel())

        async def take() -> None:
            async for request in request_iterator:
                for group in _groups(request.batch.proposals):
                    await answers.begin()
                    self._start_proposals(group, answers, deadlines)

        try:
            async with contextlib.aclosing(answers.of(take())) as stream:
                async for answer in stream:
                    yield answer
        finally:
            deadlines.clear()

    def _start_proposals(
        self,
        proposals: list[consensus_pb2.Proposal],
        answers: Answers[consensus_pb2.ProposeResponse],
        deadlines: Deadlines[asyncio.Future[list[Outcome]]],
    ) -> None:
        """On the leader they need neither a task nor a timer of their own; elsewhere they are handed on."""
        first = proposals[0]
        timeout_s = first.timeout_ms / 1000 or HOLD_S
        try:
            decided = self._consensus.propose_here(
                [proposal.data for proposal in proposals],
                only_in_term=first.only_in_term,
                level=first.level or 1,
                forwarded=first.forwarded,
            )
        except RostraError as error:
            answers.end(_proposal_results(proposals, [error] * len(proposals)))
            return
        if decided is None:
            answers.start(self._hand_on(proposals, timeout_s))
            return

        def tell(decided: asyncio.Future[list[Outcome]]) -> None:
            deadlines.discard(decided)
            answers.end(_proposal_results(proposals, _outcomes(decided, len(proposals), timeout_s)))

        decided.add_done_callback(tell)
        deadlines.add(decided, asyncio.get_running_loop().time() + timeout_s)

    async def _hand_on(self, proposals: list[consensus_pb2.Proposal], timeout_s: float) -> consensus_pb2.ProposeResponse:
        first = proposals[0]
        try:
            outcomes: Sequence[Outcome] = await self._consensus.propose(
                [proposal.data for proposal in proposals],
                only_in_term=first.only_in_term,
                level=first.level or 1,
                forwarded=first.forwarded,
                timeout_s=timeout_s,
            )
        except RostraError as error:
            outcomes = [error] * len(proposals)
        return _proposal_results(proposals, outcomes)

    async def ReadIndex(self, request_iterator: Any, context: Any) -> AsyncIterator[consensus_pb2.ReadIndexResponse]:
        await self._welcome(request_iterator)
        yield consensus_pb2.ReadIndexResponse(hello=self._hello())
        answers = Answers[consensus_pb2.ReadIndexResponse](MAX_BATCHES)
        rounds = ReadRounds(self._consensus, answers)

        async def take() -> None:
            async for request in request_iterator:
                await answers.begin()
                rounds.start(request.round)

        try:
            async with contextlib.aclosing(answers.of(take())) as stream:
                async for answer in stream:
                    yield answer
        finally:
            rounds.close()

    async def GetReadIndex(self, request: consensus_pb2.GetReadIndexRequest, context: Any) -> consensus_pb2.GetReadIndexResponse:
        return consensus_pb2.GetReadIndexResponse(index=self._consensus.read_at_once(mode_of(request)))

    async def Attach(self, request_iterator: Any, context: Any) -> AsyncIterator[consensus_pb2.AttachResponse]:
        await self._welcome(request_iterator)
        if not self._cluster_id:
            raise NotReady("this server belongs to no cluster yet")
        request = await _next(request_iterator)
        if request.WhichOneof("content") != "open":
            raise BadRequest("the message after Hello says where the state machine stands", field="open")
        self._consensus.core.configuration.require_level(request.open.command_level or 1)
        attachment = self._consensus.attach(
            cluster_id=request.open.cluster_id,
            applied_index=request.open.applied_index,
            applied_term=request.open.applied_term,
            primary=request.open.primary,
            window_bytes=request.open.window_bytes or 4 * 1024 * 1024,
        )
        try:
            yield consensus_pb2.AttachResponse(hello=self._hello())
            async with Companions() as companions:
                companions.start(self._take_reports(attachment, request_iterator), "consensus: attachment reports")
                async for delivery in attachment:
                    match delivery:
                        case Entries():
                            entries = consensus_pb2.CommittedEntries(
                                entries=entries_to_proto(delivery.entries), commit_index=delivery.commit_index
                            )
                            yield consensus_pb2.AttachResponse(entries=entries)
                        case SnapshotWanted():
                            wanted = consensus_pb2.SnapshotWanted(minimum_index=delivery.minimum_index)
                            yield consensus_pb2.AttachResponse(snapshot_wanted=wanted)
                        case Restore():
                            async for part in self._restore(attachment, delivery):
                                yield consensus_pb2.AttachResponse(snapshot=part)
        finally:
            attachment.detach()

    async def _restore(self, attachment: Attachment, restore: Restore) -> AsyncIterator[consensus_pb2.SnapshotPart]:
        yield consensus_pb2.SnapshotPart(header=snapshot_header(restore.meta, self._cluster_id))
        offset = 0
        if restore.meta is not None:
            async for data in attachment.read_snapshot(restore.meta):
                chunk = raft_pb2.SnapshotChunk(offset=offset, data=data, crc32=zlib.crc32(data))
                offset += len(data)
                yield consensus_pb2.SnapshotPart(chunk=chunk)
        yield consensus_pb2.SnapshotPart(chunk=raft_pb2.SnapshotChunk(offset=offset, last=True))

    async def _take_reports(self, attachment: Attachment, requests: AsyncIterator[consensus_pb2.AttachRequest]) -> None:
        """Ends the attachment when the state machine goes."""
        try:
            async for request in requests:
                if request.WhichOneof("content") == "snapshot":
                    await attachment.offer_snapshot(request.snapshot.header.last_index, _chunks(requests, attachment))
                else:
                    attachment.applied(request.applied_index)
        finally:
            attachment.detach()

    async def WatchLeadership(
        self, request: consensus_pb2.WatchLeadershipRequest, context: Any
    ) -> AsyncIterator[consensus_pb2.WatchLeadershipResponse]:
        check_hello(request.hello, self._cluster_id)
        yield consensus_pb2.WatchLeadershipResponse(hello=self._hello())
        changes = aiter(self._consensus.watch_leadership())
        coming = asyncio.ensure_future(anext(changes))
        try:
            while True:
                # Between changes it repeats itself every second, so that a reader knows how old the last contact is.
                await asyncio.wait([coming], timeout=CONTACT_S)
                if coming.done():
                    coming.result()
                    coming = asyncio.ensure_future(anext(changes))
                yield consensus_pb2.WatchLeadershipResponse(leadership=self._leadership(self._consensus.leadership))
        finally:
            coming.cancel()

    async def GetStatus(
        self, request: consensus_pb2.ConsensusServiceGetStatusRequest, context: Any
    ) -> consensus_pb2.ConsensusServiceGetStatusResponse:
        core = self._consensus.core
        return consensus_pb2.ConsensusServiceGetStatusResponse(
            cluster_id=core.cluster_id,
            id=peer_to_proto(core.id),
            state=state_of(core),
            leadership=self._leadership(self._consensus.leadership),
            stats=self._consensus.stats(),
            command_level=core.options.command_level,
        )

    async def GetConfiguration(
        self, request: consensus_pb2.GetConfigurationRequest, context: Any
    ) -> consensus_pb2.GetConfigurationResponse:
        core = self._consensus.core
        if request.from_leader and core.leader is None:
            raise NoLeader()
        if request.from_leader and core.leader is not None and core.leader != core.id:
            return await self._peers.ask_for_configuration(core.leader)
        ages = self._consensus.contact_ages_s()
        progress = [
            consensus_pb2.MemberProgress(
                id=peer_to_proto(peer), match_index=each.match_index, last_contact_ms=round(ages.get(peer, 0.0) * 1000)
            )
            for peer, each in core.progress.items()
        ]
        return consensus_pb2.GetConfigurationResponse(
            index=core.history.latest_index,
            configuration=configuration_to_proto(core.configuration),
            leader=peer_to_proto(core.leader) if core.leader is not None else None,
            progress=progress,
        )

    async def ChangeMember(self, request: consensus_pb2.ChangeMemberRequest, context: Any) -> consensus_pb2.ChangeMemberResponse:
        action = _ACTIONS.get(request.action)
        if action is None:
            raise BadRequest("action is required: add learner, promote or remove", field="action")
        core = self._consensus.core
        if core.leader is not None and core.leader != core.id:
            return await self._peers.ask_to_change(core.leader, request)
        member = member_from_proto(request.member)
        if not member.id.store_id:
            store = await self._store_at(member) if action is ChangeAction.ADD_LEARNER else self._member_of(member.id.node_id).store_id
            member = msgspec.structs.replace(member, id=PeerId(member.id.node_id, store))
        index = await self._consensus.change_membership(action, member, only_at_index=request.only_at_index)
        return consensus_pb2.ChangeMemberResponse(index=index)

    async def _store_at(self, member: Member) -> str:
        """The store of a server that is to become a member, as it says itself."""
        status = await self._peers.ask_status(member.address)
        if status.id.node_id != member.id.node_id:
            raise Conflict(f"{member.address} is node {status.id.node_id}, not {member.id.node_id}")
        if status.cluster_id not in ("", self._cluster_id):
            raise Conflict(f"the server at {member.address} belongs to cluster {status.cluster_id}")
        level = self._consensus.core.configuration.level
        if (status.command_level or 1) < level:
            raise Conflict(
                f"the server at {member.address} understands commands up to level {status.command_level or 1}, the cluster uses {level}"
            )
        return str(status.id.store_id)

    async def TransferLeadership(
        self, request: consensus_pb2.TransferLeadershipRequest, context: Any
    ) -> consensus_pb2.TransferLeadershipResponse:
        core = self._consensus.core
        if core.leader is not None and core.leader != core.id:
            return await self._peers.ask_to_transfer(core.leader, request)
        leadership = await self._consensus.transfer_leadership(self._member_of(request.node_id) if request.node_id else None)
        return consensus_pb2.TransferLeadershipResponse(leader=leadership.leader_name)

    async def Bootstrap(self, request: consensus_pb2.BootstrapRequest, context: Any) -> consensus_pb2.BootstrapResponse:
        members = [member_from_proto(member) for member in request.members]
        return consensus_pb2.BootstrapResponse(cluster_id=self._consensus.bootstrap(members=members, node_name=self._identity.name))

    async def _welcome(self, requests: AsyncIterator[Any]) -> None:
        first = await _next(requests)
        if first.WhichOneof("content") != "hello":
            raise BadRequest("the first message of a stream is Hello", field="hello")
        check_hello(first.hello, self._cluster_id)

    def _leadership(self, leadership: Leadership) -> consensus_pb2.Leadership:
        return leadership_to_proto(
            leadership, last_contact_s=self._consensus.last_contact_s, commit_index=self._consensus.core.commit_index
        )

    def _member_of(self, node_id: str) -> PeerId:
        stores = [member.id for member in self._consensus.core.configuration.members if member.id.node_id == node_id]
        if not stores:
            raise NotFound(f"node {node_id} is not a member")
        if len(stores) > 1:
            raise BadRequest(
                f"node {node_id} has several stores ({', '.join(each.store_id for each in stores)}): name one", field="member.id"
            )
        return stores[0]


def _outcomes(decided: asyncio.Future[list[Outcome]], count: int, timeout_s: float) -> Sequence[Outcome]:
    if decided.cancelled():
        return [UnknownOutcome(f"not decided within {timeout_s:g} s")] * count
    error = decided.exception()
    if error is None:
        return decided.result()
    if not isinstance(error, RostraError):
        raise error
    return [error] * count


def _proposal_results(proposals: Sequence[consensus_pb2.Proposal], outcomes: Sequence[Outcome]) -> consensus_pb2.ProposeResponse:
    results = [
        consensus_pb2.ProposalResult(sequence=proposal.sequence, index=outcome.index, term=outcome.term)
        if isinstance(outcome, Committed)
        else consensus_pb2.ProposalResult(sequence=proposal.sequence, error=detail_from_error(outcome))
        for proposal, outcome in zip(proposals, outcomes, strict=True)
    ]
    return consensus_pb2.ProposeResponse(results=consensus_pb2.ProposalResults(results=results))


async def _next(requests: AsyncIterator[Any]) -> Any:
    try:
        return await anext(requests)
    except StopAsyncIteration:
        raise BadRequest("the stream ended before it began", field="hello") from None


def _groups(proposals: Any) -> list[list[consensus_pb2.Proposal]]:
    """Consecutive proposals that are alike but for their data go together, and are answered together."""
    groups: list[list[consensus_pb2.Proposal]] = []
    for proposal in proposals:
        last = groups[-1][-1] if groups and len(groups[-1]) < MAX_GROUP else None
        if last is not None and (last.only_in_term, last.level, last.forwarded, last.timeout_ms) == (
            proposal.only_in_term,
            proposal.level,
            proposal.forwarded,
            proposal.timeout_ms,
        ):
            groups[-1].append(proposal)
        else:
            groups.append([proposal])
    return groups


async def _chunks(requests: AsyncIterator[consensus_pb2.AttachRequest], attachment: Attachment) -> AsyncIterator[bytes]:
    """The pieces after a snapshot's header. Reports of progress stand between them, and make room for more entries. Only the last piece
    ends them: a stream that ends before it, or leaves one out, has brought no snapshot."""
    offset = 0
    async for request in requests:
        if request.WhichOneof("content") != "snapshot":
            attachment.applied(request.applied_index)
            continue
        chunk = request.snapshot.chunk
        if chunk.offset != offset or (chunk.data and zlib.crc32(chunk.data) != chunk.crc32):
            raise BadRequest(f"the snapshot's piece at {chunk.offset} is out of place or damaged", field="snapshot.chunk")
        offset += len(chunk.data)
        if chunk.data:
            yield chunk.data
        if chunk.last:
            return
    raise BadRequest(f"the snapshot ends at {offset}, without its last piece", field="snapshot.chunk")
