"""One topic as the catalog publishes it: shared by all who watch it, on whatever stream (docs/architecture.md, "A read").

A publisher keeps the topic's entries, and the last deltas in a ring. A watcher is a *cursor*: the index up to which it
has been sent the topic. It pulls what came after; whoever is too slow for the ring, or comes without a place in it,
pulls a snapshot. So the ring is the bounded queue of all watchers together, and a slow one costs nobody anything.

Entries are encoded once, whoever watches. How, is the caller's: ``encode`` makes bytes of an entry.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sortedcontainers import SortedDict

from rostra.model.topics import Entry, Topic

MAX_RING_DELTAS: Final = 2048
"""Deltas kept for watchers that come back; a dropped one costs them a snapshot."""
MAX_RING_BYTES: Final = 2 * 1024 * 1024
MAX_DELTA_BYTES: Final = 512 * 1024
"""A delta is one message, because its index is the place to resume at; a larger one is sent as a snapshot, in parts."""
MAX_PART_BYTES: Final = 256 * 1024
"""A snapshot's part is within a message's limit with much to spare, unless it is a single entry that is larger."""
MAX_PART_ENTRIES: Final = 128
"""Entries encoded in one go: about a millisecond's work."""

Encode = Callable[[Entry], bytes]


@dataclass(frozen=True, slots=True)
class Delta:
    """What one log entry changed in the topic."""

    index: int
    entries: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a snapshot; ``index`` is of the topic's last change when the snapshot was begun."""

    index: int
    entries: bytes
    more: bool


class Publisher:
    """``index`` is the log index of the topic's last change, deletions included, that has been published."""

    def __init__(
        self,
        topic: Topic,
        index: int,
        entries: Iterable[Entry],
        encode: Encode,
        *,
        ring_deltas: int = MAX_RING_DELTAS,
        ring_bytes: int = MAX_RING_BYTES,
    ) -> None:
        self.topic = topic
        self._encode = encode
        self._ring_deltas = ring_deltas
        self._ring_bytes = ring_bytes
        self._listeners: set[Callable[[], None]] = set()
        self.index = 0
        self._ring: deque[Delta] = deque()
        self._ring_floor = 0
        self._ring_size = 0
        self._load(index, entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def watched(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def publish(self, index: int, entries: Iterable[Entry]) -> None:
        """Takes what changed at ``index``, which grows: upserts, and deletes of entries without value."""
        assert index > self.index, f"a change at {index} after {self.index}"
        encoded = []
        for entry in entries:
            data = self._encode(entry)
            encoded.append(data)
            if entry.value is None:
                self._entries.pop(entry.key, None)
                self._encoded.pop(entry.key, None)
            else:
                self._entries[entry.key] = entry
                self._encoded[entry.key] = data
        self.index = index
        delta = Delta(index, b"".join(encoded))
        self._ring.append(delta)
        self._ring_size += len(delta.entries)
        if len(delta.entries) > MAX_DELTA_BYTES:
            self._drop_ring()
        while len(self._ring) > self._ring_deltas or self._ring_size > self._ring_bytes:
            dropped = self._ring.popleft()
            self._ring_size -= len(dropped.entries)
            self._ring_floor = dropped.index
        self._tell()

    def reset(self, index: int, entries: Iterable[Entry]) -> None:
        """Starts over from what the topic now is: every watcher will pull a snapshot."""
        self._load(index, entries)
        self._tell()

    def after(self, index: int) -> Sequence[Delta] | None:
        """The deltas after ``index`` in order; None when the ring does not reach back that far."""
        if index < self._ring_floor:
            return None
        if index >= self.index:
            return ()
        count = 0
        for delta in reversed(self._ring):
            if delta.index <= index:
                break
            count += 1
        return [self._ring[place] for place in range(len(self._ring) - count, len(self._ring))]

    def snapshot(self) -> Snapshot:
        """The topic as it is now, to be taken in parts while it goes on."""
        return Snapshot(self, self.index, list(self._entries.values()))

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls ``listener`` when there is more to pull; returns what ends that. It must not pull within the call."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def encoded(self, entry: Entry) -> bytes:
        """The entry's bytes; made once for as long as it stays."""
        if self._entries.get(entry.key) is not entry:
            return self._encode(entry)
        data = self._encoded.get(entry.key)
        if data is None:
            data = self._encoded[entry.key] = self._encode(entry)
        return data

    def _load(self, index: int, entries: Iterable[Entry]) -> None:
        self.index = index
        self._entries: SortedDict[str, Entry] = SortedDict((entry.key, entry) for entry in entries)
        self._encoded: dict[str, bytes] = {}
        self._drop_ring()

    def _drop_ring(self) -> None:
        self._ring.clear()
        self._ring_floor = self.index
        self._ring_size = 0

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()


class Snapshot:
    """A topic at one index, in parts; holds its entries until it is done."""

    def __init__(self, publisher: Publisher, index: int, entries: Sequence[Entry]) -> None:
        self.index = index
        self._publisher = publisher
        self._entries = entries
        self._place = 0

    def next_part(self) -> Part:
        """The next part, in order of key; an empty topic has one empty part."""
        held: list[bytes] = []
        size, end = 0, min(self._place + MAX_PART_ENTRIES, len(self._entries))
        while self._place < end:
            data = self._publisher.encoded(self._entries[self._place])
            if held and size + len(data) > MAX_PART_BYTES:
                break
            held.append(data)
            size += len(data)
            self._place += 1
        return Part(self.index, b"".join(held), more=self._place < len(self._entries))
