"""What a request's head is refused for before anybody asks what it wants (RFC 9110 and 9112), as far as the parser leaves that to us.

The parser is strict where two readers of one connection could take it for different requests: a length beside chunks or twice, line ends
without CR, folded headers and spaces before a colon are 400 there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import httptools

Headers = Sequence[tuple[bytes, bytes]]

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_HOST: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:%\[\]-]*")
"""What a host and a port are made of (RFC 3986 section 3.2.2)."""
BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
"""A percent sign that is not followed by two digits."""


class Refused(Exception):
    """Ends the connection with an answer. ``why`` is what it is counted under."""

    def __init__(self, why: str, status: int, text: str) -> None:
        super().__init__(text)
        self.why, self.status, self.text = why, status, text


def bad_request(problem: str) -> Refused:
    """400 in the words of Consul's server."""
    return Refused("not_http", 400, f"400 Bad Request: {problem}")


def check_head(version: str, headers: Headers, by_name: Mapping[bytes, bytes]) -> None:
    """Raises ``Refused``. ``by_name`` has one of each name."""
    if version not in ("1.0", "1.1"):
        raise bad_request("unsupported protocol version")
    host = by_name.get(b"host")
    if host is None:
        if version == "1.1":
            raise bad_request("missing required Host header")
    elif len(by_name) < len(headers) and sum(name == b"host" for name, _ in headers) > 1:
        raise bad_request("too many Host headers")
    elif _HOST.fullmatch(host) is None:
        raise bad_request("malformed Host header")
    if b"transfer-encoding" in by_name:
        _check_transfer_encoding(version, headers)


def _check_transfer_encoding(version: str, headers: Headers) -> None:
    """Only chunks are known, and only since 1.1: what an older client means by them cannot be told (RFC 9112 section 6.1)."""
    if version == "1.0":
        raise bad_request("Transfer-Encoding in HTTP/1.0")
    if any(name == b"transfer-encoding" and value.lower() != b"chunked" for name, value in headers):
        raise Refused("not_http", 501, "Unsupported transfer encoding")


def awaits_continue(version: str, headers: Headers, by_name: Mapping[bytes, bytes]) -> bool:
    """Whether the client holds its body back until it is told to go on (RFC 9110 section 10.1.1). Raises ``Refused`` where anything else
    is expected. Who has no body, or speaks 1.0, waits for nothing."""
    if b"expect" not in by_name:
        return False
    for name, value in headers:
        if name == b"expect" and any(each.strip().lower() not in (b"100-continue", b"") for each in value.split(b",")):
            raise Refused("expectation", 417, "Expectation failed: only 100-continue is known")
    return version == "1.1" and has_body(by_name)


def has_body(by_name: Mapping[bytes, bytes]) -> bool:
    """Whether bytes follow the head."""
    return by_name.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in by_name


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """Path and query of a request target: a path, or a whole URL as proxies are sent (RFC 9112 section 3.2). Raises ``Refused``."""
    if target.startswith(b"/"):
        path, _, query = target.partition(b"?")
    else:
        url = httptools.parse_url(target)
        path, query = url.path or b"/", url.query or b""
        if not path.startswith(b"/"):
            raise bad_request("a request target is a path or a URL")
    if b"%" in path and (found := BAD_ESCAPE.search(path)):
        raise bad_request(f'invalid URL escape "{found[0].decode("latin-1")}"')
    return path, query
