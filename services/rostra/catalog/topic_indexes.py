"""When each topic last changed, deletions included, in bounded space (docs/architecture.md, "A blocking query").

A topic whose node or service is gone is remembered among the last few thousand such; older ones are forgotten, and the
*floor* says that whatever is forgotten changed at that index at the latest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from rostra.model.topics import Topic, TopicKind

MAX_FORGOTTEN: Final = 16_384
"""Topics of things that are gone, whose last change is still known exactly."""


def topic_order(topic: Topic) -> tuple[int, str]:
    """The fixed order of topics that changed at the same index."""
    return (topic.kind.value, topic.name)


class TopicIndexes:
    """Changes must come in order of index. ``lives`` says whether a topic's node or service exists; lists always do."""

    def __init__(self, lives: Callable[[Topic], bool], *, limit: int = MAX_FORGOTTEN) -> None:
        self.floor = 0
        self._lives = lives
        self._limit = limit
        self._live: dict[Topic, int] = {}
        self._gone: dict[Topic, int] = {}

    def __len__(self) -> int:
        return len(self._live) + len(self._gone)

    def of(self, topic: Topic) -> int:
        """The index of its last change; for one that is not known, the latest that it can be."""
        index = self._live.get(topic)
        return self._gone.get(topic, self.floor) if index is None else index

    def changed(self, index: int, topics: Iterable[Topic]) -> None:
        """Notes that these topics changed at ``index``. The same changes leave the same notes on every catalog."""
        for topic in sorted(topics, key=topic_order):
            self._gone.pop(topic, None)
            if self._lives(topic):
                self._live[topic] = index
            else:
                self._live.pop(topic, None)
                self._gone[topic] = index
        while len(self._gone) > self._limit:
            oldest = next(iter(self._gone))
            self.floor = max(self.floor, self._gone.pop(oldest))

    def capture(self) -> tuple[dict[Topic, int], dict[Topic, int]]:
        """Notes of topics that live, and of those that are gone in the fixed order of ``load``, as they are now."""
        return self._live.copy(), self._gone.copy()

    def load(self, floor: int, notes: Iterable[tuple[Topic, int]]) -> None:
        """Takes notes from a snapshot, once the tables are loaded."""
        self.floor = floor
        for topic, index in sorted(notes, key=lambda note: (note[1], topic_order(note[0]))):
            (self._live if self._lives(topic) else self._gone)[topic] = index


def is_list(topic: Topic) -> bool:
    """Whether the topic exists whatever the catalog holds."""
    return topic.kind not in (TopicKind.NODE, TopicKind.SERVICE)
