"""How the core's events read in a log, and its numbers in ``rostra info`` (under Consul's names)."""

from __future__ import annotations

import dataclasses
import logging
import math

from rostra.consensus import events
from rostra.consensus.configuration import Configuration
from rostra.consensus.core import Core, Role
from rostra.consensus.model import PeerId, Suffrage

_WORDS: dict[type[events.Event], tuple[int, str]] = {
    events.ConfigurationFound: (logging.INFO, "initial configuration"),
    events.BecameFollower: (logging.INFO, "entering follower state"),
    events.HeartbeatTimedOut: (logging.WARNING, "heartbeat timeout reached, starting election"),
    events.AskedToStand: (logging.INFO, "asked to take over leadership"),
    events.BecameCandidate: (logging.INFO, "entering candidate state"),
    events.VotesNeeded: (logging.DEBUG, "votes needed"),
    events.VoteTallied: (logging.DEBUG, "vote tallied"),
    events.ElectionWon: (logging.INFO, "election won"),
    events.BecameLeader: (logging.INFO, "entering leader state"),
    events.TermConfirmed: (logging.DEBUG, "first entry of the term committed"),
    events.LeaderKnown: (logging.INFO, "leader found"),
    events.LeaderLost: (logging.WARNING, "leadership lost"),
    events.VoteGiven: (logging.DEBUG, "vote given"),
    events.ConfigurationChanged: (logging.INFO, "configuration changed"),
    events.LogTruncated: (logging.WARNING, "uncommitted entries replaced"),
    events.SnapshotRestored: (logging.INFO, "log restored from snapshot"),
    events.TransferStarted: (logging.INFO, "handing over leadership"),
    events.TransferEnded: (logging.WARNING, "leadership transfer given up"),
    events.PeerStateChanged: (logging.DEBUG, "replication state changed"),
}


def log_event(log: logging.Logger, event: events.Event, configuration: Configuration) -> None:
    """Writes one line: a constant message, the event's own fields beside it."""
    level, message = _WORDS[type(event)]
    if not log.isEnabledFor(level):
        return
    if isinstance(event, events.BecameCandidate | events.VotesNeeded | events.VoteTallied) and event.pre_vote:
        message += " (pre-vote)"
    fields = {field.name: _plain(getattr(event, field.name), configuration) for field in dataclasses.fields(event)}
    fields.pop("pre_vote", None)
    log.log(level, message, extra=fields)


def _plain(value: object, configuration: Configuration) -> object:
    if isinstance(value, PeerId):
        return name_of(value, configuration)
    if isinstance(value, Configuration):
        return describe_configuration(value)
    return value


def name_of(peer: PeerId | None, configuration: Configuration) -> str:
    """The name of a member's node, or its ID if the configuration does not know it; empty for nobody."""
    if peer is None:
        return ""
    member = configuration.by_id.get(peer)
    return member.node_name if member is not None and member.node_name else peer.node_id


def describe_configuration(configuration: Configuration) -> str:
    """Consul's way to print a configuration on one line."""
    members = (
        f"{{Suffrage:{'Voter' if m.suffrage is Suffrage.VOTER else 'Nonvoter'} ID:{m.id.node_id} Address:{m.address}}}"
        for m in configuration.members
    )
    return f"[{' '.join(members)}]"


def state_of(core: Core) -> str:
    """One word: leader, follower, candidate, learner or unconfigured."""
    if core.id not in core.configuration.by_id:
        return "unconfigured"
    if core.id not in core.configuration.voters:
        return "learner"
    return "candidate" if core.role is Role.PRE_CANDIDATE else core.role.value


def stats_of(core: Core, applied_index: int, now: float) -> dict[str, str]:
    """The ``raft`` block of ``rostra info``."""
    snapshot, voters = core.snapshot, core.configuration.voters
    return {
        "applied_index": str(applied_index),
        "commit_index": str(core.commit_index),
        "fsm_pending": str(max(0, core.deliverable_index - applied_index)),
        "last_contact": _last_contact(core, now),
        "last_log_index": str(core.log.last_index),
        "last_log_term": str(core.log.last_term),
        "last_snapshot_index": str(snapshot.index if snapshot is not None else 0),
        "last_snapshot_term": str(snapshot.term if snapshot is not None else 0),
        "latest_configuration": describe_configuration(core.configuration),
        "latest_configuration_index": str(core.history.latest_index),
        "num_peers": str(len(voters - {core.id})),
        "state": state_of(core).capitalize(),
        "term": str(core.term),
    }


def _last_contact(core: Core, now: float) -> str:
    if core.role is Role.LEADER:
        return "0"
    return "never" if core.leader_contact_at == -math.inf else f"{(now - core.leader_contact_at) * 1000:.3f}ms"
