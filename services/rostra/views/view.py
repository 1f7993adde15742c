"""A topic as this process has it: entries in order of key, and what was rendered from them, until they change.

A view never goes back: a snapshot or delta older than what it has is dropped, unless the cluster is another one.
Rendering costs what changed: ``fragments`` renders an entry once and keeps the result for as long as the entry stays.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from typing import Any, Final, TypeVar, cast

from sortedcontainers import SortedDict

from rostra.model.topics import Entry, Topic, Value

MAX_MEMOS: Final = 256
"""Finished answers kept for a view; when there are more, all are dropped."""

T = TypeVar("T")

_LOADS: Final = itertools.count(1)


class View:
    """One topic. ``index`` is the log index of its last change, deletions included. ``loads`` is another number after each whole
    snapshot that was taken, in this view or another of the process."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.index = 0
        self.cluster_id = ""
        self.loads = 0
        self._entries: SortedDict[str, Entry] = SortedDict()
        self._values: list[Value] | None = None
        self._memos: dict[Hashable, object] = {}
        self._fragments: dict[Callable[[Entry], object], dict[str, tuple[Entry, object]]] = {}
        self._listeners: set[Callable[[], None]] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> Entry | None:
        """The entry of that key, or None."""
        return cast("Entry | None", self._entries.get(key))

    def entries(self) -> Iterable[Entry]:
        """In order of key. Not to be kept across an await."""
        return cast("Iterable[Entry]", self._entries.values())

    def values(self) -> Sequence[Value]:
        """The things themselves in order of key; the same list until the view changes."""
        if self._values is None:
            self._values = [entry.value for entry in self.entries() if entry.value is not None]
        return self._values

    def frozen(self) -> FrozenView:
        """As it is now, to be read in slices while it goes on."""
        return FrozenView(self, self._entries)

    def rendered(self, render: Callable[[Entry], T]) -> Iterable[tuple[Entry, T]]:
        """Every entry with its fragment."""
        return zip(self.entries(), self.fragments(render), strict=True)

    def fragments(self, render: Callable[[Entry], T]) -> list[T]:
        """``render`` of every entry in order of key; called again only for entries that changed.

        ``render`` is the cache key: pass a function of module level, not one made for the call.
        """
        known = self._known_fragments(render)
        fragments: list[T] = []
        for entry in self.entries():
            held = known.get(entry.key)
            if held is None or held[0] is not entry:
                held = known[entry.key] = (entry, render(entry))
            fragments.append(cast("T", held[1]))
        return fragments

    def missing(self, render: Callable[[Entry], object]) -> int:
        """How many entries ``fragments`` would have to render."""
        return len(self) - len(self._known_fragments(render))

    def _known_fragments(self, render: Callable[[Entry], object]) -> dict[str, tuple[Entry, object]]:
        return self._fragments.setdefault(render, {})

    def memo(self, key: Hashable, make: Callable[[], T]) -> T:
        """The finished answer for ``key``, made at most once until the view changes."""
        found: Any = self._memos.get(key)
        if found is None:
            if len(self._memos) >= MAX_MEMOS:
                self._memos.clear()
            found = self._memos[key] = make()
        return cast("T", found)

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls ``listener`` after each change; returns what ends that. It must not block or change the view."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def load(self, cluster_id: str, index: int, entries: Iterable[Entry]) -> bool:
        """Takes a whole snapshot. False when it is older than what is here, and dropped."""
        if cluster_id == self.cluster_id and index < self.index:
            return False
        self.cluster_id, self.index, self.loads = cluster_id, index, next(_LOADS)
        self._entries = SortedDict((entry.key, entry) for entry in entries)
        for known in self._fragments.values():
            known.clear()
        self._changed()
        return True

    def apply(self, index: int, entries: Iterable[Entry]) -> bool:
        """Takes a delta: upserts, and deletes of entries without value. False when it is not newer, and dropped."""
        if index <= self.index:
            return False
        self.index = index
        for entry in entries:
            if entry.value is None:
                self._entries.pop(entry.key, None)
                for known in self._fragments.values():
                    known.pop(entry.key, None)
            else:
                self._entries[entry.key] = entry
        self._changed()
        return True

    def _changed(self) -> None:
        self._values = None
        self._memos.clear()
        for listener in tuple(self._listeners):
            listener()


class FrozenView(View):
    """A view as it once was. What is rendered of it is kept by the live one, for as long as the entry is there."""

    def __init__(self, live: View, entries: SortedDict[str, Entry]) -> None:
        super().__init__(live.topic)
        self.index, self.cluster_id, self.loads = live.index, live.cluster_id, live.loads
        self._live = live
        self._in_order: Sequence[Entry] = list(map(entries.__getitem__, entries))

    def __len__(self) -> int:
        return len(self._in_order)

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def get(self, key: str) -> Entry | None:
        return self._by_key.get(key)

    def entries(self) -> Iterable[Entry]:
        return self._in_order

    def fragments(self, render: Callable[[Entry], T]) -> list[T]:
        return [fragment for _, fragment in self.rendered(render)]

    def rendered(self, render: Callable[[Entry], T]) -> Iterable[tuple[Entry, T]]:
        """One at a time, as they are taken."""
        known = self._live._known_fragments(render)
        for entry in self._in_order:
            held = known.get(entry.key)
            if held is None or held[0] is not entry:
                held = (entry, render(entry))
                if self._live.get(entry.key) is entry:
                    known[entry.key] = held
            yield entry, cast("T", held[1])

    @cached_property
    def _by_key(self) -> dict[str, Entry]:
        return {entry.key: entry for entry in self._in_order}
