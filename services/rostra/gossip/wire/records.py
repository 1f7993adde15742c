"""A record: one msgpack map with named fields, as Go's encoders write structs.

On input unknown keys are skipped, a missing key or nil is the zero value, and names are exact (gossip-wire section 2). On output the
keys go in alphabetical order, as real peers send them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from rostra.gossip.wire import limits, msgpack
from rostra.gossip.wire.errors import Reason, WireError

T = TypeVar("T")


class Field(NamedTuple):
    """How one attribute of a struct looks on the wire."""

    key: str
    read: Callable[[object], Any]
    write: Callable[[Any], object] | None = None
    omit_empty: bool = False


class Record(Generic[T]):
    """The codec between a struct and its map. ``fields`` name the struct's attributes, in the struct's own order."""

    def __init__(self, make: Callable[..., T], /, **fields: Field) -> None:
        self._make = make
        self._readers = [(name, field.key.encode(), field.read) for name, field in fields.items()]
        self._writers = sorted((field.key, name, field.write, field.omit_empty) for name, field in fields.items())

    def to_map(self, value: T) -> dict[str, object]:
        body: dict[str, object] = {}
        for key, name, write, omit_empty in self._writers:
            content = getattr(value, name)
            if omit_empty and not content:
                continue
            body[key] = content if write is None else write(content)
        return body

    def from_map(self, body: dict[object, object]) -> T:
        return self._make(**{name: read(body.get(key)) for name, key, read in self._readers})

    def encode(self, value: T) -> bytes:
        return msgpack.encode(self.to_map(value))

    def decode(self, data: bytes) -> T:
        return self.from_map(msgpack.decode_map(data))


def _integer(lowest: int, highest: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if value is None:
            return 0
        if type(value) is not int:  # bool is an int to Python, not to msgpack
            raise WireError(Reason.MALFORMED, "not an integer")
        if not lowest <= value <= highest:
            raise WireError(Reason.MALFORMED, "integer out of range")
        return value

    return read


uint8 = _integer(0, 2**8 - 1)
uint16 = _integer(0, 2**16 - 1)
uint32 = _integer(0, 2**32 - 1)
uint64 = _integer(0, 2**64 - 1)
int64 = _integer(-(2**63), 2**63 - 1)


def boolean(value: object) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise WireError(Reason.MALFORMED, "not a boolean")
    return value


def number(value: object) -> float:
    """A finite float: nothing on this wire has a use for the others, and they poison what they touch."""
    if value is None:
        return 0.0
    if type(value) is int:
        value = float(value)  # at most 64 bits
    if not isinstance(value, float) or not math.isfinite(value):
        raise WireError(Reason.MALFORMED, "not a finite number")
    return value


def octets(value: object) -> bytes:
    if value is None:
        return b""
    if isinstance(value, list):  # an array of integers is accepted for bytes
        try:
            return bytes(value)
        except (TypeError, ValueError):
            raise WireError(Reason.MALFORMED, "not bytes") from None
    if not isinstance(value, bytes):
        raise WireError(Reason.MALFORMED, "not bytes")
    return value


def text(value: object) -> str:
    """Text for people; what is not UTF-8 in it is replaced."""
    return _text_bytes(value).decode(errors="replace")


def name(value: object) -> str:
    """A node name. It is a key, so it must be exact: what is not UTF-8, or too long, is refused. Empty is for the caller to judge."""
    content = _text_bytes(value)
    if len(content) > limits.NAME_BYTES:
        raise WireError(Reason.BAD_NAME, "too long")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise WireError(Reason.BAD_NAME, "not UTF-8") from None


def array_of(read: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    def read_all(value: object) -> tuple[T, ...]:
        if value is None:
            return ()
        if not isinstance(value, list):
            raise WireError(Reason.MALFORMED, "not an array")
        return tuple(read(item) for item in value)

    return read_all


def nil_when_empty(content: Any) -> object:
    return content or None


def _text_bytes(value: object) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, bytes):
        raise WireError(Reason.MALFORMED, "not text")
    if len(value) > limits.TEXT_BYTES:
        raise WireError(Reason.OVERSIZED, "text")
    return value
