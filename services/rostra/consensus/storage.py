"""What a server keeps (thesis figure 3.1): log, term, vote, configurations; and the store of ``-dev``, which keeps nothing.

A store performs the core's ``Write`` values. ``perform`` returns when they are on disk and not before; it is called from
one thread, with everything that is waiting, so that one fsync serves them all. Reads come from another thread and only
ask for entries whose writes have completed. ``LmdbStore`` is the one that keeps; the same tests run over both.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Protocol

from rostra.consensus.model import Entry, EntryKind, HardState, Recovered, SnapshotMeta, Write
from rostra.errors import RostraError


class StorageFull(RostraError):
    """There is no room. Nothing was written and nothing is lost; the same writes may be tried again."""


class StorageFailed(RostraError):
    """The disk failed a write or an fsync. What is on it is unknown, so the process must end: never tried again."""


class StorageDamaged(RostraError):
    """What is on disk is not what was written. Says where, and is never repaired by guessing."""


class Store(Protocol):
    """Where a ``Core`` is kept. Also its ``LogReader``."""

    blocks: bool
    """Whether ``perform`` waits for a disk, and so belongs in a thread."""

    def recover(self) -> Recovered:
        """What was there at start; called once, before anything else."""
        ...

    def perform(self, writes: Sequence[Write]) -> None:
        """Puts the writes on disk, in order, as a whole: StorageFull or StorageFailed if it cannot."""
        ...

    def entries(self, low: int, high: int) -> list[Entry]:
        """The entries ``low <= index < high``."""
        ...

    def term(self, index: int) -> int:
        """The term of one entry."""
        ...

    def close(self) -> None:
        """Lets go of files."""
        ...


class MemoryStore:
    """Keeps everything in memory, for ``-dev`` and for tests. A test may restart a server on the same object."""

    blocks = False

    def __init__(self, store_id: str = "") -> None:
        self._store_id = store_id or str(uuid.uuid4())
        self._hard_state = HardState()
        self._base = (0, 0, 0)
        self._entries: list[Entry] = []
        self._snapshot: SnapshotMeta | None = None

    def recover(self) -> Recovered:
        index, term, time_ns = self._base
        return Recovered(
            store_id=self._store_id,
            hard_state=self._hard_state,
            base_index=index,
            base_term=term,
            base_time_ns=time_ns,
            last_index=index + len(self._entries),
            snapshot=self._snapshot,
            configurations=tuple((e.index, e.data) for e in self._entries if e.kind == EntryKind.CONFIGURATION),
        )

    def perform(self, writes: Sequence[Write]) -> None:
        for write in writes:
            self._perform(write)

    def _perform(self, write: Write) -> None:
        if write.hard_state is not None:
            self._hard_state = write.hard_state
        if write.restore:
            assert write.snapshot is not None
            self._base = (write.snapshot.index, write.snapshot.term, write.snapshot.time_ns)
            self._entries = []
        if write.entries:
            del self._entries[write.entries[0].index - self._base[0] - 1 :]
            assert self._base[0] + len(self._entries) + 1 == write.entries[0].index
            self._entries.extend(write.entries)
        if write.snapshot is not None:
            self._snapshot = write.snapshot
        if write.compact_to > self._base[0]:
            count = write.compact_to - self._base[0]
            last = self._entries[count - 1]
            del self._entries[:count]
            self._base = (last.index, last.term, last.time_ns)

    def entries(self, low: int, high: int) -> list[Entry]:
        start = self._base[0] + 1
        assert start <= low
        return self._entries[low - start : high - start]

    def term(self, index: int) -> int:
        return self.entries(index, index + 1)[0].term

    def close(self) -> None:
        pass
