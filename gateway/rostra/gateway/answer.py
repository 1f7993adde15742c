"""An answer, and its bytes. Both ways through the gateway (the protocol's own and ASGI) end here, so they cannot differ."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, TypeAlias

from rostra.errors import Busy, RostraError
from rostra.rpc.status import http_status

Header: TypeAlias = tuple[bytes, bytes]

JSON: Final[Header] = (b"Content-Type", b"application/json")
TEXT: Final[Header] = (b"Content-Type", b"text/plain; charset=utf-8")
VARY: Final[Header] = (b"Vary", b"Accept-Encoding")

KEEPS: Final = b""
"""What an answer says of its connection, as a header: that it stays, as it does in HTTP/1.1 without a word."""
KEEPS_OLD: Final = b"Connection: keep-alive\r\n"
"""That it stays, to a client of HTTP/1.0 who asked for that."""
CLOSES: Final = b"Connection: close\r\n"

CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
UNTIL_CLOSED: Final = b""
"""How the end of a body is told that has no known length: HTTP/1.0 has no chunks."""

_PHRASES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class HttpError(RostraError):
    """An answer with this status and text, where the status is Consul's own and not the one of ``rostra.rpc.status``."""

    def __init__(self, status: int, text: str, headers: Sequence[Header] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.headers = tuple(headers)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body. Date, length and connection headers are added when it is sent."""

    status: int = 200
    headers: Sequence[Header] = field(default=(VARY,))
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """An answer of unknown length, sent in chunks: until the client goes, or the chunks end. With ``has_end`` one that is cut short
    must not look whole: then the connection breaks."""

    headers: Sequence[Header]
    chunks: AsyncIterator[bytes]
    has_end: bool = False


DONE: Final = Answer()
"""What Consul says to a write of the agent that was done: 200 and nothing."""


def json_answer(body: bytes, *, status: int = 200, headers: Sequence[Header] = ()) -> Answer:
    """JSON that is encoded already."""
    return Answer(status, (JSON, VARY, *headers), body)


def text_answer(status: int, text: str, headers: Sequence[Header] = ()) -> Answer:
    """One line for a person; what Consul's clients match on."""
    return Answer(status, (TEXT, VARY, *headers), text.encode(errors="replace"))


def error_answer(error: RostraError) -> Answer:
    """Consul's way: the error's text as plain text (https://developer.hashicorp.com/consul/api-docs/api-structure)."""
    match error:
        case HttpError():
            return text_answer(error.status, str(error), error.headers)
        case Busy():
            return text_answer(http_status(error), str(error), ((b"Retry-After", str(max(1, round(error.retry_after_s))).encode()),))
        case _:
            return text_answer(http_status(error), str(error))


class Date:
    """The value of the Date header, made at most once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def now(self) -> bytes:
        """The same object within a second."""
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True).encode()
        return self._text


def length_header(length: int) -> bytes:
    return b"Content-Length: %d\r\n" % length


def encode_head(status: int, headers: Sequence[Header], date: bytes, framing: bytes, connection: bytes) -> bytes:
    """Status line and headers. ``framing`` tells where the body ends, ``connection`` what becomes of the connection."""
    parts = [_PHRASES.get(status) or f"HTTP/1.1 {status} \r\n".encode()]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (b"Date: ", date, b"\r\n", framing, connection, b"\r\n")
    return b"".join(parts)


def encode(answer: Answer, date: bytes, connection: bytes = KEEPS) -> bytes:
    """The whole answer as it goes over the wire."""
    return encode_head(answer.status, answer.headers, date, length_header(len(answer.body)), connection) + answer.body
