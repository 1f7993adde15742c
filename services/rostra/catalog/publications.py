"""The publishers of the topics that somebody watches, and the reads that wait for a topic to change.

A publisher is made when its topic is first asked for, and kept a while after the last watcher went, so that one who
comes back finds its place in the ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from rostra.catalog.entries import normalized, topic_entries, topic_entry
from rostra.catalog.state import Applied, CatalogState
from rostra.model.proto import entry_to_proto
from rostra.model.topics import Entry, Topic
from rostra.v1 import catalog_stream_pb2
from rostra.views.publisher import Publisher

KEEP_S: Final = 60.0
"""How long a topic without watchers keeps its ring."""


def encode_entry(entry: Entry) -> bytes:
    """As a field of both ``TopicSnapshot`` and ``TopicDelta``, where ``entries`` has the same number: so the encodings of
    several entries are joined by writing one after the other, and either message merges them."""
    return catalog_stream_pb2.TopicDelta(entries=[entry_to_proto(entry)]).SerializeToString()


class Publications:
    """Follows one state; ``reload`` gives it another."""

    def __init__(self, state: CatalogState) -> None:
        self._state = state
        self._publishers: dict[Topic, Publisher] = {}
        self._idle_since: dict[Topic, float] = {}
        self._waiting: dict[Topic, set[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        return len(self._publishers)

    def open(self, topic: Topic) -> Publisher:
        """The publisher of that topic, made if there is none. It lives while it is listened to, and a while longer."""
        topic = normalized(topic)
        publisher = self._publishers.get(topic)
        if publisher is None:
            entries = topic_entries(self._state, topic)
            publisher = self._publishers[topic] = Publisher(topic, self._state.topics.of(topic), entries, encode_entry)
        return publisher

    def publish(self, index: int, applied: Applied) -> None:
        """Passes on what one log entry changed."""
        for topic, keys in applied.touched.items():
            publisher = self._publishers.get(topic)
            if publisher is not None:
                publisher.publish(index, [topic_entry(self._state.store, topic, key, index) for key in keys])
            self._wake(topic)

    def reload(self, state: CatalogState) -> None:
        """Another state takes the place of the one so far: everyone starts over."""
        self._state = state
        for topic, publisher in self._publishers.items():
            publisher.reset(state.topics.of(topic), topic_entries(state, topic))
        for topic in tuple(self._waiting):
            self._wake(topic)

    async def changed(self, topics: Sequence[Topic]) -> None:
        """Waits until one of the topics changes next. The caller has looked at them since its last await."""
        future = asyncio.get_running_loop().create_future()
        topics = [normalized(topic) for topic in topics]
        for topic in topics:
            self._waiting.setdefault(topic, set()).add(future)
        try:
            await future
        finally:
            for topic in topics:
                waiting = self._waiting.get(topic)
                if waiting is not None:
                    waiting.discard(future)
                    if not waiting:
                        del self._waiting[topic]

    def sweep(self, now: float) -> None:
        """Lets go of publishers that nobody has listened to for a while."""
        for topic, publisher in tuple(self._publishers.items()):
            if publisher.watched:
                self._idle_since.pop(topic, None)
            elif now - self._idle_since.setdefault(topic, now) >= KEEP_S:
                del self._publishers[topic], self._idle_since[topic]

    def _wake(self, topic: Topic) -> None:
        for future in self._waiting.pop(topic, ()):
            if not future.done():
                future.set_result(None)
