"""A state machine at the log: it is handed a snapshot if it must have one, then every committed entry, in order.

Nothing is queued for it. An attachment is a place in the log; when its state machine asks for more, the entries after that
place are read, as many as fit into what it may have beyond its last ``applied``. So a slow state machine costs no memory,
and a fast one reads large slices.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rostra.consensus.core import Core
from rostra.consensus.log import size_of
from rostra.consensus.metrics import RAFT
from rostra.consensus.model import Entry, SnapshotMeta
from rostra.errors import BadRequest, NotReady

SLICE_BYTES = 256 * 1024
"""The most that one delivery holds, unless a single entry is larger: it becomes one message on a stream."""
SLICE_ENTRIES = 1024
DEFAULT_WINDOW_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Restore:
    """Load this snapshot, or begin empty if there is none, whatever was applied before."""

    meta: SnapshotMeta | None


@dataclass(frozen=True, slots=True)
class Entries:
    """Committed entries of every kind, in order, without gaps after the ones before."""

    entries: Sequence[Entry]
    commit_index: int


@dataclass(frozen=True, slots=True)
class SnapshotWanted:
    """Hand over a snapshot of a state not older than ``minimum_index``; only a primary is asked."""

    minimum_index: int


Delivery = Restore | Entries | SnapshotWanted


class Host(Protocol):
    """What an attachment needs of the driver."""

    core: Core

    def read_snapshot(self, meta: SnapshotMeta) -> AsyncIterator[bytes]:
        """The data of a snapshot, in chunks."""
        ...

    async def save_snapshot(self, index: int, chunks: AsyncIterator[bytes]) -> SnapshotMeta:
        """Keeps a snapshot of the state after ``index``."""
        ...

    def detached(self, attachment: Attachment) -> None:
        """An attachment has ended."""
        ...


class Attachment:
    """One state machine. Only ``Consensus.attach`` makes one; whoever got it must ``detach`` it."""

    def __init__(self, host: Host, *, applied_index: int, restore: bool, primary: bool, window_bytes: int) -> None:
        self._host = host
        self.primary = primary
        self.applied_index = 0 if restore else applied_index
        self._sent_index = self.applied_index
        self._restore_due = restore
        self._snapshot_wanted = 0
        self._window_bytes = window_bytes
        self._unapplied: deque[tuple[int, int]] = deque()
        self._unapplied_bytes = 0
        self._changed = asyncio.Event()
        self._detached = False

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        """The next delivery; waits while there is none, or while too much of what was sent is not applied."""
        while True:
            if self._detached:
                raise StopAsyncIteration
            delivery = self._take()
            if delivery is not None:
                return delivery
            self._changed.clear()
            await self._changed.wait()

    def _take(self) -> Delivery | None:
        log = self._host.core.log
        if self._restore_due or self._sent_index < log.base_index:
            return self._take_restore()
        if self._snapshot_wanted:
            wanted, self._snapshot_wanted = self._snapshot_wanted, 0
            return SnapshotWanted(wanted)
        high = self._host.core.deliverable_index
        room = self._window_bytes - self._unapplied_bytes
        if self._sent_index >= high or room <= 0:
            return None
        began = time.perf_counter()
        entries = log.slice(self._sent_index + 1, high + 1, max_bytes=min(room, SLICE_BYTES), max_count=SLICE_ENTRIES)
        RAFT.observe("raft.fsm.enqueue", time.perf_counter() - began)
        size = size_of(entries)
        self._sent_index = entries[-1].index
        self._unapplied.append((self._sent_index, size))
        self._unapplied_bytes += size
        return Entries(entries, self._host.core.commit_index)

    def _take_restore(self) -> Restore:
        meta = self._host.core.snapshot
        self._restore_due = False
        self._sent_index = self.applied_index = 0 if meta is None else meta.index
        self._unapplied.clear()
        self._unapplied_bytes = 0
        return Restore(meta)

    def applied(self, index: int) -> None:
        """Everything up to ``index`` is applied, which makes room for more."""
        if index > self._sent_index or index < self.applied_index:
            return  # said before a restore was taken up: it is not about what was sent since
        self.applied_index = index
        had_room = self._unapplied_bytes < self._window_bytes
        while self._unapplied and self._unapplied[0][0] <= index:
            self._unapplied_bytes -= self._unapplied.popleft()[1]
        if not had_room:
            self._changed.set()

    def read_snapshot(self, meta: SnapshotMeta) -> AsyncIterator[bytes]:
        """The data of a snapshot that a ``Restore`` named, in chunks."""
        return self._host.read_snapshot(meta)

    async def offer_snapshot(self, index: int, chunks: AsyncIterator[bytes]) -> SnapshotMeta:
        """Hands over a snapshot of the state after ``index``. Conflict if there is a newer one already."""
        if self._detached:
            raise NotReady("this state machine is no longer attached")
        if index > self.applied_index:
            raise BadRequest(f"a snapshot of entry {index} from a state machine that has applied {self.applied_index}", field="last_index")
        return await self._host.save_snapshot(index, chunks)

    def want_snapshot(self, minimum_index: int) -> None:
        """Asks for one (called by the driver)."""
        self._snapshot_wanted = minimum_index
        self._changed.set()

    def wake(self) -> None:
        """There may be something to deliver (called by the driver)."""
        if self._host.core.deliverable_index != self._sent_index:
            self._changed.set()

    def detach(self) -> None:
        """Ends the iteration, at once; a primary makes room for the next."""
        if not self._detached:
            self._detached = True
            self._changed.set()
            self._host.detached(self)
