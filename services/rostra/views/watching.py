"""The Watch stream of a hub: keeps one open to some catalog, feeds the subscriptions, sends barriers.

The decisions are in ``subscriptions`` and ``barriers``; here are the tasks, the timers and the futures. Between two awaits
all changes are atomic, so a reader never sees half an event.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import random
from collections.abc import Callable

from rostra.clients.catalog_stream import CatalogStreamClient, WatchStream
from rostra.errors import NoLeader, NoServers, NotReady, RostraError, Unavailable
from rostra.model.consistency import Consistency, Contact
from rostra.rpc.back_off import BackOff
from rostra.rpc.together import run_together
from rostra.views import metrics
from rostra.views.barriers import Barrier, Barriers
from rostra.views.limits import HubLimits
from rostra.views.messages import BarrierAnswer, Delta, Ended, Resumed, SnapshotPart, WatchEvent
from rostra.views.near_leader import NearLeader
from rostra.views.reached import ReachedIndex
from rostra.views.rebalance import Rebalance
from rostra.views.silence import Silence
from rostra.views.subscriptions import Subscription, Subscriptions
from rostra.views.upstreams import Rotation, Upstream, Upstreams

log = logging.getLogger("rostra.views")


class Watching:
    """``connect`` makes the client for an upstream. ``positions`` order the events of all streams, see ``Subscriptions.covers``."""

    def __init__(
        self,
        upstreams: Upstreams,
        connect: Callable[[Upstream], CatalogStreamClient],
        *,
        hold_s: float,
        limits: HubLimits,
        rng: random.Random,
    ) -> None:
        self._upstreams = upstreams
        self._connect = connect
        self._hold_s = hold_s
        self._limits = limits
        positions = itertools.count(1)
        self.subscriptions = Subscriptions(positions, max_topics=limits.max_topics, idle_s=limits.idle_s)
        self.barriers: Barriers[asyncio.Future[Barrier]] = Barriers(positions, rng, hold_s, lambda: self._loop.create_future())
        self.upstream = ""
        self.silent = ""
        self.reached = ReachedIndex()
        self.reconnects = 0
        self._stream: WatchStream | None = None
        self._tallies = {each: metrics.BarrierTally(each.name.lower()) for each in (Consistency.DEFAULT, Consistency.CONSISTENT)}
        self._alone = True
        self._rotation = Rotation(rng)
        self._rebalance = Rebalance(rng, limits.rebalance_s)
        self._near_leader = NearLeader(rng, limits.leader_seats, limits.rebalance_s)
        self._move_to = ""
        self._back_off = BackOff(rng)
        self._contact = Contact()
        self._silence: Silence | None = None
        self._opened_at = 0.0
        self._to_send = asyncio.Event()
        self._expiry: asyncio.TimerHandle | None = None
        self._coming: dict[Subscription, asyncio.Future[None]] = {}
        self._stopped = False

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    @property
    def watch_id(self) -> int:
        """Of the stream that is open; 0: none is."""
        return self._stream.watch_id if self._stream is not None else 0

    @property
    def contact(self) -> Contact:
        """As the server last said; without a server no leader is known, and the time since grows. A move of our own is no loss."""
        if self.upstream or self._move_to:
            return self._contact
        unheard_ms = round((self._loop.time() - self._silence.heard_at) * 1000) if self._silence else 0
        last_contact_ms = self._contact.last_contact_ms + unheard_ms
        return dataclasses.replace(self._contact, known_leader=False, last_contact_ms=last_contact_ms)

    def barrier(self, consistency: Consistency) -> asyncio.Future[Barrier]:
        """What ``BarrierReader.barrier`` promises."""
        if self._stopped:
            raise NotReady("the views have stopped")
        if self.barriers.leaderless:
            raise self.gave_up()
        now = self._loop.time()
        future = self.barriers.join(consistency, now)
        if not self.barriers.in_flight(consistency):
            self._to_send.set()
        if self._expiry is None:
            self._expiry = self._loop.call_at(now + self._hold_s, self._expire)
        return future

    def barrier_at_once(self, consistency: Consistency, requests: int) -> Barrier | None:
        """What ``BarrierReader.barrier_at_once`` promises."""
        # A barrier sent before the lists are live would cover nothing.
        if self._stream is None or not self.subscriptions.lists_live:
            return None
        barrier = self.barriers.at_once(consistency, self._stream.reach)
        if barrier is not None:
            self._count(consistency, requests)
            self._fresh(barrier.index)
        return barrier

    def look_how_far(self) -> None:
        """Brings ``reached`` up to what the server has applied, if it is in this process and all it has sent is in the views."""
        if self._stream is not None and self.subscriptions.lists_live:
            self._come_to(self._stream.reach(Consistency.STALE))

    async def live(self, subscription: Subscription) -> None:
        """Returns once the topic, which the caller has pinned, is live on a stream. Raises what the server refused it with."""
        self._to_send.set()
        if self._stopped:
            raise NotReady("the views have stopped")
        if subscription.live_at is None:
            future = self._coming.get(subscription)
            if future is None:
                future = self._coming[subscription] = self._loop.create_future()
            await asyncio.shield(future)

    def probe(self) -> None:
        """Somebody waits for this server in another way: asks it for a barrier, so that its silence is noticed soon. ``silent`` is the
        address of the last server that was given up for its silence and has not answered since."""
        if not (self._stopped or self.barriers.leaderless or self.barriers.in_flight(Consistency.DEFAULT)):
            self.barrier(Consistency.DEFAULT)

    def wake(self) -> None:
        """There may be something to send."""
        self._to_send.set()

    def gave_up(self) -> RostraError:
        """What to tell a caller whose time is up without a leader."""
        sought = () if self.upstream else self._upstreams.sought()
        return NoServers(sought) if sought or not self._upstreams.candidates() else NoLeader()

    async def run(self) -> None:
        """Until cancelled, which refuses all who wait."""
        try:
            while True:
                upstream = self._rotation.choose(self._upstreams.candidates(), self._move_to)
                if upstream is not None:
                    await self._try(upstream)
                if not self._move_to:
                    await asyncio.sleep(self._back_off.next_delay_s())
        finally:
            self._stop()

    async def _try(self, upstream: Upstream) -> None:
        try:
            async with self._connect(upstream).watch() as stream:
                self._open(stream, upstream)
                await run_together(
                    views_watch_receiver=self._receive(stream),
                    views_watch_sender=self._send(stream),
                    views_watchdog=self._watch_over(upstream),
                )
        except RostraError as error:
            self._lost(upstream, error)
        finally:
            self._lose()

    def _lost(self, upstream: Upstream, error: RostraError) -> None:
        metrics.RECONNECTS.labels("watch").inc()
        self.reconnects += 1
        if self.upstream and self._move_to:
            log.info("catalog left", extra={"upstream": upstream.address, "reason": str(error)})
            return
        # Only the first failure is news; attempts follow each other too fast to tell an operator of each.
        level = logging.INFO if self.upstream else logging.DEBUG
        event = "catalog lost" if self.upstream else "catalog not reached"
        log.log(level, event, extra={"upstream": upstream.address, "error": str(error)})
        self._move_to = ""
        self._near_leader.lost(upstream.address, self._loop.time())

    def _open(self, stream: WatchStream, upstream: Upstream) -> None:
        log.info("catalog found", extra={"upstream": upstream.address, "cluster_id": stream.cluster_id})
        if stream.cluster_id != self.subscriptions.cluster_id:
            self.reached.restart(0)
        self._contact = self.contact
        self._stream, self.upstream, self._move_to = stream, upstream.address, ""
        if self.silent == upstream.address:
            self.silent = ""
        self._opened_at = self._loop.time()
        self._silence = Silence(self._limits.silence_s, self._limits.asked_silence_s, self._opened_at)
        self._look_around()
        self._share(self._opened_at)
        self.subscriptions.open(stream.cluster_id)
        self._to_send.set()

    def _lose(self) -> None:
        self._stream, self.upstream = None, ""
        self.subscriptions.close()
        self.barriers.lost()
        metrics.LIVE_TOPICS.set(0)

    def _stop(self) -> None:
        self._stopped = True
        if self._expiry is not None:
            self._expiry.cancel()
        for barrier in self.barriers.give_up():
            _refuse(barrier, NotReady("the views have stopped"))
        for coming in self._coming.values():
            _refuse(coming, NotReady("the views have stopped"))
        self._coming.clear()

    async def _send(self, stream: WatchStream) -> None:
        while True:
            request = self.subscriptions.take()
            if request is not None:
                await stream.send(request)
            # A barrier sent before the lists are live would cover nothing.
            elif self.subscriptions.lists_live and (closed := self.barriers.take(self._loop.time(), self._patience_s())):
                barrier, served = closed
                self._count(barrier.consistency, served)
                if index := stream.reach(barrier.consistency):
                    self._answered(BarrierAnswer(barrier.number, index, None))
                else:
                    await stream.send(barrier)
            else:
                self._to_send.clear()
                await self._to_send.wait()

    async def _receive(self, stream: WatchStream) -> None:
        silence = self._silence
        assert silence is not None, "the stream is open"
        while True:
            event = await stream.receive()
            silence.hear(self._loop.time())
            self._take(event)

    def _take(self, event: WatchEvent) -> None:
        match event:
            case Delta():
                self._came_live(self.subscriptions.delta(event))
            case BarrierAnswer():
                self._answered(event)
            case Contact():
                self._contact = event
                if event.known_leader:
                    self.barriers.leader_seen()
            case SnapshotPart():
                if not event.more:
                    metrics.TOPICS_CAME_LIVE.labels("snapshot").inc()
                self._came_live(self.subscriptions.snapshot(event))
            case Resumed():
                metrics.TOPICS_CAME_LIVE.labels("resumed").inc()
                self._came_live(self.subscriptions.resumed(event))
            case Ended():
                self._ended(event)

    def _came_live(self, subscription: Subscription | None) -> None:
        if subscription is None:
            return
        if self.subscriptions.lists_live:
            self._back_off.reset()
            self._to_send.set()
        coming = self._coming.pop(subscription, None)
        if coming is not None and not coming.done():
            coming.set_result(None)

    def _ended(self, event: Ended) -> None:
        subscription = self.subscriptions.ended(event)
        coming = self._coming.pop(subscription, None) if subscription else None
        if coming is not None:
            _refuse(coming, event.error)

    def _answered(self, answer: BarrierAnswer) -> None:
        if answer.error is not None:
            delay_s = self.barriers.failed(answer.number, self._loop.time())
            if self._alone:
                self._loop.call_later(delay_s, self._to_send.set)
                return
            raise Unavailable(f"barrier not reached: {answer.error}")
        reached = self.barriers.reached(answer.number, answer.index)
        self._fresh(answer.index)
        if reached is not None:
            barrier, futures = reached
            for future in futures:
                if not future.done():
                    future.set_result(barrier)
            self._to_send.set()

    def _fresh(self, index: int) -> None:
        """The server was as fresh as its leader, and the views have what it had at ``index``."""
        self._come_to(index)
        if not (self._contact.known_leader and self._contact.caught_up):
            self._contact = dataclasses.replace(self._contact, known_leader=True, last_contact_ms=0, caught_up=True)

    def _come_to(self, index: int) -> None:
        if index > self.reached.index:
            self.reached.advance(index)

    def _count(self, consistency: Consistency, served: int) -> None:
        tally = self._tallies[consistency]
        tally.barriers += 1
        tally.reads += served

    async def _watch_over(self, upstream: Upstream) -> None:
        silence = self._silence
        assert silence is not None, "the stream is open"
        while True:
            await asyncio.sleep(silence.next_look - self._loop.time())
            now = self._loop.time()
            self._look_around()
            metrics.QUEUE_DEPTH.labels("barriers").set(self.barriers.depth)
            metrics.LIVE_TOPICS.set(self.subscriptions.live_count)
            for tally in self._tallies.values():
                tally.show()
            self._move_to = self._share(now)
            if self._move_to:
                raise Unavailable(f"{self._move_to} leads, or came and takes a share")
            if not self._alone and silence.is_overdue(now):
                self.probe()
            if reason := silence.look(now, self._asked_at()):
                self.silent = upstream.address
                raise Unavailable(reason)
            if self.barriers.overdue(now):
                raise Unavailable("the server did not answer a barrier")
            # Cut off with a server that sees no leader: another one may.
            lonely = self.barriers.leaderless and not self._contact.known_leader
            if lonely and not self._alone and now - self._opened_at > self._limits.patience_s:
                raise Unavailable("the server knows no leader")

    def _expire(self) -> None:
        self._expiry = None
        expired = self.barriers.expire(self._loop.time())
        for future in expired:
            _refuse(future, self.gave_up())
        deadline = self.barriers.deadline
        if deadline is not None:
            self._expiry = self._loop.call_at(deadline, self._expire)

    def _patience_s(self) -> float:
        return self._hold_s if self._alone else self._limits.patience_s

    def _asked_at(self) -> float | None:
        """Since when somebody waits for this server's word who could have another's."""
        if self._alone:
            return None
        if self.subscriptions.lists_live:
            return self.barriers.asked_at
        return self._opened_at if self.barriers.depth else None

    def _share(self, now: float) -> str:
        """The server that is to have this process, as it leads or as it came; empty: it stays where it is."""
        addresses = [candidate.address for candidate in self._upstreams.candidates()]
        newcomer = self._rebalance.look(addresses, self.upstream, now)
        leader = self._contact.leader_address if self._contact.known_leader else ""
        population = self._upstreams.population()
        if leader in addresses and self._near_leader.has_seat(population):
            return self._near_leader.look(leader, addresses, self.upstream, population, now)
        return newcomer

    def _look_around(self) -> None:
        self._alone = all(candidate.address == self.upstream for candidate in self._upstreams.candidates())


def _refuse(future: asyncio.Future[Barrier] | asyncio.Future[None], error: RostraError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # nobody may be left to ask, and that is no fault
