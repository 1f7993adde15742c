"""Results of a Write stream: taken in batches as large as they have become since the last.

A write on its way is a place here and no task: a thousand of them cost a thousand small objects, and one wake-up of the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from rostra.catalog.writes import Waiter
from rostra.errors import RostraError
from rostra.rpc.status import detail_from_error
from rostra.v1 import catalog_stream_pb2

MAX_WRITES: Final = 4096
"""Writes of one stream whose fate is not known; further ones are not read, which the writer feels as a full stream."""


class Place:
    """A write of the stream on its way."""

    __slots__ = ("_results", "_sequence", "waiter")

    def __init__(self, results: StreamResults, sequence: int) -> None:
        self._results = results
        self._sequence = sequence
        self.waiter: Waiter | None = None

    def end(self, index: int, error: RostraError | None) -> None:
        """It has a result."""
        if error is None:
            told = self._results.tell_watch(index)
            result = catalog_stream_pb2.WriteResult(sequence=self._sequence, index=index, watch_told=told)
        else:
            result = catalog_stream_pb2.WriteResult(sequence=self._sequence, error=detail_from_error(error))
        self._results.end(self, result)


class StreamResults:
    """``leave`` is told of each write that is still on its way when the stream ends, ``tell_watch`` of each index at which one was applied:
    before its result is sent, so that who watches here mostly has it before the result. It says whether the writer will be told there."""

    def __init__(self, leave: Callable[[Waiter], None], tell_watch: Callable[[int], bool]) -> None:
        self._leave = leave
        self.tell_watch = tell_watch
        self._under_way: dict[Place, None] = {}
        self._results: list[catalog_stream_pb2.WriteResult] = []
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._no_more = False

    @property
    def is_full(self) -> bool:
        """Whether so many are under way that no further one may start."""
        return len(self._under_way) >= MAX_WRITES

    async def room(self) -> None:
        """Waits until some have ended."""
        self._has_room.clear()
        await self._has_room.wait()

    def begin(self, sequence: int) -> Place:
        """A write starts."""
        place = Place(self, sequence)
        self._under_way[place] = None
        return place

    def end(self, place: Place, result: catalog_stream_pb2.WriteResult) -> None:
        """It has a result."""
        del self._under_way[place]
        self._results.append(result)
        self._changed.set()
        self._has_room.set()

    def no_more(self) -> None:
        """No further write will start."""
        self._no_more = True
        self._changed.set()

    async def take(self) -> list[catalog_stream_pb2.WriteResult] | None:
        """The results since the last time; None once everything is answered."""
        while not self._results:
            if self._no_more and not self._under_way:
                return None
            self._changed.clear()
            await self._changed.wait()
        results, self._results = self._results, []
        return results

    def leave(self) -> None:
        """The stream has ended, and with it the interest in what is under way."""
        for place in self._under_way:
            if place.waiter is not None:
                self._leave(place.waiter)
        self._under_way.clear()
