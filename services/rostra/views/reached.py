"""Waiting until a state, or the views of one, have reached a log index."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class ReachedIndex:
    """How far it has come, and those who wait for more."""

    def __init__(self) -> None:
        self.index = 0
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    def advance(self, index: int) -> None:
        """It has come so far. Where it is applied, what it changed was published before this call."""
        self.index = index
        while self._waiting and self._waiting[0][0] <= index:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    def restart(self, index: int) -> None:
        """The state is another one, which may be behind: those who wait go on waiting."""
        self.index = 0
        self.advance(index)

    async def reached(self, index: int) -> None:
        """Returns once everything up to ``index`` is in it."""
        if self.index < index:
            future = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (index, next(self._order), future))
            await future
