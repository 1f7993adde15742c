"""Readers that wait for an index: all that came in one turn share one question to the core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from rostra.consensus.core import Core
from rostra.consensus.metrics import RAFT
from rostra.consensus.model import ReadMode, ReadResult
from rostra.errors import Busy


class ReadBatches:
    """One batch of each mode is filling; closed ones wait for the core's answer."""

    def __init__(self, max_pending: int) -> None:
        self._max_pending = max_pending
        self._filling: dict[ReadMode, asyncio.Future[int]] = {}
        self._asked: dict[int, asyncio.Future[int]] = {}
        self._count = 0

    def join(self, mode: ReadMode) -> asyncio.Future[int]:
        """The batch that is asked in the next turn; its result is 0 if there is no answer. Shared: do not cancel it."""
        future = self._filling.get(mode)
        if future is None:
            if len(self._asked) >= self._max_pending:
                raise Busy("too many reads are waiting")
            future = self._filling[mode] = asyncio.get_running_loop().create_future()
        return future

    def ask(self, core: Core, clock: Callable[[], float]) -> None:
        """The batches are closed first, then the clock is read, then the core reads its commit index (docs/architecture.md, "A read")."""
        if not self._filling:
            return
        closed, self._filling = self._filling, {}
        now = clock()
        for mode, future in closed.items():
            self._count += 1
            self._asked[self._count] = future
            core.read_index(self._count, mode, now)
            if mode is ReadMode.QUORUM:
                RAFT.count("raft.verify_leader")

    def answer(self, results: Iterable[ReadResult]) -> None:
        """The core has answered."""
        for result in results:
            future = self._asked.pop(result.context, None)
            if future is not None and not future.done():
                future.set_result(result.index)

    def forget(self, core: Core, future: asyncio.Future[int]) -> None:
        """A reader waited long enough: the answer may be lost. Whoever shares the batch asks again, which is as good."""
        for context, asked in list(self._asked.items()):
            if asked is future:
                del self._asked[context]
                core.forget_read(context)
                if not future.done():
                    future.set_result(0)

    def give_up(self) -> None:
        """The server stops: nobody gets an answer."""
        for future in [*self._filling.values(), *self._asked.values()]:
            if not future.done():
                future.set_result(0)
        self._filling.clear()
        self._asked.clear()
