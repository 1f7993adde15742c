"""Two or more real cores with a hand-driven clock, disk and network: nothing moves unless the test says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from random import Random

from rostra.consensus import events
from rostra.consensus.configuration import Configuration
from rostra.consensus.core import Core, Role
from rostra.consensus.messages import Message
from rostra.consensus.model import Member, PeerId, ReadMode, ReadResult, Suffrage, Write
from rostra.consensus.ready import Options
from rostra.consensus.storage import MemoryStore
from rostra.consensus.timing import Timing

TIMING = Timing(heartbeat_timeout_s=1.0, election_timeout_s=1.0, lease_timeout_s=1.0, heartbeat_interval_s=0.1)
CLUSTER = "cluster"


class Server:
    """A core on a memory store. ``disk`` off: writes wait until ``sync``."""

    def __init__(self, cluster: Cluster, name: str, options: Options | None = None) -> None:
        self.cluster = cluster
        self.name = name
        self.store = MemoryStore()
        self.options = options or Options()
        self.disk = True
        self.start()

    def start(self) -> None:
        """Starts, or starts again with what is on disk."""
        self.waiting: deque[Write] = deque()
        self.reads: list[ReadResult] = []
        self.events: list[events.Event] = []
        self.snapshots: list[PeerId] = []
        self.core = Core(
            recovered=self.store.recover(),
            node_id=self.name,
            reader=self.store,
            timing=TIMING,
            random=Random(self.name),
            now=self.cluster.now,
            options=self.options,
        )

    @property
    def id(self) -> PeerId:
        return self.core.id

    def pump(self) -> None:
        """Performs everything that is ready; messages go to the cluster's queue."""
        while True:
            ready = self.core.ready(self.cluster.now)
            if ready is not None:
                self.cluster.queue.extend(ready.messages)
                self.reads.extend(ready.reads)
                self.events.extend(ready.events)
                self.snapshots.extend(peer for peer, _ in ready.snapshots)
                if ready.write is not None:
                    self.waiting.append(ready.write)
            if self.disk and self.waiting:
                self.sync()
            elif ready is None:
                return

    def sync(self) -> None:
        """The disk performs everything that waits, as one."""
        if self.waiting:
            self.store.perform(list(self.waiting))
            number = self.waiting[-1].number
            self.waiting.clear()
            self.core.persisted(number, self.cluster.now)

    def propose(self, *commands: bytes) -> int:
        index = self.core.propose(commands, 1)
        self.pump()
        return index

    def read(self, mode: ReadMode, context: int = 1) -> None:
        self.core.read_index(context, mode, self.cluster.now)
        self.pump()

    def terms(self) -> list[int]:
        """The terms of the whole log, from index 1."""
        log = self.core.log
        return [log.term(index) or 0 for index in range(log.first_index, log.last_index + 1)]

    def happened(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)


class Cluster:
    """Servers n1, n2, … of one bootstrapped cluster."""

    def __init__(self, count: int, options: Options | None = None) -> None:
        self.now = 100.0
        self.queue: deque[Message] = deque()
        self.delivered: list[Message] = []
        self.cut: set[str] = set()
        self.servers = {f"n{number}": Server(self, f"n{number}", options) for number in range(1, count + 1)}
        members = tuple(Member(server.id, Suffrage.VOTER, server.name) for server in self.servers.values())
        for server in self.servers.values():
            server.core.bootstrap(Configuration(CLUSTER, members))
            server.pump()

    def __getitem__(self, name: str) -> Server:
        return self.servers[name]

    def deliver(self, *, drop: Iterable[type] = (), rounds: int = 1000) -> None:
        """Delivers messages, and those that they cause, until none is left; those of a kind in ``drop`` are lost."""
        for _ in range(rounds):
            if not self.queue:
                return
            message = self.queue.popleft()
            sender, to = message.sender.node_id, message.to.node_id
            if isinstance(message, tuple(drop)) or sender in self.cut or to in self.cut or to not in self.servers:
                continue
            self.delivered.append(message)
            self.servers[to].core.step(message, self.now)
            self.servers[to].pump()
        raise AssertionError("messages do not come to an end")

    def advance(self, seconds: float, *, deliver: bool = True) -> None:
        """Lets time pass in small steps; every server's clock ticks."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 0.02)
            for server in self.servers.values():
                server.core.tick(self.now)
                server.pump()
            if deliver:
                self.deliver()

    def elect(self, name: str) -> Server:
        """Makes ``name`` the leader: its timeout comes first."""
        server = self.servers[name]
        self.now += 1.0
        while server.core.role is not Role.LEADER:
            self.now = max(self.now, server.core.deadline)
            server.core.tick(self.now)
            server.pump()
            self.deliver()
        return server
