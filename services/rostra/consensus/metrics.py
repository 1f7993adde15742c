"""Raft in numbers, under Consul's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import Histogram

from rostra.consensus import events
from rostra.consensus.messages import AppendRequest, Message, VoteRequest
from rostra.consensus.model import PeerId
from rostra.consensus.progress import Progress
from rostra.telemetry.consul_names import ConsulMetrics, Kind

RAFT: Final = ConsulMetrics(
    {
        "raft.apply": (Kind.COUNTER, "Commands put into the log by this server as leader"),
        "raft.applied_index": (Kind.GAUGE, "Last log entry handed to the state machine"),
        "raft.barrier": (Kind.COUNTER, "Times this server, new in office, had an entry of its own term committed and so knew all that was"),
        "raft.candidate.electSelf": (Kind.SAMPLE, "Milliseconds from standing for election to being elected"),
        "raft.commitNumLogs": (Kind.GAUGE, "Entries that the last advance of the commit index took in"),
        "raft.commitTime": (Kind.SAMPLE, "Milliseconds from putting commands into the log to their commit, on the leader"),
        "raft.fsm.enqueue": (Kind.SAMPLE, "Milliseconds to read committed entries for the state machine, a batch at a time"),
        "raft.last_index": (Kind.GAUGE, "Last entry of the log"),
        "raft.leader.dispatchLog": (Kind.SAMPLE, "Milliseconds to write entries to the leader's disk"),
        "raft.leader.dispatchNumLogs": (Kind.GAUGE, "Commands that the last write of the leader put into the log"),
        "raft.leader.lastContact": (Kind.SAMPLE, "Milliseconds since a quorum answered the leader, looked at twice a second"),
        "raft.leader.oldestLogAge": (
            Kind.GAUGE,
            "Milliseconds since the leader's oldest entry was written; 0 before the first snapshot",
        ),
        "raft.peers": (Kind.GAUGE, "Servers in the Raft configuration"),
        "raft.replication.appendEntries.logs": (Kind.COUNTER, "Entries that the leader has sent to the peer"),
        "raft.replication.appendEntries.rpc": (
            Kind.SAMPLE,
            "Milliseconds from sending entries until the peer had them on disk, looked at twice a second",
        ),
        "raft.replication.heartbeat": (
            Kind.SAMPLE,
            "Milliseconds until the peer answered a heartbeat, looked at twice a second",
        ),
        "raft.replication.installSnapshot": (Kind.SAMPLE, "Milliseconds to send the peer a snapshot"),
        "raft.rpc.appendEntries": (Kind.SAMPLE, "Milliseconds to take in what the leader sent, heartbeats as well"),
        "raft.rpc.appendEntries.processLogs": (Kind.SAMPLE, "Milliseconds to take in entries that the leader sent"),
        "raft.rpc.appendEntries.storeLogs": (Kind.SAMPLE, "Milliseconds to write entries to a follower's disk"),
        "raft.rpc.installSnapshot": (Kind.SAMPLE, "Milliseconds to receive a snapshot"),
        "raft.rpc.processHeartbeat": (Kind.SAMPLE, "Milliseconds to take in a heartbeat"),
        "raft.rpc.requestVote": (Kind.SAMPLE, "Milliseconds to decide about a vote"),
        "raft.snapshot.persist": (Kind.SAMPLE, "Milliseconds to write a snapshot of the own state machine"),
        "raft.snapshot.takeSnapshot": (Kind.SAMPLE, "Milliseconds from asking the state machine for a snapshot until it is kept"),
        "raft.state.candidate": (Kind.COUNTER, "Times this server has stood for election"),
        "raft.state.follower": (Kind.COUNTER, "Times this server has become a follower"),
        "raft.state.leader": (Kind.COUNTER, "Times this server has become leader"),
        "raft.transition.heartbeat_timeout": (Kind.COUNTER, "Times no leader was heard for the heartbeat timeout"),
        "raft.transition.leader_lease_timeout": (Kind.COUNTER, "Times this server gave up leadership since no quorum answered"),
        "raft.verify_leader": (Kind.COUNTER, "Read rounds that a quorum had to confirm"),
        "server.isLeader": (Kind.GAUGE, "1 on the leader, 0 elsewhere"),
    },
    by_peer=(
        "raft.replication.appendEntries.logs",
        "raft.replication.appendEntries.rpc",
        "raft.replication.heartbeat",
        "raft.replication.installSnapshot",
    ),
)

HEARTBEAT_DELAY: Final = Histogram(
    "rostra_consensus_heartbeat_delay_seconds",
    "How late the leader came to its heartbeats",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1),
)


def observe_step(message: Message, seconds: float) -> None:
    """How long the core took over a message of another server."""
    match message:
        case AppendRequest():
            RAFT.observe("raft.rpc.appendEntries", seconds)
            RAFT.observe("raft.rpc.appendEntries.processLogs" if message.entries else "raft.rpc.processHeartbeat", seconds)
        case VoteRequest():
            RAFT.observe("raft.rpc.requestVote", seconds)
        case _:
            pass


class Replication:
    """What a leader tells of its peers. ``look`` is called now and then."""

    def __init__(self) -> None:
        self._counted: dict[Progress, int] = {}

    def look(self, peers: Mapping[PeerId, Progress]) -> None:
        """As the leader has them now; empty elsewhere."""
        counted, self._counted = self._counted, {}
        for peer, progress in peers.items():
            peer_id = peer.node_id
            self._counted[progress] = progress.entries_sent
            RAFT.count("raft.replication.appendEntries.logs", progress.entries_sent - counted.get(progress, 0), peer_id=peer_id)
            if progress.append_took_s is not None:
                RAFT.observe("raft.replication.appendEntries.rpc", progress.append_took_s, peer_id=peer_id)
            if progress.heartbeat_took_s is not None:
                RAFT.observe("raft.replication.heartbeat", progress.heartbeat_took_s, peer_id=peer_id)
            progress.append_took_s = progress.heartbeat_took_s = None


class Elections:
    """How long this server's own take."""

    def __init__(self) -> None:
        self._stood_at: float | None = None

    def see(self, event: events.Event, now: float) -> None:
        """What the core says has happened at ``now``."""
        match event:
            case events.BecameCandidate(pre_vote=False):
                self._stood_at = now
            case events.ElectionWon() if self._stood_at is not None:
                RAFT.observe("raft.candidate.electSelf", now - self._stood_at)
            case events.BecameFollower() | events.BecameLeader():
                self._stood_at = None
            case _:
                pass


def count_event(event: events.Event) -> None:
    """What the core says has happened."""
    match event:
        case events.BecameLeader():
            RAFT.count("raft.state.leader")
        case events.BecameCandidate(pre_vote=False):
            RAFT.count("raft.state.candidate")
        case events.TermConfirmed():
            RAFT.count("raft.barrier")
        case events.BecameFollower():
            RAFT.count("raft.state.follower")
        case events.HeartbeatTimedOut():
            RAFT.count("raft.transition.heartbeat_timeout")
        case events.LeaderLost() if event.reason == events.CUT_OFF:
            RAFT.count("raft.transition.leader_lease_timeout")
        case _:
            pass
