"""HTTP/2 ping: passing when the server answers a PING frame (RFC 9113, sections 3.4, 4.1 and 6.7)."""

from __future__ import annotations

import asyncio
import struct
from typing import Final

from rostra.local.checks.dialing import Dialer, DialError, Tls, reason, split_address
from rostra.local.checks.outcome import DEFAULT_TIMEOUT_S, Outcome, critical, passing
from rostra.model.catalog import CheckDefinition

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
ACK: Final = 1
OPAQUE: Final = b"rostra h"
MAX_FRAME: Final = 16_384
"""The largest payload that a peer may send us: we announce no other."""
MAX_FRAMES: Final = 100
"""Frames after which a server that still has not answered is one that never will."""


class H2PingCheck:
    """Connects, over TLS unless told otherwise, and asks for a ping."""

    def __init__(self, definition: CheckDefinition, dialer: Dialer) -> None:
        self._address = definition.h2ping
        tls = Tls(not definition.tls_skip_verify, definition.tls_server_name, ("h2",))
        self._tls = None if definition.h2ping_plaintext else tls
        self._timeout_s = definition.timeout_s or DEFAULT_TIMEOUT_S
        self._dialer = dialer

    async def run(self) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await self._dialer.connect(*split_address(self._address), self._tls)
                try:
                    problem = await _ping(reader, writer)
                finally:
                    writer.transport.abort()
        except DialError as error:
            problem = str(error)
        except TimeoutError:
            problem = "i/o timeout"
        except (OSError, asyncio.IncompleteReadError) as error:
            problem = reason(error)
        if problem:
            return critical(f"HTTP2 ping {self._address}: {problem}")
        return passing(f"HTTP2 ping {self._address}: Success")


async def _ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """What is wrong, or nothing. The first frame of a server is its SETTINGS; ours may be sent before it."""
    writer.write(PREFACE + frame(SETTINGS) + frame(PING, payload=OPAQUE))
    for number in range(MAX_FRAMES):
        size, kind, flags = await _read_head(reader)
        if size > MAX_FRAME or (number == 0 and kind != SETTINGS):
            return "the server does not speak HTTP/2"
        payload = await reader.readexactly(size)
        if kind == PING and flags & ACK and payload == OPAQUE:
            return ""
        if kind == GOAWAY:
            return "the server said GOAWAY"
        if kind == SETTINGS and not flags & ACK:
            writer.write(frame(SETTINGS, flags=ACK))
    return "the server does not answer the ping"


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, int, int]:
    high, low, kind, flags, _ = struct.unpack(">BHBBI", await reader.readexactly(9))
    return (high << 16) + low, kind, flags


def frame(kind: int, *, flags: int = 0, payload: bytes = b"") -> bytes:
    """A frame of stream 0."""
    return struct.pack(">BHBBI", 0, len(payload), kind, flags, 0) + payload
