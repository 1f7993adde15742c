"""A value that others wait for: a slow watcher misses steps in between, never the last one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Watched(Generic[Value]):
    """Holds the newest value. To be set on the event loop only."""

    def __init__(self, value: Value) -> None:
        self._value = value
        self._version = 0
        self._changed = asyncio.Event()

    @property
    def value(self) -> Value:
        """The newest."""
        return self._value

    def set(self, value: Value) -> None:
        """Wakes every watcher if the value differs."""
        if value == self._value:
            return
        self._value = value
        self._version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def changes(self) -> AsyncIterator[Value]:
        """The value now, then the newest after each change."""
        seen = -1
        while True:
            if seen != self._version:
                seen = self._version
                yield self._value
            else:
                await self._changed.wait()

    async def wait_for_change(self, timeout_s: float) -> None:
        """Returns at the next change, or after ``timeout_s``."""
        changed = self._changed
        try:
            async with asyncio.timeout(timeout_s):
                await changed.wait()
        except TimeoutError:
            pass
