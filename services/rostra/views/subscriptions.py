"""The life of topics on a Watch stream: subscribed, live, resumed on the next stream, let go.

Pure: events of the stream come in by method, requests to send are taken out, and the views (``rostra.views.view``) change
in between. The lists of nodes and services are always there; other topics come on demand, under a cap (the least
recently used give way) and until nobody has asked for a while. A topic that is pinned stays.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator

from rostra.errors import Busy, Resync
from rostra.model.topics import NODES, SERVICES, Entry, Topic
from rostra.views.barriers import Barrier
from rostra.views.messages import Delta, Ended, Resumed, SnapshotPart, Subscribe, Unsubscribe
from rostra.views.view import View


class Subscription:
    """A topic that is wanted, whether or not there is a stream.

    ``number`` is its number on the stream (0: not on it), ``subscribed_at`` and ``live_at`` are positions; ``live_at`` is None
    while its snapshot is coming. ``parts`` are those that have come, ``resumes_to`` the index up to which deltas are due.
    """

    __slots__ = ("last_used", "live_at", "number", "offered", "parts", "pins", "resumes_to", "subscribed_at", "topic", "view")

    def __init__(self, topic: Topic, now: float) -> None:
        self.topic = topic
        self.view = View(topic)
        self.last_used = now
        self.pins = 0
        self.forget_stream()

    def forget_stream(self) -> None:
        """As on a stream that does not know it."""
        self.number = 0
        self.subscribed_at = 0
        self.live_at: int | None = None
        self.parts: list[Entry] | None = None
        self.offered = False
        self.resumes_to: int | None = None

    @property
    def loaded(self) -> bool:
        """Whether the view ever had a snapshot."""
        return self.view.cluster_id != ""


class Pins:
    """A context in which subscriptions are kept from being let go."""

    def __init__(self) -> None:
        self._held: dict[Subscription, None] = {}

    def __enter__(self) -> Pins:
        return self

    def __exit__(self, *_: object) -> None:
        for subscription in self._held:
            subscription.pins -= 1

    def add(self, subscription: Subscription) -> Subscription:
        """Pins it, once however often it is added."""
        if subscription not in self._held:
            self._held[subscription] = None
            subscription.pins += 1
        return subscription


class Subscriptions:
    """``positions`` is shared with the hub's barriers. Methods named after an event return the subscription that it brought
    to life, and raise ``Resync`` where the server broke the rules: the stream is of no more use then."""

    def __init__(self, positions: Iterator[int], *, max_topics: int, idle_s: float) -> None:
        self._positions = positions
        self._max_topics = max_topics
        self._idle_s = idle_s
        self._topics: dict[Topic, Subscription] = {}
        self._numbers: dict[int, Subscription] = {}
        self._last_number = 0
        self._outbox: deque[Subscribe | Unsubscribe] = deque()
        self._opened_at: int | None = None
        self.cluster_id = ""
        self.changes = 0
        """Grows with every change of a view, and with every view that comes or goes."""
        self.nodes = self._add(NODES, 0.0)
        self.services = self._add(SERVICES, 0.0)
        self.nodes.pins = self.services.pins = 1

    def __len__(self) -> int:
        return len(self._topics)

    def want(self, topic: Topic, now: float) -> Subscription:
        """The subscription of that topic, made if need be. Raises ``Busy`` when every place is taken and pinned."""
        found = self._topics.get(topic)
        if found is None:
            self._make_room()
            found = self._add(topic, now)
        found.last_used = now
        return found

    def covers(self, barrier: Barrier, subscription: Subscription) -> bool:
        """Whether the view is as fresh as the barrier says.

        It is when the topic was live before the barrier was sent: then its deltas came before the answer. It also is when
        it was subscribed after the answer: the server took the snapshot from a state that had reached the barrier. One
        whose snapshot was under way is not covered, wherever in the stream the answer came.
        """
        if self._opened_at is None or barrier.sent_at < self._opened_at or subscription.live_at is None:
            return False
        return subscription.live_at < barrier.sent_at or subscription.subscribed_at > barrier.reached_at

    @property
    def lists_live(self) -> bool:
        """Whether both lists are live on this stream."""
        return self.nodes.live_at is not None and self.services.live_at is not None

    @property
    def live_count(self) -> int:
        return sum(subscription.live_at is not None for subscription in self._topics.values())

    def open(self, cluster_id: str) -> None:
        """There is a stream: every topic is subscribed on it, the lists first, resumed where the cluster is the same."""
        self._opened_at, self.cluster_id = next(self._positions), cluster_id
        for subscription in (self.nodes, self.services, *self._topics.values()):
            if subscription.number == 0:
                self._subscribe(subscription)

    def close(self) -> None:
        """The stream is gone; views stay as they are."""
        self._opened_at = None
        self._numbers.clear()
        self._outbox.clear()
        for subscription in self._topics.values():
            subscription.forget_stream()

    @property
    def has_requests(self) -> bool:
        """Whether ``take`` has something."""
        return bool(self._outbox)

    def take(self) -> Subscribe | Unsubscribe | None:
        """The next request to send."""
        return self._outbox.popleft() if self._outbox else None

    def snapshot(self, part: SnapshotPart) -> Subscription | None:
        """Also takes one that nobody asked for: a server may prefer it to deltas."""
        subscription = self._numbers.get(part.subscription)
        if subscription is None:
            return None
        if subscription.live_at is not None:
            self.changes += 1
        subscription.live_at = subscription.resumes_to = None
        parts = subscription.parts = subscription.parts or []
        parts.extend(part.entries)
        if part.more:
            return None
        subscription.parts = None
        subscription.view.load(self.cluster_id, part.index, parts)
        self.changes += 1
        return self._live(subscription)

    def delta(self, delta: Delta) -> Subscription | None:
        subscription = self._numbers.get(delta.subscription)
        if subscription is None:
            return None
        if subscription.parts is not None or (subscription.live_at is None and not subscription.offered):
            raise Resync(f"a delta of {subscription.topic} came before its snapshot was whole")
        subscription.view.apply(delta.index, delta.entries)
        self.changes += 1
        return self._caught_up(subscription)

    def resumed(self, resumed: Resumed) -> Subscription | None:
        subscription = self._numbers.get(resumed.subscription)
        if subscription is None:
            return None
        if not subscription.offered or subscription.parts is not None:
            raise Resync(f"{subscription.topic} was resumed where that was not asked")
        subscription.resumes_to = resumed.index
        return self._caught_up(subscription)

    def ended(self, ended: Ended) -> Subscription | None:
        """Returns the subscription that is no more. Raises what ended it when that is a list: nothing works without."""
        subscription = self._numbers.get(ended.subscription)
        if subscription is None:
            return None
        if subscription in (self.nodes, self.services):
            raise ended.error
        del self._numbers[subscription.number], self._topics[subscription.topic]
        self.changes += 1
        return subscription

    def sweep(self, now: float) -> None:
        """Lets go of what nobody asked for in a while."""
        idle = [one for one in self._topics.values() if not one.pins and now - one.last_used >= self._idle_s]
        for subscription in idle:
            self._let_go(subscription)

    def _add(self, topic: Topic, now: float) -> Subscription:
        subscription = self._topics[topic] = Subscription(topic, now)
        self.changes += 1
        if self._opened_at is not None:
            self._subscribe(subscription)
        return subscription

    def _subscribe(self, subscription: Subscription) -> None:
        self._last_number += 1
        subscription.number, subscription.subscribed_at = self._last_number, next(self._positions)
        self._numbers[self._last_number] = subscription
        view = subscription.view
        subscription.offered = subscription.loaded and view.cluster_id == self.cluster_id and view.index > 0
        index, cluster_id = (view.index, view.cluster_id) if subscription.offered else (0, "")
        self._outbox.append(Subscribe(subscription.number, subscription.topic, index, cluster_id))

    def _caught_up(self, subscription: Subscription) -> Subscription | None:
        """A resumed topic is live once the view has what the server had, whether that came before or after the word."""
        if subscription.resumes_to is None or subscription.view.index < subscription.resumes_to:
            return None
        subscription.resumes_to = None
        return self._live(subscription)

    def _live(self, subscription: Subscription) -> Subscription:
        subscription.live_at = next(self._positions)
        return subscription

    def _make_room(self) -> None:
        """Several at a time, so that looking for the least recently used costs little for each."""
        if len(self._topics) < self._max_topics:
            return
        free = [subscription for subscription in self._topics.values() if not subscription.pins]
        if not free:
            raise Busy(f"all {self._max_topics} topics of this process are in use")
        for subscription in heapq.nsmallest(max(1, self._max_topics // 32), free, key=lambda one: one.last_used):
            self._let_go(subscription)

    def _let_go(self, subscription: Subscription) -> None:
        del self._topics[subscription.topic]
        self.changes += 1
        if subscription.number:
            del self._numbers[subscription.number]
            self._outbox.append(Unsubscribe(subscription.number))
        subscription.forget_stream()
