"""The hub: this process's views of the catalog, one for all its roles (docs/architecture.md, "A read").

How to use it
-------------

The composition makes one ``Hub`` for each process, runs ``await hub.run()`` in its task group, and gives the hub to dns and
gateway, who see it as ``Reader``, ``BarrierReader`` and ``Writer`` (``rostra.views.reader``). ``run`` never fails for want of a
catalog: it looks for one until cancelled. All methods belong to the one event loop of the process.

- ``peek`` is the fast path for stale reads: synchronous, no task, no allocation but the ``Reading``. It subscribes what is
  not yet; None then means "not yet", and ``read`` waits for it.
- ``read`` does any consistency. ``barrier`` and ``peek(topics, barrier)`` are the same in two halves, for who answers many
  default reads by one callback; ``barrier_at_once`` is its short way to a leader in this process.
- ``wait`` asks ``changed`` after changes of the views, never otherwise. It takes no barrier; a blocking query that times out
  does so itself, by ``read``.
- ``write`` returns when this process's views show the write, or 50 ms after it was applied.

Any of them raises ``Busy`` when a name is asked for and every place for topics is taken by reads under way.

Views are live and shared: use a ``Reading`` before the next await, and change nothing in it. Views of topics that were let
go (idle for ten minutes, or more than the cap of others wanted) stop changing, so do not keep them either.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rostra.clients.catalog_stream import CatalogStreamClient, prepare_write
from rostra.errors import NotReady, RostraError
from rostra.model.catalog import Command
from rostra.model.consistency import Consistency, Contact
from rostra.model.identity import Identity
from rostra.model.topics import Topic
from rostra.rpc.together import run_together
from rostra.views.barriers import Barrier
from rostra.views.limits import DEFAULT_LIMITS, HubLimits
from rostra.views.lookup import Lookup
from rostra.views.reader import Reading
from rostra.views.subscriptions import Pins, Subscription
from rostra.views.upstreams import Upstream, Upstreams
from rostra.views.view import View
from rostra.views.waiting import Waiting
from rostra.views.watching import Watching
from rostra.views.writing import Writing

HOLD_S: Final = 7.0
"""How long a default or consistent read or a write waits for a leader: Consul's default for ``rpc_hold_timeout``."""

FIRST_SNAPSHOT_S: Final = 1.0
"""How long a stale read waits for a topic that was never seen."""

CATCH_UP_S: Final = 0.050
"""How long a write that is done waits for this process's views to show it."""


class Hub:
    """Implements ``BarrierReader`` and ``Writer``. ``role`` is what it calls itself to catalogs; they hand on to another ``datacenter``."""

    def __init__(
        self,
        upstreams: Upstreams,
        identity: Identity,
        *,
        role: str = "gateway",
        datacenter: str = "",
        hold_s: float = HOLD_S,
        limits: HubLimits = DEFAULT_LIMITS,
        rng: random.Random | None = None,
    ) -> None:
        def connect(upstream: Upstream) -> CatalogStreamClient:
            return CatalogStreamClient(upstream.channel, identity, role, datacenter)

        self._hold_s = hold_s
        self._limits = limits
        rng = rng or random.Random()
        self._watching = Watching(upstreams, connect, hold_s=hold_s, limits=limits, rng=rng)
        self._writing = Writing(upstreams, connect, self._watching, limits=limits, rng=rng)
        self._subscriptions = self._watching.subscriptions
        self._lookup = Lookup(self._subscriptions)
        self._waiting = Waiting(self._look)

    async def run(self) -> None:
        """Until cancelled; then all who wait are refused with ``NotReady``."""
        try:
            await run_together(watch=self._watching.run(), write=self._writing.run(), sweep=self._sweep())
        finally:
            self._waiting.refuse(NotReady("the views have stopped"))

    @property
    def ready(self) -> bool:
        """Whether the lists were ever seen, so that stale reads are answered."""
        return self._subscriptions.nodes.loaded and self._subscriptions.services.loaded

    @property
    def contact(self) -> Contact:
        return self._watching.contact

    @property
    def changes(self) -> int:
        return self._subscriptions.changes

    @property
    def upstream(self) -> str:
        """Address of the catalog that the views live on now; empty while there is none."""
        return self._watching.upstream

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        """For ``rostra info``."""
        numbers = {
            "upstream": self._watching.upstream,
            "cluster_id": self._subscriptions.cluster_id,
            "topics": str(len(self._subscriptions)),
            "live_topics": str(self._subscriptions.live_count),
            "reconnects": str(self._watching.reconnects),
        }
        return {"views": numbers}

    def barrier(self, consistency: Consistency) -> asyncio.Future[Barrier]:
        return self._watching.barrier(consistency)

    def barrier_at_once(self, consistency: Consistency, requests: int) -> Barrier | None:
        return self._watching.barrier_at_once(consistency, requests)

    def peek(self, topics: Sequence[Topic], barrier: Barrier | None = None) -> Reading | None:
        now = asyncio.get_running_loop().time()
        views: list[View] = []
        for topic in topics:
            view, source = self._lookup.find(topic, now)
            if source.loaded and (barrier is None or self._subscriptions.covers(barrier, source)):
                views.append(view)
        if self._subscriptions.has_requests:
            self._watching.wake()
        if len(views) < len(topics):
            return None
        return Reading(tuple(views), self._watching.contact, barrier.consistency if barrier else Consistency.STALE)

    async def read(self, topics: Sequence[Topic], consistency: Consistency, *, timeout_s: float | None = None) -> Reading:
        if consistency is Consistency.STALE:
            return self.peek(topics) or await self._first(topics, timeout_s)
        deadline = asyncio.get_running_loop().time() + (self._hold_s if timeout_s is None else timeout_s)
        if timeout_s is None:
            # The usual way makes no timer: the hold time of the batch is this request's.
            barrier = self.barrier_at_once(consistency, 1) or await asyncio.shield(self.barrier(consistency))
            return self.peek(topics, barrier) or await self._fresh(topics, consistency, deadline, barrier)
        return await self._fresh(topics, consistency, deadline, None)

    async def wait(self, topics: Sequence[Topic], changed: Callable[[Reading], bool], *, timeout_s: float) -> Reading:
        return await self._waiting.wait(tuple(topics), changed, timeout_s)

    async def write(self, command: Command, *, request_id: bytes = b"", timeout_s: float | None = None) -> int:
        prepared = prepare_write(command, request_id or os.urandom(16))
        applied = await self._writing.write(prepared, self._hold_s if timeout_s is None else timeout_s)
        if not applied.watch_told:
            await self.caught_up(applied.index, timeout_s=CATCH_UP_S)
        elif self._watching.reached.index < applied.index:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CATCH_UP_S):
                    await self._watching.reached.reached(applied.index)
        return applied.index

    async def caught_up(self, index: int, *, timeout_s: float) -> bool:
        """By a barrier, shared with everyone's: an index alone does not say which topics a write changed. A catalog in this process, which
        has mostly applied the write itself, tells at once how far the views have come."""
        reached = self._watching.reached
        if reached.index < index:
            self._watching.look_how_far()
        if reached.index < index:
            try:
                async with asyncio.timeout(timeout_s):
                    while reached.index < index:
                        await asyncio.shield(self.barrier(Consistency.DEFAULT))
            except (TimeoutError, RostraError):
                return False
        return True

    def _look(self, topics: Sequence[Topic]) -> tuple[Reading | None, Sequence[Subscription]]:
        return self.peek(topics), [self._source(topic) for topic in topics]

    def _source(self, topic: Topic) -> Subscription:
        return self._lookup.find(topic, asyncio.get_running_loop().time())[1]

    async def _first(self, topics: Sequence[Topic], timeout_s: float | None) -> Reading:
        longest_s = FIRST_SNAPSHOT_S if timeout_s is None else min(timeout_s, FIRST_SNAPSHOT_S)
        return await self.wait(topics, lambda _: True, timeout_s=longest_s)

    async def _fresh(self, topics: Sequence[Topic], consistency: Consistency, deadline: float, barrier: Barrier | None) -> Reading:
        """Takes turns waiting for topics to be live and for a barrier, until one barrier covers all topics."""
        with Pins() as pins:
            try:
                async with asyncio.timeout_at(deadline):
                    while True:
                        if barrier is not None:
                            await self._live(topics, pins)
                            if reading := self.peek(topics, barrier):
                                return reading
                        barrier = await asyncio.shield(self.barrier(consistency))
                        if reading := self.peek(topics, barrier):
                            return reading
            except TimeoutError:
                raise self._watching.gave_up() from None

    async def _live(self, topics: Sequence[Topic], pins: Pins) -> None:
        """A name that its list does not know is as live as the list. Pinned, or reads under way would push each other's
        topics out for ever where more names are asked for than there is room."""
        for topic in topics:
            while pins.add(source := self._source(topic)).live_at is None:
                await self._watching.live(source)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._limits.idle_s / 8)
            self._subscriptions.sweep(asyncio.get_running_loop().time())
            self._watching.wake()
