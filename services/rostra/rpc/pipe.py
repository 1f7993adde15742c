"""A bounded pipe between one sender and one receiver of the same event loop: one direction of an in-process stream.

The sender waits while ``limit`` items are under way, as a socket's flow control makes it. Nothing is copied.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class PipeClosed(Exception):
    """Nothing more comes, or nothing more is taken."""


class Pipe(Generic[T]):
    """Iterating it receives until it is closed and drained."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[T] = deque()
        self._closed = False
        self._receiver: asyncio.Future[None] | None = None
        self._sender: asyncio.Future[None] | None = None

    async def send(self, item: T) -> None:
        """Waits for room. Raises ``PipeClosed`` when the other end no longer receives."""
        while not self._closed and len(self._items) >= self._limit:
            self._sender = asyncio.get_running_loop().create_future()
            await self._sender
        if self._closed:
            raise PipeClosed
        self._items.append(item)
        self._wake_receiver()

    @property
    def has_room(self) -> bool:
        """Whether ``send`` would take an item without waiting."""
        return not self._closed and len(self._items) < self._limit

    def send_at_once(self, item: T) -> None:
        """``send`` without waiting, while there ``has_room``."""
        assert self.has_room, "no room"
        self._items.append(item)
        self._wake_receiver()

    async def receive(self) -> T:
        """Waits for an item. Raises ``PipeClosed`` when the pipe is closed and drained."""
        while not self._items:
            if self._closed:
                raise PipeClosed
            self._receiver = asyncio.get_running_loop().create_future()
            await self._receiver
        item = self._items.popleft()
        self._wake_sender()
        return item

    def close(self, *, drop: bool = False) -> None:
        """No more items; those under way are still received unless ``drop``."""
        self._closed = True
        if drop:
            self._items.clear()
        self._wake_receiver()
        self._wake_sender()

    def __aiter__(self) -> Pipe[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except PipeClosed:
            raise StopAsyncIteration from None

    def _wake_receiver(self) -> None:
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)

    def _wake_sender(self) -> None:
        if self._sender is not None and not self._sender.done():
            self._sender.set_result(None)
