"""Lists that may be larger than a message: both sides of the fields ``paged``, ``after`` and ``more``.

A page is full by its bytes, since entries are of very different sizes. Between two pages the list may change: every entry is one that
was there when its page was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

PAGE_BYTES: Final = 128 * 1024
"""An answer is at most 4 MiB: this leaves room for a last entry that is large itself, and is some milliseconds' work."""

M = TypeVar("M", bound=Message)


def first_page(messages: Iterable[M], *, paged: bool) -> tuple[list[M], bool]:
    """What goes into an answer, and whether more follow; without ``paged`` everything goes."""
    page: list[M] = []
    size = 0
    for message in messages:
        if paged and size >= PAGE_BYTES:
            return page, True
        page.append(message)
        size += message.ByteSize()
    return page, False


async def all_pages(ask: Callable[[str], Awaitable[Any]], last: Callable[[Any], str]) -> AsyncIterator[Any]:
    """The answers of ``ask(after)`` until there are no more; ``last`` names the last entry of an answer."""
    after = ""
    while True:
        answer = await ask(after)
        yield answer
        if not answer.more:
            return
        after = last(answer)
        await asyncio.sleep(0)  # a page is some milliseconds' work
