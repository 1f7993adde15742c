"""Finding the pool at start: the peers of the last run first, then the addresses that an operator gave."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rostra.errors import Unavailable
from rostra.gossip.joining import JoinResult, RetryJoin, join_persistently

_log = logging.getLogger("rostra.gossip")

_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Search:
    """Where to look. ``peers`` were known in the last run; ``start`` must answer, or the pool ends; ``retry`` is tried until it does,
    unless a known peer has answered. ``pause_s`` apart, known peers are tried again where there is no ``retry``."""

    peers: Sequence[str]
    start: Sequence[str]
    retry: RetryJoin | None
    pause_s: float


class Finder:
    """Carries out one search. ``join`` tries addresses; ``has_others`` says whether anybody but this member is known."""

    def __init__(
        self,
        pool: str,
        join: Callable[[Sequence[str]], Awaitable[list[JoinResult]]],
        has_others: Callable[[], bool],
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pool = pool
        self._join = join
        self._has_others = has_others
        self._rng = rng
        self._sleep = sleep

    async def find(self, search: Search) -> None:
        """Returns when there is nothing more to do. Raises ``Unavailable`` when it was told to give up, and has."""
        returned = await self._return_to(search.peers)
        if search.start:
            results = await self._join(search.start)
            if all(each.error for each in results):
                problems = "; ".join(f"{each.address}: {each.error}" for each in results)
                raise Unavailable(f"could not join the {self._pool.upper()} pool: {problems}")
        if search.retry is not None and not returned:
            await join_persistently(search.retry, self._join_others, self._pool, self._rng, self._sleep)
        elif search.peers and not returned:
            await self._return_later(search)

    async def _return_to(self, peers: Sequence[str]) -> bool:
        """Try known peers, a few at once, until one answers."""
        shuffled = self._rng.sample(peers, len(peers))
        for start in range(0, len(shuffled), _AT_ONCE):
            results = await self._join_others(shuffled[start : start + _AT_ONCE])
            if any(not result.error for result in results):
                _log.info("returned to known peers", extra={"pool": self._pool})
                return True
        if peers:
            _log.info("no known peer answered", extra={"pool": self._pool, "peers": len(peers)})
        return False

    async def _return_later(self, search: Search) -> None:
        """Nobody told us of other addresses, so these are tried until somebody is there: a whole cluster may have lost its network."""
        while not self._has_others():
            await self._sleep(search.pause_s * self._rng.uniform(0.75, 1.25))
            if not self._has_others():
                await self._join_others(self._rng.sample(search.peers, min(len(search.peers), _AT_ONCE)))

    async def _join_others(self, addresses: Sequence[str]) -> list[JoinResult]:
        """An address of our own answers too, and does not count while nobody else is there."""
        results = await self._join(addresses)
        if self._has_others():
            return results
        return [JoinResult(each.address, each.error or "nobody but this member is there") for each in results]
