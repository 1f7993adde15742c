"""Raft in numbers, under Consul's names."""

from __future__ import annotations

from typing import Final

from rostra.consensus import events
from rostra.telemetry.consul_names import ConsulMetrics, Kind

RAFT: Final = ConsulMetrics(
    {
        "raft.apply": (Kind.COUNTER, "Commands put into the log by this server as leader"),
        "raft.applied_index": (Kind.GAUGE, "Last log entry handed to the state machine"),
        "raft.commitNumLogs": (Kind.GAUGE, "Entries that the last advance of the commit index took in"),
        "raft.commitTime": (Kind.SAMPLE, "Milliseconds from putting commands into the log to their commit, on the leader"),
        "raft.last_index": (Kind.GAUGE, "Last entry of the log"),
        "raft.leader.dispatchLog": (Kind.SAMPLE, "Milliseconds to write entries to the leader's disk"),
        "raft.leader.dispatchNumLogs": (Kind.GAUGE, "Commands that the last write of the leader put into the log"),
        "raft.leader.lastContact": (Kind.SAMPLE, "Milliseconds since a quorum answered the leader, looked at twice a second"),
        "raft.peers": (Kind.GAUGE, "Servers in the Raft configuration"),
        "raft.rpc.appendEntries.storeLogs": (Kind.SAMPLE, "Milliseconds to write entries to a follower's disk"),
        "raft.rpc.installSnapshot": (Kind.SAMPLE, "Milliseconds to receive a snapshot"),
        "raft.snapshot.persist": (Kind.SAMPLE, "Milliseconds to write a snapshot of the own state machine"),
        "raft.state.candidate": (Kind.COUNTER, "Times this server has stood for election"),
        "raft.state.follower": (Kind.COUNTER, "Times this server has become a follower"),
        "raft.state.leader": (Kind.COUNTER, "Times this server has become leader"),
        "raft.transition.heartbeat_timeout": (Kind.COUNTER, "Times no leader was heard for the heartbeat timeout"),
        "raft.transition.leader_lease_timeout": (Kind.COUNTER, "Times this server gave up leadership since no quorum answered"),
        "raft.verify_leader": (Kind.COUNTER, "Read rounds that a quorum had to confirm"),
        "server.isLeader": (Kind.GAUGE, "1 on the leader, 0 elsewhere"),
    }
)


def count_event(event: events.Event) -> None:
    """What the core says has happened."""
    match event:
        case events.BecameLeader():
            RAFT.count("raft.state.leader")
        case events.BecameCandidate(pre_vote=False):
            RAFT.count("raft.state.candidate")
        case events.BecameFollower():
            RAFT.count("raft.state.follower")
        case events.HeartbeatTimedOut():
            RAFT.count("raft.transition.heartbeat_timeout")
        case events.LeaderLost() if event.reason == events.CUT_OFF:
            RAFT.count("raft.transition.leader_lease_timeout")
        case _:
            pass
