"""Servers for checks to look at, on 127.0.0.1, whose behaviour a test says in a line."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1", port: int = 0, **options: Any) -> AsyncIterator[int]:
    """A TCP server; its port."""
    writers: set[asyncio.StreamWriter] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, host, port, **options)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for writer in writers:
            if not writer.transport.is_closing():
                writer.transport.abort()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def answering(answer: bytes | Callable[[bytes], bytes], *, then_hangs: bool = False, **options: Any) -> AsyncIterator[int]:
    """An HTTP server that sends ``answer`` to every request, and hangs up unless it hangs."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        request = head + await reader.readexactly(size)
        writer.write(answer(request) if callable(answer) else answer)
        await writer.drain()
        if then_hangs:
            await reader.read()

    async with serving(handle, **options) as port:
        yield port


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and that nobody is given meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
