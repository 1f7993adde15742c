"""The consensus role: an asyncio shell around the core.

One task turns the wheel. Whatever arrives (messages, proposals, reads, completions of writes) waits until the next turn; a
turn feeds all of it to the core, lets the clock tick, and performs what the core wants done. So everything that came
together shares one append for each peer, one write, one fsync and one read round. Between two awaits nothing else runs:
the core needs no lock. Only the store's thread is elsewhere, and it speaks to the loop by handing a number over.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from rostra.consensus import report
from rostra.consensus.attachment import DEFAULT_WINDOW_BYTES, Attachment
from rostra.consensus.configuration import Configuration
from rostra.consensus.core import Core, Role
from rostra.consensus.events import Event
from rostra.consensus.limits import HOLD_TIMEOUT_S, Limits
from rostra.consensus.messages import AppendRequest, Message, SnapshotInstalled
from rostra.consensus.metrics import HEARTBEAT_DELAY, RAFT, Elections, count_event, observe_step
from rostra.consensus.model import ChangeAction, Member, PeerId, ReadMode, SnapshotMeta, Suffrage
from rostra.consensus.proposals import Committed, Outcome
from rostra.consensus.proposer import Proposer
from rostra.consensus.reads import ReadBatches
from rostra.consensus.ready import Options, Ready
from rostra.consensus.snapshot_files import SnapshotFiles
from rostra.consensus.snapshots import SnapshotStore, SnapshotWriter
from rostra.consensus.storage import StorageFull, Store
from rostra.consensus.storage_thread import StorageThread
from rostra.consensus.timing import Timing
from rostra.consensus.transport import NoTransport, Transport
from rostra.consensus.watch import Watched
from rostra.errors import Busy, Conflict, NoLeader, NotLeader, NotReady, RostraError, Timeout, UnknownOutcome

__all__ = ["HOLD_TIMEOUT_S", "Consensus", "Leadership", "Limits", "NoTransport", "Transport"]

log = logging.getLogger("rostra.consensus")

HURRY_S: Final = 1.0
"""For so long after a forwarded proposal commit indexes leave at once: whoever forwarded it answers from its own log."""


@dataclass(frozen=True, slots=True)
class Leadership:
    """Who leads, as this server knows it. ``is_leader``: this one does, and has committed an entry of its term."""

    term: int
    leader: PeerId | None
    leader_name: str
    leader_address: str
    is_leader: bool


class Consensus:
    """One server of a replicated log. Everything but ``run`` may be called from any task of the same loop."""

    def __init__(
        self,
        *,
        node_id: str,
        store: Store,
        snapshots: SnapshotStore,
        timing: Timing,
        transport: Transport | None = None,
        options: Options | None = None,
        limits: Limits | None = None,
        random: Random | None = None,
        clock: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._snapshots = SnapshotFiles(snapshots)
        self._transport = transport or NoTransport()
        self._limits = limits or Limits()
        self._clock = clock
        self._wall_ns = wall_ns
        self.core = Core(
            recovered=store.recover(),
            node_id=node_id,
            reader=store,
            timing=timing,
            random=random or Random(),
            now=clock(),
            options=options,
        )
        self._thread: StorageThread | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._wake: asyncio.Future[None] | None = None
        self._woken = True
        self._timer: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._stopped = False

        self._inbox: list[Message] = []
        self._completed = 0
        self._named_snapshot: tuple[int, SnapshotMeta] | None = None
        self._full: StorageFull | None = None
        self._proposer = Proposer(self.core, self._limits)
        self._reads = ReadBatches(self._limits.max_pending_reads)

        self._attachments: set[Attachment] = set()
        self._primary: Attachment | None = None
        self._primary_missing_since = -math.inf
        self._next_look = 0.0
        self._snapshot_wanted_at: float | None = None
        self._elections = Elections()
        self._leadership = Watched(self._leadership_now())
        self._seen_of_leadership: object = None
        self._forwarded_at = -math.inf
        self.dropped_messages = 0

    # -- life --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serves until cancelled. A failed disk raises ``StorageFailed``: the process must end."""
        assert self._tasks is None
        if self._store.blocks:
            self._thread = self._start_thread(asyncio.get_running_loop())
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                while True:
                    await self._wait()
                    self._turn()
        except BaseExceptionGroup:
            if self._failure is not None:
                raise self._failure from None
            raise
        finally:
            self._stop()

    def _start_thread(self, loop: asyncio.AbstractEventLoop) -> StorageThread:
        def hand_over(call: Callable[..., None], *values: object) -> None:
            try:
                loop.call_soon_threadsafe(call, *values)
            except RuntimeError:
                log.debug("write completed after the loop had closed")

        thread = StorageThread(
            self._store,
            on_completed=lambda number, seconds: hand_over(self._on_completed, number, seconds),
            on_full=lambda error: hand_over(self._on_full, error),
            on_failed=lambda error: hand_over(self._on_failed, error),
        )
        thread.start()
        return thread

    def _stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._proposer.give_up()
        self._reads.give_up()
        for attachment in list(self._attachments):
            attachment.detach()
        self._snapshots.close()
        if self._thread is None or self._thread.stop(timeout_s=5.0):
            self._store.close()

    def _on_completed(self, number: int, seconds: float) -> None:
        self._completed = max(self._completed, number)
        RAFT.observe("raft.leader.dispatchLog" if self.core.role is Role.LEADER else "raft.rpc.appendEntries.storeLogs", seconds)
        self._rouse()

    def _on_full(self, error: StorageFull | None) -> None:
        self._full = error
        self._next_look = 0.0
        if error is None:
            log.info("disk has room again")
        else:
            log.error("disk full: nothing is acknowledged until there is room", extra={"error": str(error)})
        self._rouse()

    def _on_failed(self, error: BaseException) -> None:
        self._failure = error
        self._rouse()

    # -- the wheel ---------------------------------------------------------------------------------------------------

    def _rouse(self) -> None:
        """There is something to do in the next turn."""
        self._woken = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._arm_timer(loop)
        if self._woken:
            await asyncio.sleep(0)  # lets everything that is runnable join this turn
        else:
            self._wake = loop.create_future()
            await self._wake
            self._wake = None
        self._woken = False
        if self._failure is not None:
            raise self._failure

    def _arm_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        deadline = min(self.core.deadline, self._duty_deadline(), self._gathers_until() if self._proposer.is_waiting else math.inf)
        if deadline == math.inf:
            return
        when = loop.time() + max(0.0, deadline - self._clock())
        if self._timer is None or self._timer.when() > when + 0.0005:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(when, self._on_timer)

    def _gathers_until(self) -> float:
        return self._proposer.gathers_until(0.0 if self._thread is None else self._thread.sync_s)

    def _on_timer(self) -> None:
        self._timer = None
        self._rouse()

    def _turn(self) -> None:
        now = self._clock()
        core = self.core
        if self._inbox:
            inbox, self._inbox = self._inbox, []
            began = time.perf_counter()
            for message in inbox:
                core.step(message, now)
                ended = time.perf_counter()
                observe_step(message, ended - began)
                began = ended
        if self._completed:
            number, self._completed = self._completed, 0
            core.persisted(number, now)
        self._discard_old_snapshots()
        if now >= self._gathers_until():
            self._proposer.put_into_log(self._wall_ns(), now)
        self._reads.ask(core, self._clock)
        if now >= core.heartbeat_at:
            HEARTBEAT_DELAY.observe(now - core.heartbeat_at)
        core.tick(now)
        self._do_duties(now)
        while (ready := core.ready(now)) is not None:
            self._perform(ready, now)
            if self._thread is not None and not ready.again:
                break

    def _perform(self, ready: Ready, now: float) -> None:
        if ready.messages:
            self._send(ready.messages)
        if ready.write is not None:
            if self._thread is not None:
                self._thread.submit(ready.write)
            else:
                self._store.perform([ready.write])
                self.core.persisted(ready.write.number, now)
            if ready.write.snapshot is not None:
                self._named_snapshot = ready.write.number, ready.write.snapshot
        for peer, meta in ready.snapshots:
            self._spawn(self._send_snapshot(peer, meta, self.core.term), "consensus-send-snapshot")
        for event in ready.events:
            self._elections.see(event, now)
            self._log(event)
        self._proposer.settle(now)
        self._see_leadership()
        self._reads.answer(ready.reads)
        if self._attachments:
            for attachment in self._attachments:
                attachment.wake()

    def _send(self, batch: Sequence[Message]) -> None:
        in_a_hurry = self._clock() < self._forwarded_at + HURRY_S
        by_peer: dict[PeerId, list[Message]] = {}
        for message in batch:
            by_peer.setdefault(message.to, []).append(message)
        for peer, messages in by_peer.items():
            unhurried = not in_a_hurry and all(isinstance(each, AppendRequest) and each.is_notice for each in messages)
            self._transport.send(peer, messages, unhurried=unhurried)

    def _log(self, event: Event) -> None:
        count_event(event)
        report.log_event(log, event, self.core.configuration)

    # -- messages ----------------------------------------------------------------------------------------------------

    def deliver(self, batch: Iterable[Message]) -> None:
        """Messages from other servers, in order. More than ``max_inbox`` waiting are dropped."""
        self._inbox.extend(batch)
        if len(self._inbox) > self._limits.max_inbox:
            self.dropped_messages += len(self._inbox) - self._limits.max_inbox
            del self._inbox[self._limits.max_inbox :]
        self._rouse()

    def unreachable(self, peer: PeerId) -> None:
        """The connection to a peer broke: what was under way is taken for lost."""
        self.core.unreachable(peer)

    # -- proposals ---------------------------------------------------------------------------------------------------

    async def propose(
        self,
        commands: Sequence[bytes],
        *,
        only_in_term: int = 0,
        level: int = 1,
        forwarded: bool = False,
        timeout_s: float = HOLD_TIMEOUT_S,
    ) -> list[Outcome]:
        """Has commands committed in order, and says of each where, or that it never will be, or that this is unknown.

        Raised, and then nothing was done: ``Busy``, ``NotLeader``, ``NoLeader``, ``NotReady``, ``BadRequest`` (too large). On a
        follower the commands go to the leader, once. ``only_in_term``: a duty of a leader, refused in any other term. ``level``: of the
        kinds of commands; ``Unsupported`` until every server understands it.
        """
        future = self.propose_here(commands, only_in_term=only_in_term, level=level, forwarded=forwarded)
        if future is None:
            return await self._forward(commands, only_in_term, level, forwarded, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return [UnknownOutcome(f"not decided within {timeout_s:g} s") for _ in commands]

    def propose_here(
        self, commands: Sequence[bytes], *, only_in_term: int = 0, level: int = 1, forwarded: bool = False
    ) -> asyncio.Future[list[Outcome]] | None:
        """The same on a leader, for who keeps the time and needs no task; None on a follower."""
        self._require_service()
        size = self._proposer.check(commands)
        if self.core.role is not Role.LEADER:
            return None
        future = self._proposer.add(commands, size, only_in_term, level)
        if forwarded:
            self._forwarded_at = self._clock()
        self._rouse()
        return future

    def _require_service(self) -> None:
        if self._stopped:
            raise NotReady("this server is stopping")
        if self._full is not None:
            raise Busy(str(self._full), retry_after_s=1.0)

    async def _forward(self, commands: Sequence[bytes], only_in_term: int, level: int, forwarded: bool, timeout_s: float) -> list[Outcome]:
        leader = self.core.leader
        if leader is None:
            raise NoLeader()
        if forwarded:
            raise NotLeader(leader.node_id)
        return await self._transport.forward(leader, commands, only_in_term, level, timeout_s)

    # -- reads -------------------------------------------------------------------------------------------------------

    def read_at_once(self, mode: ReadMode) -> int:
        """What ``read_index`` would return, if that is known here and now; else 0."""
        return 0 if self._stopped else self.core.read_at_once(mode, self._clock())

    async def read_index(self, mode: ReadMode, *, timeout_s: float = HOLD_TIMEOUT_S) -> int:
        """An index that no write acknowledged before this call exceeds: whoever has applied it reads linearizably. Waits
        for a leader, up to ``timeout_s``; then ``NoLeader``. Asked again when an answer is lost: a later one is as good."""
        clock = asyncio.get_running_loop().time
        until = clock() + timeout_s
        while (left := until - clock()) > 0 and not self._stopped:
            batch = self.join_read(mode)
            try:
                async with asyncio.timeout(min(left, self.read_attempt_s)):
                    index = await asyncio.shield(batch)
            except TimeoutError:
                self.forget_read(batch)
                index = 0
            if index:
                return index
            await self._leadership.wait_for_change(min(until - clock(), self.core.timing.heartbeat_interval_s))
        raise NoLeader()

    def join_read(self, mode: ReadMode) -> asyncio.Future[int]:
        """One attempt of ``read_index``, for who keeps the time and needs no task: the index, or 0 where another attempt is due. Shared:
        do not cancel it, but ``forget_read`` after ``read_attempt_s``."""
        if self._stopped:
            raise NoLeader()
        batch = self._reads.join(mode)
        self._rouse()
        return batch

    def forget_read(self, batch: asyncio.Future[int]) -> None:
        """Its answer may be lost: whoever waits for it has 0 now."""
        self._reads.forget(self.core, batch)

    @property
    def read_attempt_s(self) -> float:
        """After so long without an answer to an attempt it is taken for lost."""
        return self.core.timing.heartbeat_timeout_s * 2

    # -- leadership and membership -----------------------------------------------------------------------------------

    def _leadership_now(self) -> Leadership:
        core = self.core
        member = None if core.leader is None else core.configuration.by_id.get(core.leader)
        return Leadership(
            term=core.term,
            leader=core.leader,
            leader_name=report.name_of(core.leader, core.configuration),
            leader_address="" if member is None else member.address,
            is_leader=core.term_confirmed,
        )

    def _see_leadership(self) -> None:
        core = self.core
        seen = core.term, core.leader, core.term_confirmed, core.configuration
        if seen != self._seen_of_leadership:
            self._seen_of_leadership = seen
            if core.leader not in (None, self._leadership.value.leader):
                self._transport.led_by(core.leader)
            self._leadership.set(self._leadership_now())

    @property
    def leadership(self) -> Leadership:
        """Who leads, now."""
        return self._leadership.value

    def watch_leadership(self) -> AsyncIterator[Leadership]:
        """Who leads, now and after each change; a slow watcher misses steps in between, never the last."""
        return self._leadership.changes()

    @property
    def is_ready(self) -> bool:
        """Whether a leader is known, so that requests can be answered."""
        return self._leadership.value.leader is not None

    @property
    def last_contact_s(self) -> float:
        """Seconds since the leader was heard; 0 on the leader, infinity if never."""
        return 0.0 if self.core.role is Role.LEADER else self._clock() - self.core.leader_contact_at

    def contact_ages_s(self) -> dict[PeerId, float]:
        """On the leader: seconds since each peer answered."""
        now = self._clock()
        return {peer: max(0.0, now - progress.contact_at) for peer, progress in self.core.progress.items()}

    def quorum_contact_s(self) -> float | None:
        """On the leader of several: seconds since a quorum last answered."""
        if self.core.role is not Role.LEADER or len(self.core.configuration.voters) < 2:
            return None
        return max(0.0, self._clock() - self.core.quorum_contact_at())

    def oldest_entry_age_s(self) -> float:
        """On the leader, once a snapshot has taken the place of its first entries: seconds since the oldest of the rest was written."""
        oldest_ns = self.core.log.base_time_ns
        if self.core.role is not Role.LEADER or not oldest_ns:
            return 0.0
        return max(0.0, (self._wall_ns() - oldest_ns) / 1e9)

    @property
    def applied_index(self) -> int:
        """How far the primary state machine is; without one, what could be handed to it."""
        return self.core.deliverable_index if self._primary is None else self._primary.applied_index

    def bootstrap(self, *, members: Sequence[Member] = (), node_name: str = "", address: str = "") -> str:
        """Starts a new cluster on an empty store: of ``members``, or of this server alone. Returns its ID."""
        if not members:
            members = (Member(self.core.id, Suffrage.VOTER, node_name, address),)
        return self.bootstrap_as(Configuration(str(uuid.uuid4()), tuple(sorted(members, key=lambda member: member.id))))

    def bootstrap_as(self, configuration: Configuration) -> str:
        """Writes an agreed first configuration, the same on every server that it names."""
        self.core.bootstrap(configuration)
        self._rouse()
        return configuration.cluster_id

    async def change_membership(
        self, action: ChangeAction, member: Member, *, only_at_index: int = 0, timeout_s: float = HOLD_TIMEOUT_S
    ) -> int:
        """One single-server change; returns when it is committed, with its index. ``UnknownOutcome`` if that is not learned."""
        index = self.core.change_membership(action, member, self._wall_ns(), self._clock(), only_at_index=only_at_index)
        future = self._proposer.follow(index, self._clock())
        self._rouse()
        if index <= self.core.commit_index:
            return index
        try:
            async with asyncio.timeout(timeout_s):
                (outcome,) = await future
        except TimeoutError:
            raise UnknownOutcome(f"the membership change was not decided within {timeout_s:g} s") from None
        if isinstance(outcome, Committed):
            return index
        raise outcome

    async def transfer_leadership(self, to: PeerId | None = None, *, timeout_s: float = HOLD_TIMEOUT_S) -> Leadership:
        """Hands leadership over and returns when another server has it. ``Timeout`` if it does not come to that."""
        term = self.core.term
        self.core.transfer(to, self._clock())
        self._rouse()
        try:
            async with asyncio.timeout(timeout_s):
                async for leadership in self.watch_leadership():
                    if leadership.term > term and leadership.leader is not None:
                        return leadership
                    if self.core.role is Role.LEADER and self.core.term == term and self.core.transfer_target is None:
                        break
        except TimeoutError:
            pass
        raise Timeout("leadership was not taken over in time")

    def stats(self) -> dict[str, str]:
        """The ``raft`` block of ``rostra info``."""
        return report.stats_of(self.core, self.applied_index, self._clock())

    # -- state machines ----------------------------------------------------------------------------------------------

    def attach(
        self,
        *,
        cluster_id: str,
        applied_index: int,
        applied_term: int,
        primary: bool,
        window_bytes: int = DEFAULT_WINDOW_BYTES,
    ) -> Attachment:
        """Connects a state machine that has applied up to ``applied_index``, an entry of ``applied_term``, of that cluster.

        If that is a place in this log, entries follow from there; else it is told to begin with a snapshot, or empty.
        Conflict if it belongs to another cluster, or wants to be primary while another is."""
        core = self.core
        if self._stopped:
            raise NotReady("this server is stopping")
        if cluster_id and cluster_id != core.cluster_id:
            if not core.cluster_id:
                raise NotReady("this server belongs to no cluster yet")
            raise Conflict(f"the state machine belongs to cluster {cluster_id}, this server to {core.cluster_id}")
        if applied_index > core.log.last_index:
            raise NotReady(f"this server's log ends at {core.log.last_index}, before the state machine's place {applied_index}")
        if primary and self._primary is not None:
            raise Conflict("another primary state machine is attached")
        known = core.log.term(applied_index) == applied_term
        attachment = Attachment(self, applied_index=applied_index, restore=not known, primary=primary, window_bytes=window_bytes)
        self._attachments.add(attachment)
        if primary:
            self._primary = attachment
        return attachment

    def detached(self, attachment: Attachment) -> None:
        """An attachment has ended."""
        self._attachments.discard(attachment)
        if self._primary is attachment:
            self._primary = None
            self._primary_missing_since = self._clock()
            self._rouse()

    def _duty_deadline(self) -> float:
        if self.core.role is not Role.LEADER or self._primary is not None or len(self.core.configuration.voters) < 2:
            return math.inf if self._primary is None else self._next_look
        return max(self._primary_missing_since + self._limits.primary_grace_s, self._next_look)

    def _do_duties(self, now: float) -> None:
        """Asks for a snapshot when the log has grown long; hands over when no state machine does the leader's work."""
        core = self.core
        if core.role is not Role.LEADER:
            self._primary_missing_since = now
        if now < self._next_look:
            return
        if self._full is not None and self._hand_over("disk full: handing over leadership", now):
            return
        if self._primary is not None:
            self._next_look = now + self._limits.snapshot_interval_s
            taken = 0 if core.snapshot is None else core.snapshot.index
            if self._primary.applied_index - taken >= self._limits.snapshot_threshold:
                self._primary.want_snapshot(self._primary.applied_index)
                self._snapshot_wanted_at = now
        elif core.role is Role.LEADER and now - self._primary_missing_since >= self._limits.primary_grace_s:
            self._hand_over("no state machine attached: handing over leadership", now)

    def _hand_over(self, why: str, now: float) -> bool:
        """Looks for another leader, every ``primary_grace_s`` until there is one. False if there cannot be any."""
        core = self.core
        if core.role is not Role.LEADER or len(core.configuration.voters) < 2:
            return False
        self._next_look = now + self._limits.primary_grace_s
        if core.transfer_target is None:
            log.warning("%s", why)
            core.transfer(None, now)
        return True

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def read_snapshot(self, meta: SnapshotMeta) -> AsyncIterator[bytes]:
        """The data of a snapshot, in chunks."""
        return self._snapshots.read(meta)

    async def save_snapshot(self, index: int, chunks: AsyncIterator[bytes]) -> SnapshotMeta:
        """Keeps a snapshot of the state after ``index``; then the log behind it may go."""
        meta = self.core.describe_snapshot(index, uuid.uuid4().hex)
        began = self._clock()
        size = await self._snapshots.save(meta, chunks)
        RAFT.observe("raft.snapshot.persist", self._clock() - began)
        if self._snapshot_wanted_at is not None:
            RAFT.observe("raft.snapshot.takeSnapshot", self._clock() - self._snapshot_wanted_at)
            self._snapshot_wanted_at = None
        self.core.snapshot_saved(meta)
        self._rouse()
        log.info("snapshot saved", extra={"index": meta.index, "term": meta.term, "size_bytes": size})
        return meta

    async def begin_snapshot(self, meta: SnapshotMeta, size: int) -> SnapshotWriter:
        """Opens a snapshot of ``size`` bytes that the leader sends, where an interrupted one left off: see the writer's ``offset``."""
        return await self._snapshots.begin(meta, size)

    async def write_snapshot(self, writer: SnapshotWriter, chunk: bytes) -> None:
        """Adds a chunk of the leader's snapshot."""
        await self._snapshots.write(writer, chunk)

    async def install_snapshot(
        self, writer: SnapshotWriter, meta: SnapshotMeta, term: int, leader: PeerId, *, size: int, checksum: int
    ) -> None:
        """The leader's snapshot is complete: the log now begins after it, unless it is further on already. ``StorageDamaged`` if it
        is not of that size and CRC-32."""
        await self._snapshots.finish(writer, size, checksum)
        self.deliver([SnapshotInstalled(meta.cluster_id, leader, self.core.id, term, meta=meta)])

    async def _send_snapshot(self, peer: PeerId, meta: SnapshotMeta, term: int) -> None:
        delivered, began = False, self._clock()
        try:
            delivered = await self._transport.send_snapshot(peer, meta, term, self._snapshots.store)
        except RostraError as error:
            log.warning("sending a snapshot failed", extra={"peer": peer.node_id, "error": str(error)})
        if delivered:
            RAFT.observe("raft.replication.installSnapshot", self._clock() - began, peer_id=peer.node_id)
        self.core.snapshot_sent(peer, delivered=delivered)
        self._rouse()

    def _discard_old_snapshots(self) -> None:
        """Once the store names the new one for good."""
        if self._named_snapshot is None or self._named_snapshot[0] > self.core.writes_completed:
            return
        _, latest = self._named_snapshot
        self._named_snapshot = None
        self._spawn(self._snapshots.discard_but(latest), "consensus-discard-snapshots")

    def _spawn(self, work: Coroutine[object, object, None], name: str) -> None:
        assert self._tasks is not None
        self._tasks.create_task(work, name=name)
