"""The values that core, storage and driver hand to each other.

They are ``msgspec`` structs because most of them meet bytes, and because one is made for each entry of the log: a frozen
dataclass costs ten times as much to build.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, NewType

import msgspec

LogIndex = NewType("LogIndex", int)
"""Position in the log, from 1, without gaps. 0 stands before the first."""
Term = NewType("Term", int)
"""A leader's time in office, from 1. 0 stands before the first election."""


class PeerId(NamedTuple):
    """A Raft member is a store on a node: a wiped or cloned disk under an old node ID is somebody else."""

    node_id: str
    store_id: str


class Suffrage(enum.IntEnum):
    """What a member may do (thesis section 4.2.1)."""

    VOTER = 1
    LEARNER = 2


class Member(msgspec.Struct, frozen=True):
    """One member of a configuration. ``address`` is where it was last reached; gossip knows better."""

    id: PeerId
    suffrage: Suffrage
    node_name: str = ""
    address: str = ""


class EntryKind(enum.IntEnum):
    """Who an entry is for."""

    NO_OP = 1
    COMMAND = 2
    CONFIGURATION = 3


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One entry of the log. ``kind`` is an ``EntryKind``; a plain int here, since there are millions.

    ``time_ns`` is the leader's clock in Unix nanoseconds, never less than the entry's before: the state machine's only clock.
    """

    index: int
    term: int
    kind: int
    time_ns: int
    data: bytes


class HardState(msgspec.Struct, frozen=True):
    """What a server must find again after a crash (thesis figure 3.1), apart from its log.

    ``promise_s`` is the longest time for which this store may have promised a leader to grant no vote: after a restart
    it grants none for that long. ``commit_index`` is a hint that spares waiting for the leader's word; it may lag.
    """

    term: int = 0
    vote: PeerId | None = None
    commit_index: int = 0
    promise_s: float = 0.0
    cluster_id: str = ""


class SnapshotMeta(msgspec.Struct, frozen=True):
    """What a snapshot covers: everything up to and including ``index``."""

    snapshot_id: str
    cluster_id: str
    index: int
    term: int
    time_ns: int
    configuration: bytes
    configuration_index: int


class Recovered(msgspec.Struct, frozen=True):
    """What a store found at start. ``base_*`` describe the entry before the first one that is kept."""

    store_id: str
    hard_state: HardState
    base_index: int = 0
    base_term: int = 0
    base_time_ns: int = 0
    last_index: int = 0
    snapshot: SnapshotMeta | None = None
    configurations: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """One batch for the disk, applied whole or not at all; ``number`` counts from 1 without gaps.

    In order: the hard state; ``restore`` empties the log and lets it begin after the snapshot; ``entries`` replace
    everything from the first one's index on; ``snapshot`` becomes the latest one; entries up to ``compact_to`` may go.
    """

    number: int
    hard_state: HardState | None = None
    restore: bool = False
    entries: Sequence[Entry] = ()
    snapshot: SnapshotMeta | None = None
    compact_to: int = 0


class ChangeAction(enum.Enum):
    """The single-server changes of the membership (thesis section 4.1)."""

    ADD_LEARNER = "add learner"
    PROMOTE = "promote"
    REMOVE = "remove"


class ReadMode(enum.Enum):
    """How a leader makes sure that it still is one before it answers a read (thesis section 6.4)."""

    LEASE = "lease"
    QUORUM = "quorum"


class ReadResult(msgspec.Struct, frozen=True):
    """The answer to ``Core.read_index``: an index to wait for, or 0 when this server cannot say."""

    context: int
    index: int
