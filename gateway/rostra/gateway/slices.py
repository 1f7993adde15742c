"""Answers that take long to make, a millisecond at a time (nothing may block the loop over 10 ms).

Filters over thousands of records, and lists of which nothing was rendered yet. One is made of the views as they were when it was begun, and
serves who had come by then; who comes later waits for the next. Few are under way at once, or their slices would add up in every turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final, TypeVar

from rostra.gateway.lookups import Row
from rostra.gateway.read import Read
from rostra.gateway.resultsets import as_seen
from rostra.views.view import View

T = TypeVar("T")

SLICE_S: Final = 0.001
LOOK_EVERY: Final = 16
"""Records between two looks at the clock."""
LARGE: Final = 500
"""Entries that are filtered or rendered in one go: some milliseconds at most."""
AT_ONCE: Final = 2
"""Answers that are being made; further ones wait for their turn."""


def is_quick(read: Read, views: Sequence[View]) -> bool:
    """Whether the answer that these views give is there, or is made in one go."""
    return read.results.is_of(views) or sum(map(len, views)) <= LARGE or (read.match is None and read.results.was_made_of(views))


def can_park(read: Read, views: Sequence[View]) -> bool:
    """Whether its answer is made in one go after each change."""
    return read.match is None or sum(map(len, views)) <= LARGE


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """``items``, for work that takes some microseconds each: the loop has its turn in between."""
    clock = asyncio.get_running_loop().time
    end = clock() + SLICE_S
    for number, item in enumerate(items):
        yield item
        if number % LOOK_EVERY == 0 and clock() >= end:
            await asyncio.sleep(0)
            end = clock() + SLICE_S


class Slices:
    """Those of one gateway."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)

    async def refreshed(self, read: Read, views: Sequence[View]) -> None:
        """Returns once the read's answer is as new as the views are now, or newer."""
        results = read.results
        if is_quick(read, views):
            results.refresh(views)
            return
        wanted = as_seen(views)
        while not results.is_as_new_as(wanted):
            if results.coming is None:
                await self._make(read, views)
                return
            await asyncio.shield(results.coming)

    async def rows(self, read: Read, views: Sequence[View]) -> list[Row]:
        """What the read lists of these views, which are frozen."""
        async with self._places:
            return [row async for row in in_turns(read.lookup.steps(views, read.match)) if row is not None]

    async def _make(self, read: Read, views: Sequence[View]) -> None:
        results = read.results
        coming = results.coming = asyncio.get_running_loop().create_future()
        try:
            frozen, seen = [view.frozen() for view in views], as_seen(views)
            rows = await self.rows(read, frozen)
            results.take(seen, lambda: read.lookup.put_together(frozen, rows))
        finally:
            results.coming = None
            coming.set_result(None)  # also where this was given up: who waits makes it then
