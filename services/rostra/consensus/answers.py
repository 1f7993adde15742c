"""Work of one stream, answered as it is done: in the order of its ends, not of its beginnings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Generic, TypeVar

from rostra.rpc.companions import Companions

T = TypeVar("T")


class Answers(Generic[T]):
    """At most ``limit`` at a time. What was begun is answered by ``end``, or by the job that is started for it."""

    def __init__(self, limit: int) -> None:
        self._slots = asyncio.Semaphore(limit)
        self._limit = limit
        self._done: asyncio.Queue[T | None] = asyncio.Queue()
        self._companions = Companions()

    async def work(self, job: Coroutine[Any, Any, T]) -> None:
        """Starts ``job``; waits while too many are under way."""
        await self.begin()
        self.start(job)

    async def begin(self) -> None:
        """One more is under way; waits while that is too many."""
        await self._slots.acquire()

    def start(self, job: Coroutine[Any, Any, T]) -> None:
        """Has ``job`` answer what was begun."""
        self._companions.start(self._run(job), "consensus: stream request")

    def end(self, answer: T) -> None:
        """What was begun is answered."""
        self._done.put_nowait(answer)
        self._slots.release()

    async def of(self, take: Coroutine[Any, Any, None]) -> AsyncGenerator[T, None]:
        """Answers until ``take``, which starts the work, has ended and all is answered."""
        async with self._companions:
            self._companions.start(self._take(take), "consensus: stream requests")
            while (answer := await self._done.get()) is not None:
                yield answer

    async def _run(self, job: Coroutine[Any, Any, T]) -> None:
        try:
            self._done.put_nowait(await job)
        finally:
            self._slots.release()

    async def _take(self, take: Coroutine[Any, Any, None]) -> None:
        try:
            await take
            for _ in range(self._limit):  # when every slot is free again, all is answered
                await self._slots.acquire()
        finally:
            self._done.put_nowait(None)
