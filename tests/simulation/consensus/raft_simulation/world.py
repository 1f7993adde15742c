"""The simulated world: servers with clocks of their own, disks that lose what was not synced, a network that does anything.

Everything happens in one queue of (time, what); randomness comes from one seed. Faults and clients are actors that put
themselves back into the queue. A server's core is the real one, or a mutant that the net must catch.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

from rostra.consensus import events, messages
from rostra.consensus.configuration import Configuration, decode_configuration
from rostra.consensus.core import Core, Role
from rostra.consensus.messages import Message
from rostra.consensus.model import ChangeAction, Entry, EntryKind, HardState, Member, PeerId, ReadMode, SnapshotMeta, Suffrage, Write
from rostra.consensus.ready import Options
from rostra.consensus.storage import MemoryStore
from rostra.consensus.timing import Timing
from rostra.errors import RostraError

from .checkers import Checkers, require
from .history import Operation
from .moments import NEVER, BadMoments, Moments

TIMING = Timing(heartbeat_timeout_s=1.0, election_timeout_s=1.0, lease_timeout_s=1.0, heartbeat_interval_s=0.25)
OPTIONS = Options(
    max_append_bytes=600,
    max_append_entries=8,
    max_inflight=4,
    max_inflight_partial=4,  # more under way than a real server allows: more can go wrong
    max_inflight_bytes=4000,
    trailing_logs=12,
    cached_bytes=400,
)
CLUSTER = "cluster"


@dataclass(frozen=True)
class Profile:
    """How bad the world is. Rates are mean seconds between faults; 0 switches one off."""

    voters: int = 5
    spares: int = 2
    loss: float = 0.03
    duplicates: float = 0.02
    delay_s: float = 0.03
    long_delay: float = 0.02
    crash_s: float = 6.0
    partition_s: float = 5.0
    heal_s: float = 2.0
    slow_disk_s: float = 8.0
    transfer_s: float = 12.0
    change_s: float = 6.0
    early_changes: float = 0.1
    snapshot_s: float = 2.0
    wipe: float = 0.1
    write_s: float = 0.3
    read_s: float = 0.3
    lease_reads: bool = True
    clock_rates: tuple[float, ...] = (0.96, 0.99, 1.0, 1.01, 1.04)
    fsync_s: float = 0.005
    crash_leaders: float = 0.3
    cut_leaders: float = 0.3
    shapes: tuple[str, ...] = ("halves", "one", "pair", "one way", "bridge")
    options: Options = OPTIONS
    timing: Timing = TIMING
    logs: tuple[tuple[int, ...], ...] = ()
    wiped_id_returns: bool = False
    moments: Moments = NEVER


class Disk:
    """What is synced, and what is on its way."""

    def __init__(self, store_id: str) -> None:
        self.synced = MemoryStore(store_id)
        self.waiting: deque[Write] = deque()
        self.files: dict[str, list[bytes]] = {}
        self.slow_until = 0.0

    def crash(self, rng: Random) -> None:
        """Of what was not synced any first part may have reached the disk, the rest has not."""
        survived = rng.randint(0, len(self.waiting))
        self.synced.perform(list(self.waiting)[:survived])
        self.waiting.clear()

    def holds(self, index: int, term: int) -> bool:
        """Whether the entry is on disk, itself or in a snapshot."""
        store = self.synced
        base = store._base[0]
        if index <= base or (store._snapshot is not None and index <= store._snapshot.index):
            return True
        return index <= base + len(store._entries) and store.term(index) == term


@dataclass(eq=False)
class Server:
    """One process on one machine."""

    world: World
    name: str
    disk: Disk
    rate: float
    up: bool = False
    starts: int = 0
    core: Core = field(init=False)
    key: str = ""
    applied: int = 0
    state: list[bytes] = field(default_factory=list)
    reads: dict[int, tuple[float, str]] = field(default_factory=dict)
    answered: list[tuple[int, int, float, str]] = field(default_factory=list)
    proposals: deque[tuple[int, int, float]] = field(default_factory=deque)
    syncing: bool = False
    tick_at: float = 0.0
    checked_to: int = 0
    checked_cuts: int = -1
    checked_commit: int = 0
    checked_configuration: bool = False
    checked_office: tuple[int, int] | None = None
    checked_last: int = 0

    @property
    def clock(self) -> float:
        """The server's own clock, which goes at its own rate."""
        return self.world.now * self.rate


class World:
    """One history."""

    def __init__(self, seed: int, profile: Profile, core_class: type[Core] = Core, *, synced_disks: bool = True) -> None:
        self.seed = seed
        self.profile = profile
        self.rng = Random(seed)
        self.core_class = core_class
        self.synced_disks = synced_disks
        self.now = 0.0
        self.steps = 0
        self.calm = False
        self.counts: Counter[str] = Counter()
        self.history: list[Operation] = []
        self.checkers = Checkers(self)
        self.moments = BadMoments(self, profile.moments)
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._blocked: set[tuple[str, str]] = set()
        self._cut_in_flight = False
        self._commands = 0
        self._reads = 0
        self._snapshots = 0
        self._retired: list[Server] = []
        self.servers: dict[str, Server] = {}
        for number in range(profile.voters + profile.spares):
            self._add_machine(f"n{number}")
        self._bootstrap()
        self._start_actors()

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self, events_: int) -> None:
        """Takes that many events from the queue."""
        until = self.steps + events_
        while self.steps < until:
            self.step()

    def settle(self, seconds: float = 40.0) -> None:
        """The faults end. Then there must soon be one leader, everything it commits, and everybody must have it."""
        self.calm = True
        self._blocked.clear()
        for server in self.servers.values():
            self._restart(server)
        until = self.now + seconds
        while self.now < until:
            self.step()
        newest = max(self.leaders(), key=lambda server: server.core.term, default=None)
        require(newest is not None, "no leader after the faults have ended")
        assert newest is not None
        acknowledged = [operation.began for operation in self.history if operation.is_write]
        require(max(acknowledged, default=0.0) > self.now - seconds / 4, "no write is acknowledged after the faults have ended")
        for peer in newest.core.configuration.by_id:
            server = self.servers[peer.node_id]
            if server.core.id == peer:
                behind = newest.core.commit_index - server.core.commit_index
                require(behind < 50, f"{server.name} is {behind} entries behind after the faults have ended")

    def step(self) -> None:
        """Takes one."""
        self.now, _, what = heapq.heappop(self._queue)
        self.steps += 1
        what()

    def at(self, delay: float, what: Callable[[], None]) -> None:
        """Puts ``what`` into the queue."""
        self._order += 1
        heapq.heappush(self._queue, (self.now + delay, self._order, what))

    def every(self, mean_s: float, what: Callable[[], None]) -> None:
        """Does ``what`` again and again, at random times."""
        if not mean_s:
            return

        def again() -> None:
            what()
            self.at(self.rng.expovariate(1 / mean_s), again)

        self.at(self.rng.expovariate(1 / mean_s), again)

    def _start_actors(self) -> None:
        profile = self.profile
        self.every(profile.crash_s, self._crash_one)
        self.every(profile.partition_s, self._partition)
        self.every(profile.slow_disk_s, self._slow_disk)
        self.every(profile.transfer_s, self._transfer)
        self.every(profile.change_s, self._change_membership)
        self.every(profile.snapshot_s, self._take_snapshot)
        self.every(profile.write_s, self._write)
        self.every(profile.read_s, self._read)

    # -- servers -----------------------------------------------------------------------------------------------------

    def _add_machine(self, name: str) -> None:
        self.servers[name] = Server(self, name, Disk(f"{name}-0"), self.rng.choice(self.profile.clock_rates))

    def _bootstrap(self) -> None:
        voters = list(self.servers.values())[: self.profile.voters]
        members = tuple(
            Member(PeerId(server.name, server.disk.synced.recover().store_id), Suffrage.VOTER, server.name) for server in voters
        )
        for server in self.servers.values():
            self.start(server, Configuration(CLUSTER, members) if server in voters else None)
        for server, terms in zip(voters, self.profile.logs, strict=False):
            self._give_log(server, terms)

    def _give_log(self, server: Server, terms: tuple[int, ...]) -> None:
        """Starts a history in its middle: the server has entries of these terms after the configuration."""
        disk = server.disk.synced
        server.disk.crash(self.rng)
        (first,) = server.core.log.slice(1, 2)
        entries = [first, *(Entry(i, t, int(EntryKind.COMMAND), 0, b"command old %d/%d" % (i, t)) for i, t in enumerate(terms, 2))]
        disk.perform([Write(1, HardState(max(terms, default=1), None, 0, 1.0, CLUSTER), entries=entries)])
        self.start(server)

    def start(self, server: Server, bootstrap: Configuration | None = None) -> None:
        """Starts a process on what its disk holds."""
        found = server.disk.synced.recover()
        server.core = self.core_class(
            recovered=found,
            node_id=server.name,
            reader=server.disk.synced,
            timing=self.profile.timing,
            random=Random(self.rng.random()),
            now=server.clock,
            options=self.profile.options,
        )
        server.up, server.syncing = True, False
        server.starts += 1
        server.key = f"{server.name}/{server.core.id.store_id}"
        server.reads, server.answered, server.proposals = {}, [], deque()
        server.checked_to, server.checked_cuts, server.checked_configuration = 0, -1, False
        if found.snapshot is None:
            server.applied, server.state = 0, []
        else:
            server.applied, server.state = found.snapshot.index, list(server.disk.files[found.snapshot.snapshot_id])
        server.checked_commit = server.applied
        if bootstrap is not None:
            server.core.bootstrap(bootstrap)
        self.pump(server)

    def crash(self, server: Server) -> None:
        """Ends the process; what was not synced may be lost."""
        server.up = False
        server.disk.crash(self.rng)

    def pump(self, server: Server) -> None:
        """Performs what the core wants done, then looks at it."""
        core = server.core
        for turn in count():
            require(turn < 1000, f"{server.name} is never done")
            ready = core.ready(server.clock)
            if ready is None:
                break
            for event in ready.events:
                self.counts[type(event).__name__] += 1
                self.checkers.event(server, event)
                self.moments.after_event(server, event)
            if ready.restored is not None:
                server.applied, server.state = ready.restored.index, list(server.disk.files[ready.restored.snapshot_id])
                server.checked_commit, server.checked_configuration = max(server.checked_commit, server.applied), False
                self.counts["snapshots restored"] += 1
            for message in ready.messages:
                self._send(server, message)
            if ready.write is not None:
                server.disk.waiting.append(ready.write)
                if not self.synced_disks:
                    core.persisted(ready.write.number, server.clock)
            for peer, meta in ready.snapshots:
                self._send_snapshot(server, peer, meta)
            for result in ready.reads:
                began, how = server.reads.pop(result.context)
                if result.index:
                    server.answered.append((result.context, result.index, began, how))
        self._sync(server)
        self.checkers.look(server)
        self._apply(server)
        self._acknowledge(server)
        self.moments.after_turn(server)
        self._arm(server)

    def _arm(self, server: Server) -> None:
        deadline = server.core.deadline / server.rate
        if deadline == float("inf") or (self.now < server.tick_at <= deadline):
            return
        server.tick_at = max(deadline, self.now + 1e-6)
        start = server.starts
        self.at(server.tick_at - self.now, lambda: self._tick(server, start))

    def _tick(self, server: Server, start: int) -> None:
        if server.up and server.starts == start:
            server.core.tick(server.clock)
            self.pump(server)

    # -- disks -------------------------------------------------------------------------------------------------------

    def _sync(self, server: Server) -> None:
        """One fsync for everything that waits; the next begins when it is done."""
        if server.syncing or not server.disk.waiting:
            return
        server.syncing = True
        length, start = len(server.disk.waiting), server.starts
        delay = self.rng.expovariate(1 / self.profile.fsync_s)
        if self.now < server.disk.slow_until:
            delay += self.rng.uniform(0.1, 2.0)
        self.at(delay, lambda: self._synced(server, start, length))

    def _synced(self, server: Server, start: int, length: int) -> None:
        if not server.up or server.starts != start:
            return
        writes = [server.disk.waiting.popleft() for _ in range(length)]
        server.disk.synced.perform(writes)
        server.syncing = False
        if self.synced_disks:
            server.core.persisted(writes[-1].number, server.clock)
        self.pump(server)

    def all_disks(self) -> list[Server]:
        """Every disk there ever was; a wiped one is there as it was."""
        return [*self.servers.values(), *self._retired]

    # -- network -----------------------------------------------------------------------------------------------------

    def _send(self, server: Server, message: Message) -> None:
        rng, profile = self.rng, self.profile
        if (server.name, message.to.node_id) in self._blocked:
            return
        late_s = self.moments.delay_s(message)
        copies = 2 if rng.random() < profile.duplicates else 1
        for _ in range(copies):
            if rng.random() < profile.loss and not self.calm:
                continue
            delay = late_s + rng.expovariate(1 / profile.delay_s)
            if rng.random() < profile.long_delay and not self.calm:
                delay += rng.uniform(0.2, 3.0)
            self.at(delay, lambda: self._receive(message))

    def _receive(self, message: Message) -> None:
        server = self.servers[message.to.node_id]
        if self._cut_in_flight and (message.sender.node_id, server.name) in self._blocked:
            return
        if server.up:
            self.moments.before_receiving(server, message)
            server.core.step(message, server.clock)
            self.moments.after_receiving(server)
            self.pump(server)

    def _send_snapshot(self, sender: Server, peer: PeerId, meta: SnapshotMeta) -> None:
        term, start, data = sender.core.term, sender.starts, sender.disk.files[meta.snapshot_id]
        self.at(self.rng.uniform(0.05, 0.5), lambda: self._snapshot_arrives(sender, start, peer, meta, term, data))

    def _snapshot_arrives(self, sender: Server, start: int, peer: PeerId, meta: SnapshotMeta, term: int, data: list[bytes]) -> None:
        receiver = self.servers[peer.node_id]
        delivered = receiver.up and (sender.name, receiver.name) not in self._blocked and self.rng.random() < 0.8
        if delivered:
            receiver.disk.files[meta.snapshot_id] = data
            leader = sender.core.id
            receiver.core.step(messages.SnapshotInstalled(CLUSTER, leader, peer, term, meta=meta), receiver.clock)
            self.pump(receiver)
        if sender.up and sender.starts == start:
            sender.core.snapshot_sent(peer, delivered=delivered)
            self.pump(sender)

    # -- faults ------------------------------------------------------------------------------------------------------

    def _crash_one(self) -> None:
        self.crash_for_a_while(self._victim(self.profile.crash_leaders))

    def crash_for_a_while(self, server: Server) -> None:
        """The process ends and comes back, now and then without its disk."""
        if not server.up or self.calm:
            return
        self.crash(server)
        self.counts["crashes"] += 1
        if self.rng.random() < self.profile.wipe and self._may_wipe(server):
            self._wipe(server)
        self.at(self.rng.choice([0.01, 0.3, 2.0]) * self.rng.random(), lambda: self._restart(server))

    def _victim(self, leaders_share: float) -> Server:
        """Leaders are where faults show."""
        leaders = self.leaders()
        if leaders and self.rng.random() < leaders_share:
            return self.rng.choice(leaders)
        return self.rng.choice(list(self.servers.values()))

    def _restart(self, server: Server) -> None:
        if not server.up:
            self.counts["restarts"] += 1
            self.start(server)

    def restart_at_once(self, server: Server) -> None:
        """The process ends and is back in the same instant."""
        self.crash(server)
        self.counts["crashes"] += 1
        self._restart(server)

    def _may_wipe(self, server: Server) -> bool:
        """Losing a disk loses what was promised on it, so only a store that no configuration counts on may go."""
        if self.profile.wiped_id_returns:
            return True
        peer = server.core.id
        for other in self.servers.values():
            for configuration in other.core.history._configurations:
                if peer in configuration.by_id:
                    return False
        return all(peer not in decode_configuration(meta.configuration).by_id for meta in self._snapshot_metas())

    def _snapshot_metas(self) -> list[SnapshotMeta]:
        return [server.core.snapshot for server in self.servers.values() if server.core.snapshot is not None]

    def _wipe(self, server: Server) -> None:
        self.counts["wipes"] += 1
        old = Server(self, server.name, server.disk, server.rate, key=server.key)
        self._retired.append(old)
        server.disk = Disk(server.core.id.store_id if self.profile.wiped_id_returns else f"{server.name}-{self.steps}")

    def _partition(self) -> None:
        """Cuts the network in one of its shapes: in two, one off, one pair, one direction; then heals it."""
        if self.calm:
            return
        names = list(self.servers)
        rng = self.rng
        shape = rng.choice(self.profile.shapes)
        victim = self._victim(self.profile.cut_leaders)
        if shape == "halves":
            side = set(rng.sample(names, len(names) // 2))
            self._blocked = self._links_out_of(side)
        elif shape == "one":
            self._blocked = self._links_out_of({victim.name})
        elif shape == "pair":
            a = victim.name
            b = rng.choice([name for name in names if name != a])
            self._blocked = {(a, b), (b, a)}
        elif shape == "one way":
            one = victim.name
            self._blocked = {(one, b) for b in names} if rng.random() < 0.5 else {(a, one) for a in names}
        else:
            bridge = rng.choice(names)
            side = set(rng.sample(names, len(names) // 2))
            self._blocked = {(a, b) for a in names for b in names if bridge not in (a, b) and (a in side) != (b in side)}
        self._heal_later()

    def cut_off(self, island: set[str], *, in_flight: bool = False) -> None:
        """Nothing goes from these servers to the others, nor back, until that heals; ``in_flight``: nor arrives."""
        if self.calm:
            return
        self._blocked = self._links_out_of(island)
        self._heal_later(in_flight=in_flight)

    def _links_out_of(self, island: set[str]) -> set[tuple[str, str]]:
        return {(a, b) for a in self.servers for b in self.servers if (a in island) != (b in island)}

    def _heal_later(self, *, in_flight: bool = False) -> None:
        self._cut_in_flight = in_flight
        self.counts["partitions"] += 1
        self.at(self.rng.expovariate(1 / self.profile.heal_s), self._blocked.clear)

    def _slow_disk(self) -> None:
        self.rng.choice(list(self.servers.values())).disk.slow_until = self.now + self.rng.uniform(0.5, 3.0)

    # -- operators ---------------------------------------------------------------------------------------------------

    def leaders(self) -> list[Server]:
        """Every server that believes it leads."""
        return [server for server in self.servers.values() if server.up and server.core.role is Role.LEADER]

    def _transfer(self) -> None:
        for server in [] if self.calm else self.leaders():
            others = [peer for peer in server.core.configuration.voters if peer != server.core.id]
            if others and server.core.transfer_target is None:
                server.core.transfer(self.rng.choice(sorted(others)), server.clock)
                self.counts["transfers"] += 1
                self.pump(server)

    def _change_membership(self) -> None:
        for server in [] if self.calm else self.leaders():
            settled = server.core.term_confirmed and server.core.history.latest_index <= server.core.commit_index
            if settled or self.rng.random() < self.profile.early_changes:
                self.change_at(server)

    def change_at(self, leader: Server, *, of_voters: bool = False) -> None:
        """Asks a leader for some single-server change; ``of_voters``: for one that removes another voter."""
        core, rng = leader.core, self.rng
        if not leader.up or core.role is not Role.LEADER:
            return
        actions = self._removals_of_others(core) if of_voters else self._possible_changes(core)
        if not actions:
            return
        action, peer = rng.choice(actions)
        try:
            core.change_membership(action, Member(peer, Suffrage.LEARNER, peer.node_id), self._wall(), leader.clock)
        except RostraError:
            self.counts["changes refused"] += 1
            return
        self.counts["membership changes"] += 1
        self.pump(leader)

    def _possible_changes(self, core: Core) -> list[tuple[ChangeAction, PeerId]]:
        members, voters = core.configuration.by_id, core.configuration.voters
        actions: list[tuple[ChangeAction, PeerId]] = []
        for server in self.servers.values():
            peer = server.core.id
            if server.up and peer not in members:
                actions.append((ChangeAction.ADD_LEARNER, peer))
        for peer in sorted(members):
            if peer not in voters:
                actions.append((ChangeAction.PROMOTE, peer))
            if len(voters) > 2 or peer not in voters:
                actions.append((ChangeAction.REMOVE, peer))
        if len(voters) < self.profile.voters:
            actions = [action for action in actions if action[0] is not ChangeAction.REMOVE] or actions
        return actions

    def _removals_of_others(self, core: Core) -> list[tuple[ChangeAction, PeerId]]:
        others = sorted(core.configuration.voters - {core.id})
        return [(ChangeAction.REMOVE, peer) for peer in others] if len(others) > 1 else []

    def _wall(self) -> int:
        return int(self.now * 1e9) + self.rng.randint(-(10**9), 10**9)

    def _take_snapshot(self) -> None:
        server = self.rng.choice(list(self.servers.values()))
        if not server.up or server.applied < server.core.log.first_index:
            return
        if server.core.snapshot is not None and server.applied <= server.core.snapshot.index:
            return
        self._snapshots += 1
        meta = server.core.describe_snapshot(server.applied, f"s{self._snapshots}")
        server.disk.files[meta.snapshot_id] = list(server.state)
        server.core.snapshot_saved(meta)
        self.counts["snapshots taken"] += 1
        self.pump(server)

    # -- clients -----------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        leaders = self.leaders()
        if not leaders:
            return
        server = self.rng.choice(leaders)
        commands = []
        for _ in range(self.rng.choice([1, 1, 1, 5])):
            self._commands += 1
            commands.append(b"command %d " % self._commands + bytes(self.rng.randint(0, 60)))
        try:
            first = server.core.propose(commands, self._wall())
        except RostraError:
            return
        for index in range(first, first + len(commands)):
            server.proposals.append((index, server.core.term, self.now))
        self.pump(server)

    def _acknowledge(self, server: Server) -> None:
        core = server.core
        while server.proposals:
            index, term, began = server.proposals[0]
            if core.role is not Role.LEADER or core.term != term:
                server.proposals.popleft()  # its fate is unknown
                continue
            if index > core.commit_index:
                return
            server.proposals.popleft()
            self.checkers.acknowledged(index, term, core.configuration)
            self.history.append(Operation(began, self.now, index, True, f"write at {server.name}"))
            self.counts["writes acknowledged"] += 1

    def _read(self) -> None:
        up = [server for server in self.servers.values() if server.up]
        if not up:
            return
        leaders = self.leaders()
        server = self.rng.choice(leaders if leaders and self.rng.random() < 0.6 else up)
        lease = self.profile.lease_reads and self.rng.random() < 0.7
        mode = ReadMode.LEASE if lease else ReadMode.QUORUM
        self._reads += 1
        server.reads[self._reads] = (self.now, mode.value)
        server.core.read_index(self._reads, mode, server.clock)
        self.pump(server)

    # -- state machines ----------------------------------------------------------------------------------------------

    def _apply(self, server: Server) -> None:
        core = server.core
        high = core.deliverable_index
        while server.applied < high:
            entries = core.log.slice(server.applied + 1, high + 1)
            require(bool(entries), f"{server.name} cannot read {server.applied + 1}, which it says is on its disk")
            for entry in entries:
                self._apply_entry(server, entry)
        if server.answered:
            ready = [read for read in server.answered if read[1] <= server.applied]
            for read in ready:
                server.answered.remove(read)
                _, _, began, how = read
                self.history.append(Operation(began, self.now, server.applied, False, f"{how} read at {server.name}"))
                self.counts[f"{how} reads"] += 1
        if self.rng.random() < 0.02:
            self.checkers.applied(server, server.applied, server.state)

    def _apply_entry(self, server: Server, entry: Entry) -> None:
        assert entry.index == server.applied + 1
        if entry.kind == EntryKind.COMMAND:
            server.state.append(entry.data)
        server.applied = entry.index

    def state_at(self, index: int) -> list[bytes]:
        """The committed commands up to ``index``."""
        return [data for _, data in self.checkers.committed[1 : index + 1] if data.startswith(b"command")]


__all__ = ["CLUSTER", "Disk", "Profile", "Server", "World", "events"]
