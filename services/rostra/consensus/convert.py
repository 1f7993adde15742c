"""Consensus values to their messages and back; used by the servicers and the peer transport only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rostra.consensus.configuration import Configuration, decode_configuration
from rostra.consensus.driver import Leadership
from rostra.consensus.model import Entry, EntryKind, Member, PeerId, SnapshotMeta, Suffrage
from rostra.v1 import consensus_pb2, raft_pb2

SNAPSHOT_FORMAT = 1


def peer_to_proto(peer: PeerId) -> raft_pb2.PeerId:
    return raft_pb2.PeerId(node_id=peer.node_id, store_id=peer.store_id)


def peer_from_proto(message: raft_pb2.PeerId) -> PeerId:
    return PeerId(message.node_id, message.store_id)


def member_to_proto(member: Member) -> raft_pb2.RaftMember:
    suffrage = raft_pb2.SUFFRAGE_VOTER if member.suffrage is Suffrage.VOTER else raft_pb2.SUFFRAGE_LEARNER
    return raft_pb2.RaftMember(id=peer_to_proto(member.id), node_name=member.node_name, address=member.address, suffrage=suffrage)


def member_from_proto(message: raft_pb2.RaftMember) -> Member:
    suffrage = Suffrage.VOTER if message.suffrage == raft_pb2.SUFFRAGE_VOTER else Suffrage.LEARNER
    return Member(peer_from_proto(message.id), suffrage, message.node_name, message.address)


def configuration_to_proto(configuration: Configuration) -> raft_pb2.Configuration:
    return raft_pb2.Configuration(
        cluster_id=configuration.cluster_id,
        members=[member_to_proto(member) for member in configuration.members],
        level=configuration.level,
    )


def entries_to_proto(entries: Iterable[Entry]) -> list[raft_pb2.LogEntry]:
    """For state machines: only commands carry data, since nothing else concerns them."""
    return [
        raft_pb2.LogEntry(
            index=entry.index,
            term=entry.term,
            kind=_KINDS[entry.kind],
            time_ns=entry.time_ns,
            data=entry.data if entry.kind == EntryKind.COMMAND else b"",
        )
        for entry in entries
    ]


_KINDS: Mapping[int, raft_pb2.EntryKind.ValueType] = {
    EntryKind.NO_OP: raft_pb2.ENTRY_KIND_NO_OP,
    EntryKind.COMMAND: raft_pb2.ENTRY_KIND_COMMAND,
    EntryKind.CONFIGURATION: raft_pb2.ENTRY_KIND_CONFIGURATION,
}


def snapshot_header(meta: SnapshotMeta | None, cluster_id: str) -> raft_pb2.SnapshotHeader:
    """No snapshot is one that covers nothing: the state machine begins empty."""
    if meta is None:
        return raft_pb2.SnapshotHeader(format_version=SNAPSHOT_FORMAT, cluster_id=cluster_id)
    return raft_pb2.SnapshotHeader(
        format_version=SNAPSHOT_FORMAT,
        cluster_id=meta.cluster_id,
        last_index=meta.index,
        last_term=meta.term,
        configuration=configuration_to_proto(decode_configuration(meta.configuration)),
        configuration_index=meta.configuration_index,
        time_ns=meta.time_ns,
        snapshot_id=meta.snapshot_id,
    )


def leadership_to_proto(leadership: Leadership, *, last_contact_s: float, commit_index: int) -> consensus_pb2.Leadership:
    return consensus_pb2.Leadership(
        term=leadership.term,
        leader=leadership.leader_name,
        leader_address=leadership.leader_address,
        is_leader=leadership.is_leader,
        last_contact_ms=min(round(last_contact_s * 1000), 2**63) if last_contact_s != float("inf") else 2**63,
        commit_index=commit_index,
    )


def configuration_from_proto(message: raft_pb2.Configuration) -> Configuration:
    members = sorted((member_from_proto(member) for member in message.members), key=lambda member: member.id)
    return Configuration(message.cluster_id, tuple(members), message.level or 1)


def snapshot_meta_from_proto(header: raft_pb2.SnapshotHeader) -> SnapshotMeta:
    return SnapshotMeta(
        snapshot_id=header.snapshot_id,
        cluster_id=header.cluster_id,
        index=header.last_index,
        term=header.last_term,
        time_ns=header.time_ns,
        configuration=configuration_from_proto(header.configuration).encode(),
        configuration_index=header.configuration_index,
    )
