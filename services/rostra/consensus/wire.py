"""Raft messages to the contract's and back (proto/rostra/v1/raft.proto)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, assert_never

from rostra.consensus import messages
from rostra.consensus.convert import peer_from_proto, peer_to_proto
from rostra.consensus.messages import Message
from rostra.consensus.model import Entry, EntryKind, PeerId
from rostra.errors import BadRequest
from rostra.v1 import raft_pb2

MAX_BATCH_BYTES: Final = 768 * 1024
"""Of entries in one message of a stream; a single append has at most 256 KiB, so it stays below the message limit of 1 MiB."""


def message_to_proto(message: Message) -> raft_pb2.RaftMessage:
    """``SnapshotInstalled`` never leaves its server."""
    to = raft_pb2.RaftMessage(
        cluster_id=message.cluster_id, sender=peer_to_proto(message.sender), receiver=peer_to_proto(message.to), term=message.term
    )
    match message:
        case messages.AppendRequest():
            body = to.append_request
            body.round, body.previous_log_index, body.previous_log_term = message.round, message.previous_index, message.previous_term
            body.commit_index = message.commit_index
            if message.entries:
                body.entries.extend(_entries_to_proto(message.entries))
        case messages.AppendResponse():
            to.append_response.CopyFrom(
                raft_pb2.AppendResponse(
                    success=message.success,
                    match_index=message.match_index,
                    conflict_term=message.conflict_term,
                    round=message.round,
                    vote_promise_ms=int(message.promise_s * 1000),
                    command_level=message.command_level,
                )
            )
        case messages.VoteRequest():
            to.vote_request.CopyFrom(
                raft_pb2.VoteRequest(
                    last_log_index=message.last_index,
                    last_log_term=message.last_term,
                    pre_vote=message.pre_vote,
                    leadership_transfer=message.leadership_transfer,
                )
            )
        case messages.VoteResponse():
            to.vote_response.CopyFrom(raft_pb2.VoteResponse(granted=message.granted, pre_vote=message.pre_vote, reason=message.reason))
        case messages.TimeoutNow():
            to.timeout_now.SetInParent()
        case messages.ReadIndexQuery():
            to.read_index_query.CopyFrom(raft_pb2.ReadIndexQuery(round=message.context, quorum=message.quorum))
        case messages.ReadIndexReply():
            to.read_index_reply.CopyFrom(raft_pb2.ReadIndexReply(round=message.context, index=message.index, refused=not message.index))
        case messages.SnapshotInstalled():
            raise AssertionError("a finished snapshot is reported within its server only")
        case _:
            assert_never(message)
    return to


_last_made: tuple[Sequence[Entry], Sequence[raft_pb2.LogEntry]] = ((), ())


def _entries_to_proto(entries: Sequence[Entry]) -> Sequence[raft_pb2.LogEntry]:
    """The same entries go to every peer, one after the other: made once."""
    global _last_made
    if entries is not _last_made[0]:
        make = raft_pb2.LogEntry
        made = [make(index=e.index, term=e.term, kind=_KIND[e.kind], time_ns=e.time_ns, data=e.data) for e in entries]
        _last_made = (entries, made)
    return _last_made[1]


def message_from_proto(message: raft_pb2.RaftMessage) -> Message:
    """Raises ``BadRequest`` for a kind that this version does not know."""
    head = (message.cluster_id, peer_from_proto(message.sender), peer_from_proto(message.receiver), message.term)
    make = _FROM_PROTO.get(message.WhichOneof("body") or "")
    if make is None:
        raise BadRequest("a Raft message of a kind that this version does not know", field="body")
    return make(head, message)


def size_of(message: Message) -> int:
    """Bytes of its entries: what bounds a batch."""
    return sum(len(each.data) + 32 for each in message.entries) if isinstance(message, messages.AppendRequest) else 64


# The numbers of the contract and of the store are the same: no-op 1, command 2, configuration 3.
_KIND: Final = {int(kind): raft_pb2.EntryKind.ValueType(kind) for kind in EntryKind}

Head: TypeAlias = tuple[str, PeerId, PeerId, int]


def _append_request(head: Head, message: raft_pb2.RaftMessage) -> Message:
    body = message.append_request
    entries = [Entry(each.index, each.term, int(each.kind), each.time_ns, each.data) for each in body.entries]
    return messages.AppendRequest(
        *head,
        round=body.round,
        previous_index=body.previous_log_index,
        previous_term=body.previous_log_term,
        commit_index=body.commit_index,
        entries=entries,
    )


def _append_response(head: Head, message: raft_pb2.RaftMessage) -> Message:
    body = message.append_response
    return messages.AppendResponse(
        *head,
        round=body.round,
        success=body.success,
        match_index=body.match_index,
        conflict_term=body.conflict_term,
        promise_s=body.vote_promise_ms / 1000,
        command_level=body.command_level or 1,
    )


def _vote_request(head: Head, message: raft_pb2.RaftMessage) -> Message:
    body = message.vote_request
    return messages.VoteRequest(
        *head,
        last_index=body.last_log_index,
        last_term=body.last_log_term,
        pre_vote=body.pre_vote,
        leadership_transfer=body.leadership_transfer,
    )


def _vote_response(head: Head, message: raft_pb2.RaftMessage) -> Message:
    body = message.vote_response
    return messages.VoteResponse(*head, granted=body.granted, pre_vote=body.pre_vote, reason=body.reason)


_FROM_PROTO: Final[dict[str, Callable[[Head, raft_pb2.RaftMessage], Message]]] = {
    "append_request": _append_request,
    "append_response": _append_response,
    "vote_request": _vote_request,
    "vote_response": _vote_response,
    "timeout_now": lambda head, _: messages.TimeoutNow(*head),
    "read_index_query": lambda head, message: messages.ReadIndexQuery(
        *head, context=message.read_index_query.round, quorum=message.read_index_query.quorum
    ),
    "read_index_reply": lambda head, message: messages.ReadIndexReply(
        *head, context=message.read_index_reply.round, index=message.read_index_reply.index
    ),
}
