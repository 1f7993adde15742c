"""gzip, for clients that accept it (RFC 9110, section 12.5.3)."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from rostra.gateway.answer import Answer, Header

MIN_BYTES: Final = 1024
"""A smaller body fits a packet as it is. Consul compresses everything."""
LARGE_BYTES: Final = 256 * 1024
"""Compressing more takes milliseconds: it is done in the thread (zlib lets the loop run meanwhile)."""

GZIP: Final[Header] = (b"Content-Encoding", b"gzip")
_LEVEL: Final = 1
_GZIP_FORMAT: Final = 31
_THREAD: Final = ThreadPoolExecutor(1, "gateway-gzip")


def accepts_gzip(value: str) -> bool:
    """Whether ``Accept-Encoding`` takes gzip."""
    for part in value.split(","):
        name, _, parameters = part.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            quality = parameters.replace(" ", "").lower()
            return quality not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def compress(body: bytes) -> bytes:
    """The same body gives the same bytes."""
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP_FORMAT)
    return packer.compress(body) + packer.flush()


async def compress_large(body: bytes) -> bytes:
    """The same, in the thread."""
    return await asyncio.get_running_loop().run_in_executor(_THREAD, compress, body)


def is_worth_it(headers: Sequence[Header], body: bytes) -> bool:
    """Whether an answer is to be compressed for who accepts it."""
    return len(body) >= MIN_BYTES and not any(name == b"Content-Encoding" for name, _ in headers)


async def compressed(answer: Answer) -> Answer:
    """The answer, compressed if it is worth it."""
    if not is_worth_it(answer.headers, answer.body):
        return answer
    body = compress(answer.body) if len(answer.body) < LARGE_BYTES else await compress_large(answer.body)
    return Answer(answer.status, (GZIP, *answer.headers), body)
