"""What one Watch stream has yet to send, and in which order (docs/architecture.md, "A read").

The order is the promise: a barrier is answered after the deltas of every live topic up to its index, because each turn
first notes the barriers that are reached, then takes all deltas, then answers the barriers it noted. A topic whose first
snapshot is under way is not covered; one that was live and fell behind the ring is, and holds barriers back until it has
caught up. Snapshots go one part a turn, so that a large one holds up neither deltas nor barriers.

Pure: who sends pulls ``turn()`` until it is empty, and pulls again when ``wake`` was called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from rostra.errors import Busy, RostraError, Unsupported
from rostra.model.consistency import Contact
from rostra.views.publisher import Delta, Part, Publisher, Snapshot

UNASKED = 0
"""The number of a barrier that nobody sent: what is said of the watcher's own writes."""

MAX_SUBSCRIPTIONS = 16_384
"""Topics on one stream; a further one is refused as Busy."""
MAX_ENTRY_BYTES = 64 * 1024 * 1024
"""More than a message holds, which is why such an entry goes in fragments. It may grow beyond even that, write by write: then its topic
ends, and not the stream with all the others."""


@dataclass(frozen=True, slots=True)
class SendDelta:
    subscription: int
    delta: Delta


@dataclass(frozen=True, slots=True)
class SendPart:
    subscription: int
    part: Part


@dataclass(frozen=True, slots=True)
class SendResumed:
    subscription: int
    index: int


@dataclass(frozen=True, slots=True)
class SendEnded:
    subscription: int
    error: RostraError


@dataclass(frozen=True, slots=True)
class SendReached:
    barrier: int
    index: int
    error: RostraError | None


@dataclass(frozen=True, slots=True)
class SendContact:
    contact: Contact


Send: TypeAlias = SendDelta | SendPart | SendResumed | SendEnded | SendReached | SendContact


class _Subscription:
    """``snapshot`` is what is being sent; without one the subscription is live from ``cursor`` on."""

    __slots__ = ("cursor", "forget", "publisher", "snapshot")

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.cursor = 0
        self.snapshot: Snapshot | None = None
        self.forget: Callable[[], None] = lambda: None


class WatchSession:
    """The subscriptions and answers of one stream."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._subscriptions: dict[int, _Subscription] = {}
        self._dirty: dict[int, None] = {}
        self._snapshots: dict[int, None] = {}
        self._recovering: dict[int, None] = {}
        self._answers: list[Send] = []
        self._reached: list[SendReached] = []
        self._progress = 0
        self._contact: Contact | None = None
        self.sent = 0
        """How much was handed out by ``turn``."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is left to be sent: who has taken all that was handed out has all there is."""
        return not (self._dirty or self._answers or self._reached or self._progress or self._snapshots or self._recovering)

    def __len__(self) -> int:
        return len(self._subscriptions)

    def subscribe(self, number: int, publisher: Publisher, resume_index: int | None = None) -> None:
        """Starts a subscription: after ``resume_index`` where the ring reaches that far back, else with a snapshot."""
        if number in self._subscriptions:
            self.unsubscribe(number)
        elif len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            self.refuse(number, Busy(f"a stream watches at most {MAX_SUBSCRIPTIONS} topics"))
            return
        subscription = self._subscriptions[number] = _Subscription(publisher)
        subscription.forget = publisher.listen(lambda: self._mark(number))
        if resume_index is not None and publisher.after(resume_index) is not None:
            subscription.cursor = resume_index
            self._answers.append(SendResumed(number, publisher.index))
            self._mark(number)
        else:
            self._begin_snapshot(number, subscription)
            self._wake()

    def unsubscribe(self, number: int) -> None:
        """Ends a subscription; one that is not there is ended already."""
        subscription = self._subscriptions.pop(number, None)
        if subscription is not None:
            subscription.forget()
            self._dirty.pop(number, None)
            self._snapshots.pop(number, None)
            self._recovering.pop(number, None)

    def refuse(self, number: int, error: RostraError) -> None:
        """Says that nothing comes for a subscription."""
        self._answers.append(SendEnded(number, error))
        self._wake()

    def answer_barrier(self, barrier: int, index: int, error: RostraError | None = None) -> None:
        """A barrier is decided: everything up to ``index`` has been published before this call."""
        self._reached.append(SendReached(barrier, index, error))
        self._wake()

    def tell_progress(self, index: int) -> None:
        """Says, once it is so, that everything up to ``index`` has been sent; it has been published before this call. Of several that are
        due only the newest is said."""
        self._progress = max(self._progress, index)
        self._wake()

    def tell_contact(self, contact: Contact) -> None:
        """The next turn says how fresh the server is; only the newest word counts."""
        self._contact = contact
        self._wake()

    def close(self) -> None:
        """Lets go of everything."""
        for number in tuple(self._subscriptions):
            self.unsubscribe(number)

    def turn(self) -> list[Send]:
        """What is to be sent now, in this order; empty when there is nothing more until the next wake."""
        answers, self._answers = self._answers, []
        reached, self._reached = self._reached, []
        progress, self._progress = self._progress, 0
        sends = answers
        dirty, self._dirty = self._dirty, {}
        for number in dirty:
            self._take_deltas(number, sends)
        if self._recovering:
            self._reached, self._progress = reached + self._reached, progress
        else:
            sends += reached
            if progress:
                sends.append(SendReached(UNASKED, progress, None))
        if self._contact is not None:
            sends.append(SendContact(self._contact))
            self._contact = None
        if self._snapshots:
            self._take_part(next(iter(self._recovering or self._snapshots)), sends)
        self.sent += len(sends)
        return sends

    def _mark(self, number: int) -> None:
        self._dirty[number] = None
        self._wake()

    def _take_deltas(self, number: int, sends: list[Send]) -> None:
        subscription = self._subscriptions.get(number)
        if subscription is None or subscription.snapshot is not None:
            return
        deltas = subscription.publisher.after(subscription.cursor)
        if deltas is None:
            self._begin_snapshot(number, subscription)
            self._recovering[number] = None
            return
        for delta in deltas:
            sends.append(SendDelta(number, delta))
            subscription.cursor = delta.index

    def _begin_snapshot(self, number: int, subscription: _Subscription) -> None:
        subscription.snapshot = subscription.publisher.snapshot()
        self._snapshots[number] = None

    def _take_part(self, number: int, sends: list[Send]) -> None:
        subscription = self._subscriptions[number]
        assert subscription.snapshot is not None, "a subscription in line has its snapshot"
        part = subscription.snapshot.next_part()
        if len(part.entries) > MAX_ENTRY_BYTES:
            self.unsubscribe(number)
            topic = subscription.publisher.topic
            what = f"{topic.kind.name.lower()} {topic.name!r} holds an entry of {len(part.entries)} bytes"
            sends.append(SendEnded(number, Unsupported(f"{what}; at most {MAX_ENTRY_BYTES} can be told")))
            return
        sends.append(SendPart(number, part))
        if not part.more:
            subscription.cursor = part.index
            subscription.snapshot = None
            del self._snapshots[number]
            self._recovering.pop(number, None)
            self._mark(number)
