"""What the core wants known: values for the driver to log and count. None of them asks for anything to be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rostra.consensus.configuration import Configuration
from rostra.consensus.model import PeerId

CUT_OFF: Final = "no quorum answered within the lease timeout"
"""Why a leader steps down that its followers no longer answer."""


@dataclass(frozen=True, slots=True)
class ConfigurationFound:
    """The membership that the store held at start."""

    index: int
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class BecameFollower:
    """Entered follower state. ``reason`` says what ended the state before."""

    term: int
    leader: PeerId | None
    reason: str


@dataclass(frozen=True, slots=True)
class HeartbeatTimedOut:
    """No leader was heard for a randomised heartbeat timeout: an election begins."""

    last_leader: PeerId | None
    term: int


@dataclass(frozen=True, slots=True)
class AskedToStand:
    """The leader hands over to this server: it stands for election at once."""

    leader: PeerId
    term: int


@dataclass(frozen=True, slots=True)
class BecameCandidate:
    """Entered candidate state; with ``pre_vote`` it only asks, and ``term`` is the one it would campaign in."""

    term: int
    pre_vote: bool


@dataclass(frozen=True, slots=True)
class VotesNeeded:
    """How many votes win this election."""

    term: int
    needed: int
    pre_vote: bool


@dataclass(frozen=True, slots=True)
class VoteTallied:
    """A vote came in, for or against."""

    voter: PeerId
    granted: bool
    term: int
    tally: int
    pre_vote: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ElectionWon:
    """A quorum voted for this server."""

    term: int
    tally: int


@dataclass(frozen=True, slots=True)
class BecameLeader:
    """Entered leader state; its no-op stands at ``no_op_index``."""

    term: int
    no_op_index: int


@dataclass(frozen=True, slots=True)
class TermConfirmed:
    """The leader's own no-op is committed: from now on it answers reads and changes the membership."""

    term: int
    index: int


@dataclass(frozen=True, slots=True)
class LeaderKnown:
    """A follower heard from the leader of its term for the first time."""

    term: int
    leader: PeerId


@dataclass(frozen=True, slots=True)
class LeaderLost:
    """This server was leader and is no more."""

    term: int
    reason: str


@dataclass(frozen=True, slots=True)
class VoteGiven:
    """This server voted."""

    term: int
    candidate: PeerId


@dataclass(frozen=True, slots=True)
class ConfigurationChanged:
    """A membership took effect, as it does as soon as it is in the log (thesis section 4.1)."""

    index: int
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class LogTruncated:
    """A leader of a newer term replaced uncommitted entries from here on."""

    from_index: int
    term: int


@dataclass(frozen=True, slots=True)
class SnapshotRestored:
    """The log now begins after a snapshot of the leader."""

    index: int
    term: int


@dataclass(frozen=True, slots=True)
class TransferStarted:
    """Leadership is being handed over."""

    target: PeerId
    term: int


@dataclass(frozen=True, slots=True)
class TransferEnded:
    """The hand-over was given up; this server is still leader."""

    target: PeerId
    term: int
    reason: str


@dataclass(frozen=True, slots=True)
class PeerStateChanged:
    """How a leader replicates to a peer has changed: probe, replicate or snapshot."""

    peer: PeerId
    state: str
    next_index: int


Event = (
    ConfigurationFound
    | BecameFollower
    | HeartbeatTimedOut
    | AskedToStand
    | BecameCandidate
    | VotesNeeded
    | VoteTallied
    | ElectionWon
    | BecameLeader
    | TermConfirmed
    | LeaderKnown
    | LeaderLost
    | VoteGiven
    | ConfigurationChanged
    | LogTruncated
    | SnapshotRestored
    | TransferStarted
    | TransferEnded
    | PeerStateChanged
)
