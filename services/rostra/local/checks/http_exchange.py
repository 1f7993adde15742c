"""One HTTP/1.1 exchange over a connection of its own: RFC 9112, parsed by httptools.

A library such as httpx costs nine times the processor time of this for each fresh connection (docs/design/checks.md).
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import httptools

from rostra.local.checks.outcome import Tail

MAX_HEAD: Final = 1 << 20
"""Bytes of a head, as Go's client takes them."""
MAX_BODY: Final = 1 << 20
"""Bytes of a body after which no more is read: the state is known, and the end of an endless body never comes."""
CHUNK: Final = 65_536


class ExchangeError(Exception):
    """No response came; the text says why."""


@dataclass(slots=True)
class Response:
    """A response whose body may have been cut short by the connection, the limit, or the reader's patience."""

    tail: Tail
    status: int = 0
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    """By names in small letters; the last of several."""
    head_done: bool = False
    body_done: bool = False

    @property
    def status_line(self) -> str:
        """``200 OK``."""
        return f"{self.status} {self.reason}"


def request_bytes(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """The whole request. Raises ``ExchangeError`` where a line would end before its end."""
    fields = [f"{name}: {value}" for name, value in headers]
    if body:
        fields.append(f"Content-Length: {len(body)}")
    lines = [f"{method} {target} HTTP/1.1", *fields]
    if any("\r" in line or "\n" in line for line in lines):
        raise ExchangeError("invalid header field value")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1", errors="replace") + body


async def read_response(reader: asyncio.StreamReader, response: Response, *, has_body: bool = True) -> None:
    """Fills ``response`` as it comes. Raises ``ExchangeError`` when the connection ends before the head does; the end of a body
    that ends early is the end of it."""
    collector = _Collector(response)
    parser = httptools.HttpResponseParser(collector)
    collector.parser = parser
    read = 0
    while not (response.body_done or (response.head_done and not has_body)):
        try:
            data = await reader.read(CHUNK)
        except OSError:
            if response.head_done:
                return
            raise
        if not data:
            if response.head_done:
                return
            raise ExchangeError("EOF")
        read += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return
        except httptools.HttpParserError as error:
            if response.head_done:
                return
            raise ExchangeError(f"malformed HTTP response: {error}") from None
        if not response.head_done and read > MAX_HEAD:
            raise ExchangeError(f"the head of the response is longer than {MAX_HEAD} bytes")
        if response.tail.total > MAX_BODY:
            return


class _Collector:
    """Where httptools puts what it finds. Interim responses (1xx) are passed over."""

    parser: httptools.HttpResponseParser

    def __init__(self, response: Response) -> None:
        self._response = response
        self._reason = b""
        self._is_interim = False

    def on_message_begin(self) -> None:
        self._reason = b""
        self._response.headers.clear()

    def on_status(self, status: bytes) -> None:
        self._reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self._response.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        self._is_interim = 100 <= status < 200 and status != http.HTTPStatus.SWITCHING_PROTOCOLS
        if not self._is_interim:
            self._response.status = status
            self._response.reason = self._reason.decode("latin-1")
            self._response.head_done = True

    def on_body(self, body: bytes) -> None:
        self._response.tail.write(body)

    def on_message_complete(self) -> None:
        if not self._is_interim:
            self._response.body_done = True
