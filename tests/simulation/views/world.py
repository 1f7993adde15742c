"""The real cores of the way of a read, on a simulated clock and network: states of catalogs that apply one log each at its own pace, their
publishers and sessions, and at the other end the subscriptions, barriers and views of processes that read.

Simulated is what is between: a log in which entries are committed, streams that are slow, in order, and break, a leader that is away for
a while. Checked at every step: a view is what the catalog was at the view's index, and never goes back; a read whose
barrier was reached misses nothing that was committed before it began.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rostra.catalog.entries import topic_entries
from rostra.catalog.publications import Publications
from rostra.catalog.snapshot import Loader, Saver
from rostra.catalog.state import CatalogState
from rostra.errors import Busy, NoLeader
from rostra.model.catalog import Check, Command, Deregistration, HealthStatus, Node, Registration, Service
from rostra.model.consistency import Consistency
from rostra.model.proto import entry_from_proto
from rostra.model.topics import NODES, SERVICES, Topic, TopicKind
from rostra.v1 import catalog_stream_pb2
from rostra.views import publisher
from rostra.views.barriers import Barrier, Barriers
from rostra.views.messages import BarrierAnswer, BarrierRequest, Delta, Resumed, SnapshotPart, Subscribe, Unsubscribe
from rostra.views.session import SendDelta, SendEnded, SendPart, SendReached, SendResumed, WatchSession
from rostra.views.subscriptions import Pins, Subscription, Subscriptions
from rostra.views.view import View

CLUSTER: Final = "6f1e8b9c-0000-4000-8000-000000000001"
SERVICE_NAMES: Final = ("a", "b", "c", "d")
NODE_NAMES: Final = tuple(f"n{number}" for number in range(6))
TOPICS: Final = (
    *(NODES, SERVICES),
    *(Topic(TopicKind.SERVICE, name) for name in SERVICE_NAMES),
    *(Topic(TopicKind.NODE, name) for name in NODE_NAMES[:2]),
    Topic(TopicKind.CHECKS, HealthStatus.CRITICAL.value),
)
MAX_TOPICS: Final = 6
"""Fewer than there are: one always gives way."""
HOLD_S: Final = 7.0
PATIENCE_S: Final = 0.5
TICK_S: Final = 0.25


class World:
    """One seed: the log, ``catalogs``, ``hubs``, and the clock."""

    def __init__(self, seed: int, catalogs: int = 3, hubs: int = 2) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.has_leader = True
        self.log: list[Command] = []
        self.history: list[Mapping[Topic, Mapping[str, Any]]] = []
        self.last_change: list[dict[Topic, int]] = []
        self._reference = CatalogState()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._remember(dict.fromkeys(TOPICS, 0))
        self.catalogs = [Catalog(self) for _ in range(catalogs)]
        self.hubs = [Hub(self) for _ in range(hubs)]

    @property
    def committed(self) -> int:
        """Index of the last entry that may have been acknowledged."""
        return len(self.log)

    def after(self, delay_s: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay_s, next(self._order), do))

    def some(self, most_s: float) -> float:
        return self.rng.uniform(0.0, most_s)

    def run(self, seconds: float) -> None:
        """Everything that is due in that time."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, do = heapq.heappop(self._events)
            do()
        self.now = end

    def commit(self, command: Command) -> None:
        """One more entry, which every catalog hears of in time."""
        self.log.append(command)
        applied = self._reference.apply(self.committed, 1, self.committed, command)
        before = self.last_change[-1]
        self._remember({topic: self.committed if topic in applied.touched else before[topic] for topic in TOPICS})
        for catalog in self.catalogs:
            catalog.go_on()

    def contents(self, state: CatalogState, topic: Topic) -> Mapping[str, Any]:
        return {entry.key: entry.value for entry in topic_entries(state, topic)}

    def _remember(self, last_change: dict[Topic, int]) -> None:
        self.history.append({topic: self.contents(self._reference, topic) for topic in TOPICS})
        self.last_change.append(last_change)

    def random_command(self) -> Command:
        node, service = self.rng.choice(NODE_NAMES), self.rng.choice(SERVICE_NAMES)
        match self.rng.randrange(6):
            case 0:
                return Deregistration(node)
            case 1 | 2:
                return Deregistration(node, service)
            case _:
                status = self.rng.choice(list(HealthStatus))
                check = Check(node, f"c-{service}", "c", status, service_id=service)
                port = self.rng.randrange(3)
                return Registration(Node(node, "10.0.0.1"), service=Service(service, service, port=port), checks=(check,))


class Catalog:
    """Applies the log at its own pace, and may be given another one's snapshot."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.state = CatalogState()
        self.publications = Publications(self.state)
        self.is_frozen = self._is_due = False
        self.streams: list[Stream] = []
        self._waiting: list[tuple[int, Callable[[], None]]] = []

    def go_on(self) -> None:
        """Applies what there is, a little later and entry by entry."""
        if not (self._is_due or self.is_frozen or self.state.applied_index == self.world.committed):
            self._is_due = True
            self.world.after(self.world.some(0.01), self._apply)

    def thaw(self) -> None:
        self.is_frozen = False
        self.go_on()

    def take_snapshot_of(self, other: Catalog) -> None:
        """As a server that was away for too long does."""
        if other.state.applied_index < self.state.applied_index:
            return
        loader = Loader()
        for piece in Saver(other.state).pieces():
            loader.feed(piece)
        while loader.step():
            pass
        self.state = loader.finish()
        self.publications.reload(self.state)
        self._tell()

    def reach(self, index: int, do: Callable[[], None]) -> None:
        """Once it has applied so much."""
        self._waiting.append((index, do))
        self._tell()

    def _apply(self) -> None:
        self._is_due = False
        index = self.state.applied_index + 1
        if not self.is_frozen and index <= self.world.committed:
            applied = self.state.apply(index, 1, index, self.world.log[index - 1])
            self.publications.publish(index, applied)
            self._tell()
        self.go_on()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for index, do in waiting:
            if index <= self.state.applied_index:
                do()
            else:
                self._waiting.append((index, do))


class Stream:
    """From a hub to a catalog and back, in order in either direction, until it breaks."""

    def __init__(self, hub: Hub, catalog: Catalog) -> None:
        self.hub, self.catalog, self.world = hub, catalog, hub.world
        self.is_broken = self._is_woken = False
        self._sent_at = self._answered_at = 0.0
        self._session = WatchSession(self._wake)
        catalog.streams.append(self)

    def send(self, request: Subscribe | Unsubscribe | BarrierRequest) -> None:
        self._sent_at = max(self._sent_at, self.world.now + self.world.some(0.03))
        self.world.after(self._sent_at - self.world.now, lambda: None if self.is_broken else self._take(request))

    def break_off(self) -> None:
        """What is under way is lost."""
        if not self.is_broken:
            self.is_broken = True
            self._session.close()
            self.catalog.streams.remove(self)
            self.world.after(self.world.some(0.05), self.hub.lost)

    def _take(self, request: Subscribe | Unsubscribe | BarrierRequest) -> None:
        match request:
            case Subscribe():
                resumes = request.resume_index if request.resume_cluster_id == CLUSTER else None
                self._session.subscribe(request.subscription, self.catalog.publications.open(request.topic), resumes)
            case Unsubscribe():
                self._session.unsubscribe(request.subscription)
            case BarrierRequest():
                self.world.after(self.world.some(0.02), lambda: self._reach(request))

    def _reach(self, request: BarrierRequest) -> None:
        """The leader's commit index is asked for only now; then it must be applied here."""
        if not self.world.has_leader:
            self._session.answer_barrier(request.number, self.catalog.state.applied_index, NoLeader())
            return
        index = self.world.committed
        self.catalog.reach(index, lambda: self._session.answer_barrier(request.number, self.catalog.state.applied_index))

    def _wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            self.world.after(self.world.some(0.01), self._turn)

    def _turn(self) -> None:
        self._is_woken = False
        sends = () if self.is_broken else self._session.turn()
        for send in sends:
            self._answered_at = max(self._answered_at, self.world.now + self.world.some(0.03))
            event = _event(send)
            self.world.after(self._answered_at - self.world.now, lambda event=event: None if self.is_broken else self.hub.take(event))  # type: ignore[misc]
        if sends:
            self._wake()


@dataclass
class Read:
    """A default read under way; ``expected`` was committed when it began."""

    topics: Sequence[Topic]
    expected: int
    ticket: int = 0
    subscriptions: list[Subscription] = field(default_factory=list)
    pins: Pins = field(default_factory=Pins)

    def give_up(self) -> None:
        """Its topics may be let go."""
        self.pins.__exit__()


class Hub:
    """A process that reads: as ``rostra.views.watching`` puts the cores together, without its clock and its streams."""

    def __init__(self, world: World) -> None:
        self.world = world
        positions, tickets = itertools.count(1), itertools.count(1)
        self.subscriptions = Subscriptions(positions, max_topics=MAX_TOPICS, idle_s=5.0)
        self.barriers = Barriers(positions, world.rng, HOLD_S, lambda: next(tickets))
        self.reads: list[Read] = []
        self.done = 0
        self._stream: Stream | None = None
        self._seen: dict[View, int] = {}
        self.connect()
        self.tick()

    def connect(self) -> None:
        self._stream = Stream(self, self.world.rng.choice(self.world.catalogs))
        self.subscriptions.open(CLUSTER)
        self._send()

    def break_off(self) -> None:
        if self._stream is not None:
            self._stream.break_off()

    def lost(self) -> None:
        self._stream = None
        self.subscriptions.close()
        self.barriers.lost()
        self.world.after(self.world.some(0.1), self.connect)

    def read(self, topics: Sequence[Topic]) -> None:
        """Begins a default read, unless it is refused at once."""
        self._ask(Read(topics, self.world.committed))

    def tick(self) -> None:
        """Every so often: what is over is given up, and a server that does not answer is left."""
        self.world.after(TICK_S, self.tick)
        if self.barriers.overdue(self.world.now):
            self.break_off()
        self.subscriptions.sweep(self.world.now)
        expired = set(self.barriers.expire(self.world.now))
        for read in [read for read in self.reads if read.ticket in expired]:
            read.give_up()
            self.reads.remove(read)
        if self.world.has_leader:
            self.barriers.leader_seen()
        self._send()

    def _ask(self, read: Read) -> None:
        try:
            read.subscriptions = [read.pins.add(self.subscriptions.want(topic, self.world.now)) for topic in read.topics]
            read.ticket = self.barriers.join(Consistency.DEFAULT, self.world.now)
        except (NoLeader, Busy):
            read.give_up()
            return
        for subscription in read.subscriptions:
            self._follow(subscription.view)
        self.reads.append(read)
        self._send()

    def _send(self) -> None:
        stream = self._stream
        if stream is None or stream.is_broken:
            return
        while (request := self.subscriptions.take()) is not None:
            stream.send(request)
        if self.subscriptions.lists_live and (closed := self.barriers.take(self.world.now, PATIENCE_S)):
            stream.send(closed[0])

    def take(self, event: object) -> None:
        match event:
            case Delta():
                self.subscriptions.delta(event)
            case SnapshotPart():
                self.subscriptions.snapshot(event)
            case Resumed():
                self.subscriptions.resumed(event)
            case BarrierAnswer(error=None):
                self._reached(self.barriers.reached(event.number, event.index))
            case BarrierAnswer():
                self.barriers.failed(event.number, self.world.now)
                self.break_off()
        self._send()

    def _reached(self, reached: tuple[Barrier, list[int]] | None) -> None:
        if reached is None:
            return
        barrier, tickets = reached
        mine = [read for read in self.reads if read.ticket in tickets]
        self.reads = [read for read in self.reads if read.ticket not in tickets]
        for read in mine:
            if all(self.subscriptions.covers(barrier, each) for each in read.subscriptions):
                self._finish(read)
            else:
                self._ask(read)  # a topic was not live yet

    def _finish(self, read: Read) -> None:
        self.done += 1
        for topic, subscription in zip(read.topics, read.subscriptions, strict=True):
            self.check(subscription.view)
            assert subscription.view.index >= self.world.last_change[read.expected][topic], (
                f"a read of {topic} at {subscription.view.index} misses what was committed by {read.expected}"
            )
        read.give_up()

    def _follow(self, view: View) -> None:
        if view not in self._seen:
            self._seen[view] = 0
            view.listen(lambda: self.check(view))

    def check(self, view: View) -> None:
        """It is what the catalog was, and not older than it was."""
        if not view.cluster_id:
            return
        assert view.index >= self._seen[view], f"{view.topic} went back"
        self._seen[view] = view.index
        held = {entry.key: entry.value for entry in view.entries()}
        assert held == self.world.history[view.index][view.topic], f"{view.topic} is not what it was at {view.index}"


def _event(send: object) -> object:
    match send:
        case SendDelta(number, publisher.Delta(index, entries)):
            return Delta(number, index, _entries(entries))
        case SendPart(number, part):
            return SnapshotPart(number, part.index, _entries(part.entries), part.more)
        case SendResumed(number, index):
            return Resumed(number, index)
        case SendReached(number, index, error):
            return BarrierAnswer(number, index, error)
        case SendEnded(_, error):
            raise error
        case _:
            return None


def _entries(data: bytes) -> tuple[Any, ...]:
    return tuple(map(entry_from_proto, catalog_stream_pb2.TopicDelta.FromString(data).entries))
