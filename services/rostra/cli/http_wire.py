"""As much of HTTP/1.1 (RFC 9112) as one request on a connection of its own needs.

Why not the standard library's client: importing ``http.client``, with ``email`` and ``ssl`` behind it, takes 30 of the 75 ms that
``rostra members`` would then take from start to end.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Self

LINE_SIZE_MAX = 65536
HEADERS_MAX = 100
PART_SIZE_MAX = 65536


class NotHttp(Exception):
    """The other side does not speak HTTP/1.1, or stopped in the middle of an answer."""


class Response:
    """``status``, ``headers`` (names in lower case) and, once, the body: whole by ``read`` or as it comes by ``parts``. Either raises
    ``NotHttp`` and ``OSError``."""

    def __init__(self, reader: BufferedReader) -> None:
        self._reader = reader
        self.status, self.headers = _read_head(reader)
        while self.status < 200:  # an interim answer (RFC 9110, section 15.2)
            self.status, self.headers = _read_head(reader)
        self._is_chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        self._length = self.headers.get("content-length")

    def read(self) -> bytes:
        return b"".join(self.parts())

    def parts(self) -> Iterator[bytes]:
        if self._is_chunked:
            while size := _number(_read_line(self._reader).partition(b";")[0], 16):
                yield from self._exactly(size)
                _read_line(self._reader)
        elif self._length is not None:
            yield from self._exactly(_number(self._length.encode(), 10))
        else:
            while part := self._reader.read1(PART_SIZE_MAX):
                yield part

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            part = self._reader.read1(min(size, PART_SIZE_MAX))
            if not part:
                raise NotHttp("the answer ends too early")
            size -= len(part)
            yield part


class Connection:
    """A connected socket, for one request; leaving the context closes it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._sock.close()

    def exchange(self, method: str, target: str, headers: Mapping[str, str], body: bytes | Upload | None = None) -> Response:
        """Send the request; its response, of which the head has come."""
        fields = {**headers, "Connection": "close"}
        if body is not None:
            fields["Content-Length"] = str(len(body) if isinstance(body, bytes) else body.size)
        head = "".join([f"{method} {target} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in fields.items()), "\r\n"])
        self._sock.sendall(head.encode("latin-1") + (body if isinstance(body, bytes) else b""))
        if isinstance(body, Upload):
            for part in body.parts:
                self._sock.sendall(part)
        return Response(self._reader)


class Upload:
    """A body that is not held whole: ``parts`` come to ``size`` bytes."""

    def __init__(self, parts: Iterator[bytes], size: int) -> None:
        self.parts = parts
        self.size = size


def _read_head(reader: BufferedReader) -> tuple[int, dict[str, str]]:
    """The status and the headers, their names in lower case."""
    version, _, rest = _read_line(reader).partition(b" ")
    if not version.startswith(b"HTTP/1."):
        raise NotHttp("no status line")
    status = _number(rest[:3], 10)
    headers: dict[str, str] = {}
    for _ in range(HEADERS_MAX):
        line = _read_line(reader)
        if not line:
            return status, headers
        name, _, value = line.partition(b":")
        headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
    raise NotHttp("too many headers")


def _read_line(reader: BufferedReader) -> bytes:
    line = reader.readline(LINE_SIZE_MAX)
    if not line.endswith(b"\n"):
        raise NotHttp("the answer ends too early" if len(line) < LINE_SIZE_MAX else "a line is too long")
    return line.rstrip(b"\r\n")


def _number(digits: bytes, base: int) -> int:
    try:
        number = int(digits, base)
    except ValueError:
        number = -1
    if number < 0:
        raise NotHttp(f"a number is wrong: {digits[:20]!r}")
    return number
