"""Publishing to readers of different speeds: each has a bounded queue, and one that falls behind is told so."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final, Generic, TypeVar

from rostra.errors import Resync

T = TypeVar("T")

_QUEUE_MAX: Final = 4096


class Feed(Generic[T]):
    """One publisher, many subscriptions."""

    def __init__(self, queue_max: int = _QUEUE_MAX) -> None:
        self._queue_max = queue_max
        self._subscriptions: set[Subscription[T]] = set()

    def __len__(self) -> int:
        return len(self._subscriptions)

    def publish(self, item: T) -> None:
        for subscription in self._subscriptions:
            subscription._push(item)

    def subscribe(self) -> Subscription[T]:
        """Everything published from now on. Close it, or use it in a ``with`` block."""
        subscription: Subscription[T] = Subscription(self, self._queue_max)
        self._subscriptions.add(subscription)
        return subscription

    def _unsubscribe(self, subscription: Subscription[T]) -> None:
        self._subscriptions.discard(subscription)


class Subscription(AsyncIterator[T]):
    """Items in the order of publication, none lost: when more wait than the queue holds, iteration raises ``Resync`` and is over."""

    def __init__(self, feed: Feed[T], queue_max: int) -> None:
        self._feed = feed
        self.queue_max = queue_max
        self._queue: deque[T] = deque()
        self._arrived = asyncio.Event()
        self._overflowed = False
        self.lost = 0
        """How many items this subscription has not delivered and will not: 0 before ``Resync``."""

    async def __anext__(self) -> T:
        while not self._queue and not self._overflowed:
            self._arrived.clear()
            await self._arrived.wait()
        if self._overflowed:
            raise Resync(f"the reader fell more than {self.queue_max} items behind")
        return self._queue.popleft()

    def __enter__(self) -> Subscription[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._feed._unsubscribe(self)

    def _push(self, item: T) -> None:
        if self._overflowed:
            self.lost += 1
            return
        if len(self._queue) >= self.queue_max:
            self._overflowed = True
            self.lost = len(self._queue) + 1
            self._queue.clear()
        else:
            self._queue.append(item)
        self._arrived.set()
