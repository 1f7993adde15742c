"""The Write stream of a hub: opened for the first write, kept open, moved to another catalog when it breaks.

What is sent again, and what a writer is told, is decided in ``writes``.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rostra.clients.catalog_stream import CatalogStreamClient, NumberedWrite, PreparedWrite, WriteStream
from rostra.errors import NoLeader, NotReady, RostraError, Unavailable
from rostra.rpc.back_off import BackOff
from rostra.rpc.deadlines import Deadlines
from rostra.rpc.together import run_together
from rostra.views import metrics
from rostra.views.limits import HubLimits
from rostra.views.silence import ASKED_LOOK_S, LOOK_S
from rostra.views.upstreams import Rotation, Upstream, Upstreams
from rostra.views.watching import Watching
from rostra.views.writes import Decided, PendingWrite, Writes

log = logging.getLogger("rostra.views")


@dataclass(frozen=True, slots=True)
class Applied:
    """Where a write was applied, and whether this process's views will be told once they have come so far."""

    index: int
    watch_told: bool


Ticket = asyncio.Future[Applied]

_DEPTH: Final = metrics.QUEUE_DEPTH.labels("writes")


class Writing:
    """Prefers the catalog that ``watching`` watches, whose views show a write first."""

    def __init__(
        self,
        upstreams: Upstreams,
        connect: Callable[[Upstream], CatalogStreamClient],
        watching: Watching,
        *,
        limits: HubLimits,
        rng: random.Random,
    ) -> None:
        self._upstreams = upstreams
        self._connect = connect
        self._watching = watching
        self._patience_s = limits.patience_s
        self._writes: Writes[PreparedWrite, Ticket] = Writes(limits.max_pending_writes)
        self._deadlines: Deadlines[PendingWrite[PreparedWrite, Ticket]] = Deadlines(self._expire)
        self._rotation = Rotation(rng)
        self._back_off = BackOff(rng)
        self._to_send = asyncio.Event()
        self._stream: WriteStream | None = None
        self._watch_id = 0
        self._stopped = False

    async def write(self, prepared: PreparedWrite, timeout_s: float) -> Applied:
        """Returns once it was applied."""
        if self._stopped:
            raise NotReady("the views have stopped")
        if self._watching.barriers.leaderless:
            raise self._watching.gave_up()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        pending = self._writes.add(prepared, prepared.size, loop.create_future(), deadline)
        self._deadlines.add(pending, deadline)
        self._send_soon()
        try:
            return await pending.ticket
        finally:
            self._deadlines.discard(pending)
            self._writes.forget(pending)

    def _expire(self, pending: PendingWrite[PreparedWrite, Ticket]) -> None:
        if not pending.ticket.done():
            fate = pending.fate()
            pending.ticket.set_exception(self._watching.gave_up() if isinstance(fate, NoLeader) else fate)

    def _send_soon(self) -> None:
        """Who is alone is sent at once, if the catalog is near. Several wait until the next turn, and go together."""
        stream = self._stream
        if stream is not None and len(self._writes) == 1 and stream.writes_at_once:
            stream.send_at_once(self._take())
        else:
            self._to_send.set()

    def _take(self) -> list[NumberedWrite]:
        patience_s = self._patience_s if len(self._upstreams.candidates()) > 1 else math.inf
        batch = self._writes.take(asyncio.get_running_loop().time(), patience_s)
        return [NumberedWrite(pending.sequence, pending.payload, pending.timeout_s) for pending in batch]

    async def run(self) -> None:
        """Until cancelled, which tells all writers what is known of their writes."""
        try:
            while True:
                while not self._writes.queued:
                    self._to_send.clear()
                    await self._to_send.wait()
                prefer = self._watching.upstream if self._back_off.fresh else ""
                upstream = self._rotation.choose(self._upstreams.candidates(), prefer)
                if upstream is not None:
                    await self._try(upstream)
                await asyncio.sleep(self._back_off.next_delay_s())
        finally:
            self._stop()

    def _stop(self) -> None:
        self._stopped = True
        for pending in self._writes.give_up():
            if not pending.ticket.done():
                fate = pending.fate()
                pending.ticket.set_exception(NotReady("the views have stopped") if isinstance(fate, NoLeader) else fate)
                pending.ticket.exception()

    async def _try(self, upstream: Upstream) -> None:
        try:
            self._watch_id = self._watching.watch_id if self._watching.upstream == upstream.address else 0
            async with self._connect(upstream).write(self._watch_id) as stream:
                self._stream = stream
                await run_together(
                    views_write_receiver=self._receive(stream),
                    views_write_sender=self._send(stream),
                    views_write_watchdog=self._watch_over(upstream),
                )
        except RostraError as error:
            log.debug("write stream lost", extra={"upstream": upstream.address, "error": str(error)})
            metrics.RECONNECTS.labels("write").inc()
        finally:
            self._stream = None
            self._writes.lost()

    async def _send(self, stream: WriteStream) -> None:
        while True:
            if batch := self._take():
                await stream.send(batch)
            else:
                self._to_send.clear()
                await self._to_send.wait()

    async def _receive(self, stream: WriteStream) -> None:
        while True:
            refused: RostraError | None = None
            for result in await stream.receive():
                decided = self._writes.result(result)
                if isinstance(decided, Decided):
                    self._back_off.reset()
                    _tell(decided)
                elif decided is not None:
                    refused = result.error
            if refused is not None:
                # On to the next catalog, or to this one a little later, with all that is under way.
                raise Unavailable(f"a write was not done: {refused}")

    async def _watch_over(self, upstream: Upstream) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(ASKED_LOOK_S if len(self._writes) else LOOK_S)
            _DEPTH.set(len(self._writes))
            if self._watching.watch_id not in (0, self._watch_id) and not len(self._writes):
                raise Unavailable("the views live on another catalog, or another stream")
            if self._watching.silent == upstream.address:
                raise Unavailable("the views have given the server up")
            if self._writes.is_slow(loop.time()):
                self._watching.probe()
            if self._writes.overdue(loop.time()):
                raise Unavailable("the server did not answer a write")


def _tell(decided: Decided[Ticket]) -> None:
    if decided.ticket.done():
        return
    if decided.error is not None:
        decided.ticket.set_exception(decided.error)
    else:
        decided.ticket.set_result(Applied(decided.index, decided.watch_told))
