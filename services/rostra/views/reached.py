"""Waiting until a state, or the views of one, have reached a log index."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Final

FEW: Final = 16
"""Who gave up and may stay."""


class ReachedIndex:
    """How far it has come, and those who wait for more."""

    def __init__(self) -> None:
        self.index = 0
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._gave_up = 0

    def __len__(self) -> int:
        """How many wait, and a few who have given up."""
        return len(self._waiting)

    def advance(self, index: int) -> None:
        """It has come so far. Where it is applied, what it changed was published before this call."""
        self.index = index
        while self._waiting and self._waiting[0][0] <= index:
            future = heapq.heappop(self._waiting)[2]
            if future.cancelled():
                self._gave_up -= 1
            elif not future.done():
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
            try:
                await future
            finally:
                if future.cancelled():
                    self._forget_some()

    def _forget_some(self) -> None:
        """One has given up. It is taken out with the others who did, once they are many: so that costs little for each."""
        self._gave_up += 1
        if self._gave_up > FEW and self._gave_up * 2 > len(self._waiting):
            self._waiting = [waiting for waiting in self._waiting if not waiting[2].cancelled()]
            heapq.heapify(self._waiting)
            self._gave_up = 0
