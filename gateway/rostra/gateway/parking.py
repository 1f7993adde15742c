"""Blocking queries that wait, in the protocol and not in tasks: one task watches for all who wait for the same answer.

A parked query is its connection, one timer and a place in a set. When the answer changed, all who wait for it get the same bytes, in
slices of a millisecond so that thousands do not hold up the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from rostra.errors import RostraError
from rostra.gateway.read import Read
from rostra.gateway.reads import Reads
from rostra.gateway.resultsets import ResultSet
from rostra.gateway.slices import is_quick
from rostra.views.reader import Reading

SLICE_S: Final = 0.001
LOOK_AGAIN_S: Final = 600.0
"""The watch of an answer is renewed so often; nothing depends on it."""
RETRY_S: Final = 0.25
"""After the views could not be watched (nothing was ever received, or there is no place for the topic)."""


Wake = Callable[[Reading | None, dict[Read, bytes]], None]
"""Called once: with the reading that a query is due for, or None when its time is up; and with the answers that others who are woken in the
same slice were given, to take and to add to."""


class Parked:
    """One query that waits."""

    __slots__ = ("_lot", "_timer", "_wake", "index")

    def __init__(self, lot: _Lot, index: int, wake: Wake, wait_s: float) -> None:
        self.index = index
        self._lot = lot
        self._wake = wake
        self._timer = asyncio.get_running_loop().call_later(wait_s, self.end, None, {})

    def end(self, reading: Reading | None, answers: dict[Read, bytes]) -> None:
        """Leaves, and wakes the query."""
        self.leave()
        self._wake(reading, answers)

    def leave(self) -> None:
        """Leaves without a word: the client is gone."""
        self._timer.cancel()
        self._lot.remove(self)


class _Lot:
    """All who wait for one answer."""

    def __init__(self, parking: Parking, read: Read) -> None:
        self._parking = parking
        self._read = read
        self._results: ResultSet = read.results
        self._parked: set[Parked] = set()
        self._watch: asyncio.Task[None] | None = None

    def add(self, parked: Parked) -> None:
        self._parked.add(parked)
        if self._watch is None:
            self._watch = self._parking.spawn(self._run())

    def remove(self, parked: Parked) -> None:
        self._parked.discard(parked)
        self._parking.left()
        if not self._parked:
            self.close()

    def close(self) -> None:
        """Nobody waits any longer."""
        self._parking.forget(self._results)
        watch, self._watch = self._watch, None  # a task that was cancelled holds its frames, which hold this
        if watch is not None and watch is not asyncio.current_task():
            watch.cancel()

    async def _run(self) -> None:
        while self._parked:
            try:
                reading = await self._parking.reads.reader.wait(self._read.topics, self._any_due, timeout_s=LOOK_AGAIN_S)
            except RostraError:
                await asyncio.sleep(RETRY_S)
            else:
                await self._wake_due(reading)

    def _any_due(self, reading: Reading) -> bool:
        if not is_quick(self._read, reading.views):
            return True  # which ``_wake_due`` finds out, in slices
        results = self._results.refresh(reading.views)
        return any(results.is_due(parked.index) for parked in self._parked)

    async def _wake_due(self, reading: Reading) -> None:
        loop, results = asyncio.get_running_loop(), self._results
        await self._parking.reads.slices.refreshed(self._read, reading.views)
        due = [parked for parked in self._parked if results.is_due(parked.index)]
        end, answers = loop.time() + SLICE_S, dict[Read, bytes]()
        for parked in due:
            if loop.time() >= end:
                await asyncio.sleep(0)
                end, answers = loop.time() + SLICE_S, {}
            if parked in self._parked:
                parked.end(reading, answers)


class Parking:
    """The blocking queries of one gateway."""

    def __init__(self, reads: Reads, spawn: Callable[..., asyncio.Task[None]]) -> None:
        self.reads = reads
        self.spawn = spawn
        self._lots: dict[ResultSet, _Lot] = {}

    def park(self, read: Read, wake: Wake) -> Parked:
        """Until the read's answer is due, or its time is up. Raises ``Busy`` when too many wait already."""
        self.reads.places.take()
        lot = self._lots.get(read.results)
        if lot is None:
            lot = self._lots[read.results] = _Lot(self, read)
        parked = Parked(lot, read.options.index, wake, self.reads.wait_s(read))
        lot.add(parked)
        return parked

    def left(self) -> None:
        """One has left."""
        self.reads.places.give_back()

    def forget(self, results: ResultSet) -> None:
        """Nobody waits for this answer any longer."""
        self._lots.pop(results, None)
