"""Tags in the meta of a member (gossip-wire section 12.1): ``ff`` and a map; before Serf protocol 3, the bare role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rostra.errors import BadRequest
from rostra.gossip.wire import limits, msgpack
from rostra.gossip.wire.errors import WireError
from rostra.gossip.wire.records import text

_MAGIC: Final = b"\xff"


def encode_tags(tags: Mapping[str, str]) -> bytes:
    meta = _MAGIC + msgpack.encode(dict(tags))
    if len(meta) > limits.META_BYTES:
        raise BadRequest(f"the tags take {len(meta)} bytes encoded, the limit is {limits.META_BYTES}", field="tags")
    return meta


def decode_tags(meta: bytes) -> dict[str, str]:
    """The tags of a member. A meta that is nothing we know has none: its member still counts."""
    if not meta.startswith(_MAGIC):
        return {"role": meta.decode(errors="replace")}
    try:
        return {text(key): text(value) for key, value in msgpack.decode_map(meta[1:]).items()}
    except WireError:
        return {}


def same_id(meta: bytes, other: bytes) -> bool:
    """Whether both have the same tag ``id``, which Consul's agents and ours have: the node's, kept in its data folder."""
    node_id = decode_tags(meta).get("id", "")
    return node_id != "" and node_id == decode_tags(other).get("id")
