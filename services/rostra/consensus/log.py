"""The core's view of the log: the newest entries in memory, the older ones behind a reader, the oldest gone.

Four marks move through it::

    base_index   < first_index ... deliverable ... stable_index ... written_index ... last_index
    (compacted)                                    (on disk)        (handed off)      (in memory)

Durability is a promise about order: entries count as stable when the write that holds them has completed and nothing was
cut from the log after that write was made. So an entry that is cut and comes back is not taken for the one on disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from rostra.consensus.model import Entry, Recovered

ENTRY_OVERHEAD = 32
"""Bytes counted for an entry beside its data: what index, term, kind and time cost on the wire and on disk."""


class LogReader(Protocol):
    """Where stable entries are read from when they are no longer in memory."""

    def entries(self, low: int, high: int) -> list[Entry]:
        """The entries ``low <= index < high``, all of which are stable and not compacted."""
        ...

    def term(self, index: int) -> int:
        """The term of one such entry."""
        ...


class Log:
    """Consecutive entries. The caller (the core) decides what may be cut; this keeps the marks straight."""

    def __init__(self, reader: LogReader, recovered: Recovered, *, cached_bytes: int) -> None:
        self._reader = reader
        self._cached_bytes = cached_bytes
        self.base_index = recovered.base_index
        self.base_term = recovered.base_term
        self.base_time_ns = recovered.base_time_ns
        self.last_index = max(recovered.last_index, recovered.base_index)
        self._cache_start = self.last_index + 1
        self._cache: list[Entry] = []
        self._cache_size = 0
        self.last_term = recovered.base_term
        self.last_time_ns = recovered.base_time_ns
        if self.last_index > self.base_index:
            (last,) = reader.entries(self.last_index, self.last_index + 1)
            self.last_term, self.last_time_ns = last.term, last.time_ns
        self.stable_index = self.last_index
        self.unstable_bytes = 0
        self._written_index = self.last_index
        self._cuts = 0
        self._writes: deque[tuple[int, int, int, int]] = deque()

    @property
    def first_index(self) -> int:
        """The oldest entry that can still be read."""
        return self.base_index + 1

    def term(self, index: int) -> int | None:
        """The term at ``index``; None if that is compacted or beyond the end. The base counts as present."""
        if index >= self._cache_start:
            return self._cache[index - self._cache_start].term if index <= self.last_index else None
        if index == self.last_index:
            return self.last_term
        if index == self.base_index:
            return self.base_term
        return self._reader.term(index) if index > self.base_index else None

    def time_ns(self, index: int) -> int:
        """The timestamp of a present entry, or of the base."""
        if index == self.base_index:
            return self.base_time_ns
        return self.slice(index, index + 1)[0].time_ns

    def last_index_of_term_up_to(self, term: int, at_most: int) -> int:
        """The greatest index up to ``at_most`` whose term is ``term`` or older: terms never fall along the log."""
        low, high = self.base_index, min(at_most, self.last_index)
        while low < high:
            middle = (low + high + 1) // 2
            found = self.term(middle)
            assert found is not None
            if found <= term:
                low = middle
            else:
                high = middle - 1
        return low

    def first_index_of_term(self, index: int) -> int:
        """The first index that has the same term as ``index``, which is present."""
        term = self.term(index)
        assert term is not None
        return self.last_index_of_term_up_to(term - 1, index) + 1 if index > self.base_index else index

    def slice(self, low: int, high: int, *, max_bytes: int = 1 << 62, max_count: int = 1 << 30) -> list[Entry]:
        """Entries ``low <= index < high``, at least one, then as many as fit."""
        assert self.base_index < low < high <= self.last_index + 1, (self.base_index, low, high, self.last_index)
        high = min(high, low + max_count)
        if low >= self._cache_start:
            entries = self._cache[low - self._cache_start : high - self._cache_start]
        else:
            entries = self._reader.entries(low, min(high, self._cache_start))
        size = 0
        for count, entry in enumerate(entries):
            size += len(entry.data) + ENTRY_OVERHEAD
            if size > max_bytes and count:
                return entries[:count]
        return entries

    def append(self, entries: Sequence[Entry], size: int) -> None:
        """Adds entries after the last one; ``size`` is their ``size_of``."""
        assert entries[0].index == self.last_index + 1
        self._cache.extend(entries)
        last = entries[-1]
        self.last_index, self.last_term, self.last_time_ns = last.index, last.term, last.time_ns
        self._cache_size += size
        self.unstable_bytes += size

    def find_conflict(self, entries: Sequence[Entry]) -> int:
        """Index of the first of ``entries`` that is not in the log as it is there; one past the last if all are."""
        for entry in entries:
            if self.term(entry.index) != entry.term:
                return entry.index
        return entries[-1].index + 1 if entries else 0

    def cut(self, from_index: int) -> None:
        """Takes back the entries from ``from_index`` on; others must follow in their place at once."""
        assert self.base_index < from_index <= self.last_index
        term = self.term(from_index - 1)
        assert term is not None
        if from_index >= self._cache_start:
            dropped = self._cache[from_index - self._cache_start :]
            del self._cache[from_index - self._cache_start :]
            self._cache_size -= size_of(dropped)
        else:
            self._cache.clear()
            self._cache_start, self._cache_size = from_index, 0
        self.last_time_ns = self.time_ns(from_index - 1)
        self.last_index, self.last_term = from_index - 1, term
        self.stable_index = min(self.stable_index, self.last_index)
        # The next write replaces everything that is not known to be on disk, whatever the writes under way still do.
        self._written_index = self.stable_index
        self._cuts += 1
        start = max(self.stable_index + 1 - self._cache_start, 0)
        self.unstable_bytes = size_of(self._cache[start:])

    def take_unwritten(self, number: int) -> Sequence[Entry]:
        """The entries that no write holds yet, which write ``number`` will; the first says from where it replaces."""
        if self._written_index == self.last_index:
            return ()
        entries = self._cache[self._written_index + 1 - self._cache_start :]
        self._written_index = self.last_index
        self._writes.append((number, self._cuts, self.last_index, size_of(entries)))
        return entries

    def completed(self, number: int) -> bool:
        """Every write up to ``number`` is on disk. True if the stable index moved."""
        before = self.stable_index
        while self._writes and self._writes[0][0] <= number:
            _, cuts, last_index, size = self._writes.popleft()
            if cuts == self._cuts:
                self.stable_index = max(self.stable_index, last_index)
                self.unstable_bytes -= size
        self._trim()
        return self.stable_index > before

    def compact(self, to_index: int) -> None:
        """Entries up to ``to_index`` (stable, applied, in a snapshot) are never read again."""
        assert to_index <= self.stable_index
        if to_index <= self.base_index:
            return
        term, time_ns = self.term(to_index), self.time_ns(to_index)
        assert term is not None
        if to_index >= self._cache_start:
            self._drop_cached(to_index + 1 - self._cache_start)
        self.base_index, self.base_term, self.base_time_ns = to_index, term, time_ns

    def restore(self, index: int, term: int, time_ns: int) -> None:
        """A snapshot takes the place of the whole log."""
        self.base_index = self.last_index = self._written_index = index
        self.stable_index = index
        self.base_term = self.last_term = term
        self.base_time_ns = self.last_time_ns = time_ns
        self._cache.clear()
        self._cache_start, self._cache_size, self.unstable_bytes = index + 1, 0, 0
        self._cuts += 1

    def _trim(self) -> None:
        """Lets stable entries leave the memory, a quarter of it at a time so that each moves rarely."""
        if self._cache_size <= self._cached_bytes * 5 // 4:
            return
        count, size, goal = 0, 0, self._cache_size - self._cached_bytes
        stable = self.stable_index + 1 - self._cache_start
        while size < goal and count < stable:
            size += len(self._cache[count].data) + ENTRY_OVERHEAD
            count += 1
        self._drop_cached(count)

    def _drop_cached(self, count: int) -> None:
        self._cache_size -= size_of(self._cache[:count])
        del self._cache[:count]
        self._cache_start += count


def size_of(entries: Sequence[Entry]) -> int:
    """Bytes that entries count for, against windows and caches."""
    return sum([len(entry.data) for entry in entries]) + ENTRY_OVERHEAD * len(entries)
