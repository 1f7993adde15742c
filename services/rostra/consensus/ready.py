"""What the core wants done, and the numbers that bound it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rostra.consensus.events import Event
from rostra.consensus.messages import Message
from rostra.consensus.model import PeerId, ReadResult, SnapshotMeta, Write
from rostra.version import COMMAND_LEVEL


@dataclass(frozen=True, slots=True)
class Ready:
    """What the driver must do, in field order.

    Nothing here waits for the disk: what may only be said once something is on disk is kept back by the core until
    ``Core.persisted`` has told it so, and comes with a later ``Ready``. Writes are performed in order of their number, and
    each is either on disk as a whole or not at all; a driver may perform several as one.
    """

    messages: Sequence[Message]  # 1. send
    write: Write | None  # 2. hand to the storage thread; when it is on disk: Core.persisted(write.number)
    snapshots: Sequence[tuple[PeerId, SnapshotMeta]]  # 3. start sending; a failure: Core.snapshot_failed(peer)
    restored: SnapshotMeta | None  # 4. the log now begins here: the state machine must load this snapshot
    deliverable_index: int  # 5. give committed entries up to here to the state machine
    reads: Sequence[ReadResult]  # 6. answer readers
    events: Sequence[Event]  # 7. log and count
    again: bool = False  # there may be more to do already; else not before the next input


@dataclass(frozen=True, slots=True)
class Options:
    """Bounds, each with what happens at it.

    ``max_append_*``: a larger append is split. ``max_inflight*``: a peer with that much unacknowledged gets no more.
    ``max_inflight_partial``: with so many unacknowledged it gets only appends that are as large as they may be, and what is less waits
    for an acknowledgement: so what comes one by one under load travels, and is synced, in batches.
    ``max_unstable_bytes``: with that much waiting for its disk a leader refuses proposals (``Busy``) and a follower drops
    appends, which the leader repeats. ``max_uncommitted_bytes``: a leader refuses proposals. ``trailing_logs``: entries kept
    behind a snapshot, for peers that lag a little. ``cached_bytes``: stable entries kept in memory; older ones are read.
    ``command_level``: the newest commands that this version understands; a newer cluster is refused.
    """

    max_append_bytes: int = 256 * 1024
    max_append_entries: int = 1024
    max_inflight: int = 64
    max_inflight_partial: int = 1
    max_inflight_bytes: int = 4 * 1024 * 1024
    max_unstable_bytes: int = 32 * 1024 * 1024
    max_uncommitted_bytes: int = 32 * 1024 * 1024
    trailing_logs: int = 10240
    cached_bytes: int = 16 * 1024 * 1024
    command_level: int = COMMAND_LEVEL
