"""Query filters (gossip-wire section 12): who shall answer, by name or by a tag's value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from rostra.gossip.wire import msgpack
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.records import array_of, text


class NodeFilter(msgspec.Struct, frozen=True):
    """The receiver is one of these."""

    nodes: tuple[str, ...]


class TagFilter(msgspec.Struct, frozen=True):
    """The receiver's tag (empty when it has none) matches this regular expression somewhere."""

    tag: str
    expression: str


Filter: TypeAlias = NodeFilter | TagFilter


def encode_filters(filters: Sequence[Filter]) -> tuple[bytes, ...]:
    return tuple(map(_encode, filters))


def _encode(item: Filter) -> bytes:
    match item:
        case NodeFilter(nodes=nodes):
            return b"\x00" + msgpack.encode(nodes)
        case TagFilter(tag=tag, expression=expression):
            return b"\x01" + msgpack.encode({"Expr": expression, "Tag": tag})


def decode_filter(data: bytes) -> Filter:
    match data[:1]:
        case b"\x00":
            return NodeFilter(array_of(text)(msgpack.decode(data[1:])))
        case b"\x01":
            body = msgpack.decode_map(data[1:])
            return TagFilter(text(body.get(b"Tag")), text(body.get(b"Expr")))
        case _:
            raise WireError(Reason.UNKNOWN_TYPE, "filter")
