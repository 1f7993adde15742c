"""How fresh a read is: read rounds, coalesced (docs/architecture.md, "A read").

A round serves exactly the reads that had asked before it was sent: the batch is closed first, then the round goes out.
One round a consistency is under way and one fills, so the rate of rounds is that of the answers, whatever the rate of reads.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from rostra.catalog import metrics
from rostra.clients.consensus import ConsensusClient, ReadIndexStream, RoundResult
from rostra.errors import NoLeader, RostraError
from rostra.model.consistency import Consistency
from rostra.rpc.back_off import BackOff
from rostra.rpc.together import run_together
from rostra.views.reached import ReachedIndex

ASK_AGAIN_S: Final = 0.02
"""Pause after a round that could not be answered."""

_ROUNDS: Final = (Consistency.DEFAULT, Consistency.CONSISTENT)


class _Batches:
    """``filling`` waits for the next round; ``sent`` is served by the one under way."""

    __slots__ = ("filling", "number", "sent")

    def __init__(self) -> None:
        self.filling: list[asyncio.Future[int]] = []
        self.sent: list[asyncio.Future[int]] = []
        self.number = 0


class Reads:
    """``patience_s`` says how long a leader is worth waiting for, given how long the caller would."""

    def __init__(
        self,
        consensus: ConsensusClient,
        applied: ReachedIndex,
        patience_s: Callable[[float], float],
        *,
        hold_s: float,
        rng: random.Random,
    ) -> None:
        self._consensus = consensus
        self._applied = applied
        self._patience_s = patience_s
        self._hold_s = hold_s
        self._rng = rng
        self._batches = {consistency: _Batches() for consistency in _ROUNDS}
        self._asked = asyncio.Event()
        self._last_number = 0

    async def be_fresh(self, consistency: Consistency, timeout_s: float | None = None, near: int | None = None) -> int:
        """Returns once the state is as fresh as asked, with the index that it has reached at least. A stale read is
        fresh enough at once. Raises ``NoLeader`` when that takes too long. ``near``: what ``near`` has just said."""
        if consistency is Consistency.STALE:
            return self._applied.index
        limit_s = self._hold_s if timeout_s is None else min(timeout_s, self._hold_s)
        limit_s = min(limit_s, self._patience_s(self._hold_s))
        if limit_s <= 0:
            raise NoLeader
        try:
            async with asyncio.timeout(limit_s):
                index = (self.near(consistency) if near is None else near) or await self._round(consistency)
                await self._applied.reached(index)
        except TimeoutError:
            raise NoLeader from None
        return index

    def at_once(self, consistency: Consistency) -> int:
        """The index that ``be_fresh`` would return, if the state is as fresh as asked already and that is known without asking
        another server; else 0."""
        if consistency is Consistency.STALE:
            return self._applied.index
        index = self.near(consistency)
        return index if index <= self._applied.index else 0

    def near(self, consistency: Consistency) -> int:
        """The answer of a consensus in this process that need not ask either (the leader, by its lease); else 0. A round would come
        to the same by way of half a dozen tasks."""
        if consistency not in self._batches:
            return 0
        return self._consensus.read_index_at_once(consistency)

    async def run(self) -> None:
        """For ever: keeps a stream to consensus and what is asked on it."""
        backoff = BackOff(self._rng)
        while True:
            try:
                async with self._consensus.read_index() as stream:
                    backoff.reset()
                    await run_together(receive=self._receive(stream), send=self._send(stream))
            except RostraError:
                pass  # the driver, which also depends on consensus, says why in the log
            self._stream_lost()
            await asyncio.sleep(backoff.next_delay_s())

    async def _round(self, consistency: Consistency) -> int:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._batches[consistency].filling.append(future)
        self._asked.set()
        return await future

    async def _receive(self, stream: ReadIndexStream) -> None:
        while True:
            self._take(await stream.receive())

    async def _send(self, stream: ReadIndexStream) -> None:
        while True:
            self._asked.clear()
            for consistency, batches in self._batches.items():
                batches.filling = [future for future in batches.filling if not future.done()]
                if batches.filling and not batches.sent:
                    batches.sent, batches.filling = batches.filling, []
                    self._last_number += 1
                    batches.number = self._last_number
                    metrics.READ_ROUNDS.labels(consistency.name.lower()).inc()
                    await stream.send(batches.number, consistency, self._hold_s)
            await self._asked.wait()

    def _take(self, result: RoundResult) -> None:
        for batches in self._batches.values():
            if batches.number != result.round:
                continue
            sent, batches.sent = batches.sent, []
            for future in sent:
                if future.done():
                    continue
                if result.error is None:
                    future.set_result(result.index)
                elif isinstance(result.error, NoLeader):
                    future.set_exception(NoLeader())
                else:
                    batches.filling.append(future)  # this server could not say: ask again until the reader gives up
            if result.error is None:
                self._asked.set()
            else:
                asyncio.get_running_loop().call_later(ASK_AGAIN_S, self._asked.set)

    def _stream_lost(self) -> None:
        """Those whose round was under way wait for the next, with those who have asked since."""
        for batches in self._batches.values():
            batches.filling = batches.sent + batches.filling
            batches.sent = []
            batches.number = 0
        self._asked.set()
