"""JSON as Consul writes it: keys of maps in order, Go's escapes, ``?pretty`` with four spaces and a line end."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")

_ESCAPED: Final = {
    b"<": b"\\u003c",
    b">": b"\\u003e",
    b"&": b"\\u0026",
    b"\xe2\x80\xa8": b"\\u2028",
    b"\xe2\x80\xa9": b"\\u2029",
}
_ESCAPE: Final = re.compile(b"[<>&]|\xe2\x80[\xa8\xa9]")


def encode_json(value: object) -> bytes:
    """``value`` on one line. As Go does, ``<``, ``>``, ``&`` and the two Unicode line ends are escaped: they occur in strings only,
    so it is done on the bytes."""
    encoded = _ENCODER.encode(value)
    return _ESCAPE.sub(lambda found: _ESCAPED[found[0]], encoded) if _ESCAPE.search(encoded) else encoded


def indent_json(encoded: bytes) -> bytes:
    """``?pretty`` (https://developer.hashicorp.com/consul/api-docs/api-structure#formatted-json-output)."""
    return msgspec.json.format(encoded, indent=4) + b"\n"


def join_list(fragments: list[bytes]) -> bytes:
    """A JSON list of items that are encoded already."""
    return b"[" + b",".join(fragments) + b"]"


def format_go_duration(seconds: float) -> str:
    """A duration as Go prints it: ``10s``, ``1m0s``, ``1h0m0s``, ``1.5s``, ``200ms``, ``0s``."""
    total_ns = round(abs(seconds) * 1e9)
    sign = "-" if seconds < 0 else ""
    if total_ns == 0:
        return "0s"
    for unit, size_ns in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if total_ns < size_ns * 1_000 and total_ns < 1_000_000_000:
            return f"{sign}{_plain(Decimal(total_ns) / size_ns)}{unit}"
    minutes, rest_ns = divmod(total_ns, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{text}{_plain(Decimal(rest_ns) / 1_000_000_000)}s"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
