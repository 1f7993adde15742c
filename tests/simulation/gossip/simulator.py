"""A pool of real cores on a simulated network and clock. One seed replays everything.

The network loses, delays and duplicates datagrams, and may be cut between any two members, in one direction or both. Streams (push-pull,
TCP pings) are delayed and cut like datagrams, but neither lost nor duplicated, as TCP is. A paused member keeps its timers and its
packets, and lives through all of them when it wakes: a process that was stopped, or a host that swaps. Of a blocked one only the messages
wait, in both directions, and its timers run on.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from rostra.gossip.address import Address
from rostra.gossip.core import Core, CoreConfig
from rostra.gossip.departure import LeaveProgress, LeaveStep
from rostra.gossip.effects import CoreEvent, OpenStream
from rostra.gossip.keyring import Keyring
from rostra.gossip.membership import Node, NodeSuspected
from rostra.gossip.timing import LAN, Timing
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.errors import Reason
from rostra.gossip.wire.messages import Alive, encode_message
from rostra.gossip.wire.serf_messages import UserEvent
from rostra.gossip.wire.streams import StreamDecoder
from rostra.model.members import MemberChange, MemberChangeKind, MemberStatus

from .sharing import acquaint

_CHECKED_MEMBERS_MAX = 60
"""In larger pools a look at every record after every packet would be most of the work."""


@dataclass(slots=True)
class Network:
    """How the network behaves; change it while the simulation runs."""

    loss: float = 0.0
    duplication: float = 0.0
    latency_s: tuple[float, float] = (0.001, 0.01)
    cut: set[tuple[str, str]] = field(default_factory=set)
    """Pairs of names: nothing gets from the first to the second."""

    def partition(self, one: Iterable[str], other: Iterable[str]) -> None:
        others = list(other)
        for a in one:
            self.cut |= {(a, b) for b in others} | {(b, a) for b in others}


@dataclass(slots=True)
class Process:
    """One run of one member."""

    name: str
    core: Core
    envelope: Envelope
    events: list[tuple[float, CoreEvent]] = field(default_factory=list)
    timer_at: float = float("inf")
    resumes_at: float = 0.0
    unblocked_at: float = 0.0
    incarnations: dict[str, int] = field(default_factory=dict)

    def changes(self, kind: MemberChangeKind) -> list[tuple[float, str]]:
        return [(at, event.member.name) for at, event in self.events if isinstance(event, MemberChange) and event.kind is kind]


class Simulation:
    def __init__(
        self,
        seed: int,
        *,
        timing: Timing = LAN,
        keys: Iterable[bytes] = (),
        votes_on_names: bool = False,
        compress: bool = False,
        checks: bool = True,
    ) -> None:
        print(f"seed={seed}")
        self.rng = random.Random(seed)
        self.now = 1000.0
        self.network = Network()
        self.timing = timing
        self.packets_sent: Counter[str] = Counter()
        self.packet_bytes_sent = 0
        self.stream_bytes_sent = 0
        self.processes: dict[str, Process] = {}
        self.left: set[str] = set()
        self._keys = tuple(keys)
        self._votes_on_names = votes_on_names
        self._compress = compress
        self._checks = checks
        self._addresses: dict[str, Address] = {}
        self._by_address: dict[Address, str] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    # Members

    def start(self, name: str, *, tags: dict[str, str] | None = None, join: str = "") -> Process:
        """Start a member; a second time it is a new process at the old address, with nothing remembered."""
        number = len(self._addresses) + 1
        address = self._addresses.setdefault(name, Address(bytes((10, 0, number >> 8, number & 255)), 7946))
        self._by_address[address] = name
        envelope = Envelope(entropy=self.rng.randbytes, keyring=Keyring(self._keys) if self._keys else None)
        config = CoreConfig(
            name, address, tags or {"role": "test"}, self.timing, compress=self._compress, votes_on_names=self._votes_on_names
        )
        process = Process(name, Core(config, envelope, random.Random(self.rng.random()), self.now), envelope)
        self.processes[name] = process
        self.left.discard(name)
        self.settle(process)
        if join:
            self.join(name, join)
        return process

    def start_pool(self, count: int) -> list[str]:
        """Members m0, m1, …, each joining the first as it starts, a tenth of a second apart, and ten seconds to find together."""
        names = [f"m{number}" for number in range(count)]
        for name in names:
            self.start(name, join="" if name == "m0" else "m0")
            self.run(0.1)
        self.run(10)
        return names

    def start_acquainted(self, count: int) -> list[str]:
        """Members m0, m1, … that have all met before: for pools so large that their meeting would take long to simulate."""
        names = [f"m{number}" for number in range(count)]
        cores = [self.start(name).core for name in names]
        for core in cores[1:]:
            node = core.membership.local
            cores[0].receive_packet(encode_message(alive_message(node)), node.address, self.now)
        acquaint(cores, self.rng)
        for process in self.processes.values():
            for queue in process.core.broadcast_queues():
                queue.clear()
            process.core.take()
        return names

    def join(self, name: str, other: str) -> None:
        process = self.processes[name]
        process.core.join(self._addresses[other], self.now)
        self.settle(process)

    def crash(self, name: str) -> None:
        del self.processes[name]

    def leave(self, name: str) -> None:
        self.processes[name].core.leave(self.now)
        self.settle(self.processes[name])

    def pause(self, name: str, seconds: float) -> None:
        self.processes[name].resumes_at = self.now + seconds

    def block(self, name: str, seconds: float) -> None:
        """Whatever the member sends, and whatever is sent to it, waits; its timers run on."""
        self.processes[name].unblocked_at = self.now + seconds

    def address(self, name: str) -> Address:
        return self._addresses[name]

    # Time

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = end

    def run_until(self, condition: Callable[[], bool], at_most: float, step: float = 0.1) -> float:
        """Run until ``condition``; how long it took. Fails when it does not come in time."""
        start = self.now
        while not condition():
            assert self.now - start < at_most, f"not within {at_most} s; {self.describe()}"
            self.run(step)
        return self.now - start

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._order), action))

    # What everyone believes

    def status(self, viewer: str, name: str) -> MemberStatus | None:
        member = self.processes[viewer].core.serf.members.member(name)
        return member.status if member else None

    def all_see(self, name: str, status: MemberStatus | None) -> bool:
        return all(self.status(viewer, name) is status for viewer in self.processes if viewer != name)

    def is_converged(self) -> bool:
        """Does every running member see each other running one alive, at the incarnation and with the tags that it has?"""
        for name, process in self.processes.items():
            local = process.core.membership.local
            for viewer in self.processes.values():
                seen = viewer.core.membership.nodes.get(name)
                if seen is None or (seen.incarnation, seen.meta) != (local.incarnation, local.meta):
                    return False
                if self.status(viewer.name, name) is not MemberStatus.ALIVE:
                    return False
        return True

    def describe(self) -> str:
        return "; ".join(
            f"{viewer}: "
            + " ".join(f"{member.name}={member.status.value}@{member.incarnation}" for member in process.core.serf.members.members())
            for viewer, process in self.processes.items()
        )

    def failures_reported(self) -> list[tuple[str, float, str]]:
        return [(viewer, at, name) for viewer, process in self.processes.items() for at, name in process.changes(MemberChangeKind.FAILED)]

    # Carrying

    def settle(self, process: Process) -> None:
        """Carry out what the core asks, and check what must hold after every step."""
        output = process.core.take()
        for address, data in output.packets:
            self.packets_sent[process.name] += 1
            self.packet_bytes_sent += len(data)
            self._send(process.name, address, data)
        for stream in output.streams:
            self._open_stream(process, stream)
        for event in output.events:
            process.events.append((self.now, event))
            if isinstance(event, LeaveProgress) and event.step is LeaveStep.DONE:
                self.left.add(process.name)
                self.at(self.now, lambda: self._stop(process))
        self._check(process)
        deadline = process.core.deadline
        if deadline < process.timer_at:
            process.timer_at = deadline
            self.at(max(deadline, self.now), lambda: self._on_timer(process))

    def _stop(self, process: Process) -> None:
        if self.processes.get(process.name) is process:
            del self.processes[process.name]

    def _on_timer(self, process: Process) -> None:
        process.timer_at = float("inf")
        self._input(process, lambda: process.core.tick(self.now))

    def _input(self, process: Process, step: Callable[[], None]) -> None:
        if self.processes.get(process.name) is not process:
            return
        if self.now < process.resumes_at:
            self.at(process.resumes_at, lambda: self._input(process, step))
            return
        step()
        self.settle(process)

    def _send(self, sender: str, address: Address, data: bytes) -> None:
        target = self._by_address.get(address)
        if target is None or (sender, target) in self.network.cut or self.rng.random() < self.network.loss:
            return
        sent_at = max(self.now, self.processes[sender].unblocked_at)
        for _ in range(1 + (self.rng.random() < self.network.duplication)):
            self.at(sent_at + self._latency(), lambda: self._deliver(target, self._addresses[sender], data))

    def _deliver(self, target: str, source: Address, data: bytes) -> None:
        process = self.processes.get(target)
        if process is not None and self.now < process.unblocked_at:
            self.at(process.unblocked_at, lambda: self._deliver(target, source, data))
        elif process is not None:
            self._input(process, lambda: process.core.receive_packet(data, source, self.now))

    def _open_stream(self, dialler: Process, stream: OpenStream) -> None:
        target = self._by_address.get(stream.address)
        blocked = target is None or (dialler.name, target) in self.network.cut or (target, dialler.name) in self.network.cut

        def fail() -> None:
            self._input(dialler, lambda: dialler.core.on_stream_failure(stream.exchange, "no connection"))

        def arrive() -> None:
            process = self.processes.get(target or "")
            if process is None:
                fail()
            else:
                self._input(process, lambda: answer(process))

        def answer(process: Process) -> None:
            request = StreamDecoder(process.envelope, dialled=True).feed(stream.data)
            assert request is not None
            data = process.core.receive_stream(request, self.now)
            self.stream_bytes_sent += len(stream.data) + len(data or b"")
            self.at(self.now + self._latency(), lambda: come_back(data))

        def come_back(data: bytes | None) -> None:
            message = StreamDecoder(dialler.envelope, dialled=False).feed(data) if data else None
            if message is None:
                fail()
            else:
                self._input(dialler, lambda: dialler.core.on_stream_answer(stream.exchange, message, self.now))

        waits = max((self.processes[name].unblocked_at for name in (dialler.name, target or "") if name in self.processes), default=0.0)
        if blocked or waits > stream.deadline:
            self.at(stream.deadline, fail)
        else:
            self.at(max(self.now, waits) + 3 * self._latency(), arrive)

    def _latency(self) -> float:
        return self.rng.uniform(*self.network.latency_s)

    def _check(self, process: Process) -> None:
        """An honest member sends nothing that is refused, unless it comes late; what is known of a member never gets older."""
        assert process.core.refused.keys() <= {Reason.STALE}, f"{process.name} refused {dict(process.core.refused)}"
        nodes = process.core.membership.nodes
        if not self._checks or len(nodes) > _CHECKED_MEMBERS_MAX:
            return
        for name, node in nodes.items():
            assert node.incarnation >= process.incarnations.get(name, 0), f"{process.name} unlearned {name}@{node.incarnation}"
        process.incarnations = {name: node.incarnation for name, node in nodes.items()}  # a forgotten member may start anew


def alive_message(node: Node) -> Alive:
    ip, port = node.address
    return Alive(incarnation=node.incarnation, node=node.name, ip=ip, port=port, meta=node.meta, versions=bytes(node.versions))


def user_events(process: Process) -> Counter[tuple[str, bytes]]:
    return Counter((event.name, event.payload) for _, event in process.events if isinstance(event, UserEvent))


def suspicions(process: Process) -> list[tuple[float, str, str]]:
    return [(at, event.node.name, event.accuser) for at, event in process.events if isinstance(event, NodeSuspected)]
