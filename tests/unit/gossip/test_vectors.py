"""Packets captured from real Serf and Consul agents decode to what was seen, and encode back to what such an agent accepts."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from rostra.gossip.keyring import Keyring
from rostra.gossip.wire import lzw, msgpack
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.errors import WireError
from rostra.gossip.wire.filters import NodeFilter, TagFilter, decode_filter
from rostra.gossip.wire.messages import Ack, Err, PacketMessage, Ping, PushPull, StreamMessage, User, decode_row, encode_message, encode_row
from rostra.gossip.wire.packets import decode_packet, encode_packet
from rostra.gossip.wire.serf_messages import (
    Query,
    QueryResponse,
    Relay,
    decode_query_payload,
    decode_serf,
    decode_serf_state,
    encode_serf,
    encode_serf_state,
)
from rostra.gossip.wire.streams import StreamDecoder, encode_stream
from rostra.gossip.wire.tags import decode_tags, encode_tags

from .vectors import VECTORS, flatten, keys, label, vectors

TYPE_NAMES = {
    "Ping": "ping",
    "IndirectPing": "indirectPing",
    "Ack": "ack",
    "Nack": "nack",
    "Suspect": "suspect",
    "Dead": "dead",
    "Alive": "alive",
}
WIRE_KEYS = {
    "sequence": "SeqNo",
    "node": "Node",
    "source_ip": "SourceAddr",
    "source_port": "SourcePort",
    "source_node": "SourceNode",
    "target_ip": "Target",
    "target_port": "Port",
    "nack": "Nack",
    "payload": "Payload",
    "incarnation": "Incarnation",
    "accuser": "From",
    "ip": "Addr",
    "port": "Port",
    "meta": "Meta",
    "versions": "Vsn",
    "name": "Name",
    "state": "State",
    "ltime": "LTime",
    "prune": "Prune",
    "coalesce": "CC",
    "query_id": "ID",
    "responder": "From",
    "flags": "Flags",
    "filters": "Filters",
    "relay_factor": "RelayFactor",
    "timeout_ns": "Timeout",
    "result": "Result",
    "message": "Message",
    "keys": "Keys",
    "primary_key": "PrimaryKey",
    "key": "Key",
    "error": "Error",
}
TEXT_FIELDS = ("Node", "SourceNode", "From", "Name", "Message", "PrimaryKey", "Error")


def envelope(vector: dict[str, Any]) -> Envelope:
    ring = Keyring(keys(vector)) if keys(vector) else None
    return Envelope(entropy=lambda size: bytes(range(size)), keyring=ring, label=label(vector))


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def as_decoded(message: msgspec.Struct) -> dict[str, Any]:
    """Our message in the spelling of the vectors, without what is empty."""
    body = {WIRE_KEYS[name]: plain(getattr(message, name)) for name in message.__struct_fields__}
    return {key: value for key, value in body.items() if value not in (None, "", 0, [], False)}


def without_empty(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value not in (None, "", 0, [], False) and key != "Tags"}


def check_message(message: PacketMessage, expected: dict[str, Any]) -> None:
    if isinstance(message, User):
        check_serf(message.payload, expected["message"])
        return
    assert TYPE_NAMES[type(message).__name__] == expected["type"]
    assert as_decoded(message) == without_empty(expected["body"])
    if "Tags" in expected["body"]:
        assert decode_tags(bytes.fromhex(expected["body"]["Meta"])) == expected["body"]["Tags"]


def check_serf(payload: bytes, expected: dict[str, Any]) -> None:
    message = decode_serf(payload)
    if isinstance(message, Relay):
        destination = expected["header"]["DestAddr"]
        assert (message.ip.hex(), message.port) == (destination["IP"], destination["Port"])
        assert message.node == expected["header"]["DestName"]
        check_serf(message.message, expected["wrapped"])
        return
    assert as_decoded(message) == without_empty(expected["body"])
    if isinstance(message, Query) and "filters_decoded" in expected:
        for data, decoded in zip(message.filters, expected["filters_decoded"], strict=True):
            if decoded["type"] == "node":
                assert decode_filter(data) == NodeFilter(tuple(decoded["value"]))
            else:
                assert decode_filter(data) == TagFilter(decoded["value"]["Tag"], decoded["value"]["Expr"])
    if isinstance(message, Query | QueryResponse) and "payload_decoded" in expected:
        inner = decode_query_payload(message.payload)
        assert as_decoded(inner) == without_empty(expected["payload_decoded"]["body"])


@pytest.mark.parametrize("vector", vectors("udp"), ids=lambda vector: vector["id"])
class TestDatagrams:
    def test_it_decodes_to_what_was_seen(self, vector: dict[str, Any]) -> None:
        packet = decode_packet(envelope(vector).open_packet(bytes.fromhex(vector["hex"])))
        assert packet.refused == []
        expected = flatten(vector["decoded"])
        assert len(packet.messages) == len(expected)
        for message, want in zip(packet.messages, expected, strict=True):
            check_message(message, want)

    def test_its_messages_encode_to_the_very_same_bytes(self, vector: dict[str, Any]) -> None:
        packet = decode_packet(envelope(vector).open_packet(bytes.fromhex(vector["hex"])))
        if vector["origin"] != "captured":
            return  # constructed, with its keys in another order
        plain_parts = raw_parts(envelope(vector).open_packet(bytes.fromhex(vector["hex"])))
        assert [encode_message(message) for message in packet.messages] == plain_parts

    def test_it_encodes_to_an_equivalent_packet(self, vector: dict[str, Any]) -> None:
        outer = envelope(vector)
        packet = decode_packet(outer.open_packet(bytes.fromhex(vector["hex"])))
        parts = [encode_message(message) for message in packet.messages]
        for compress in (False, True):
            for checksum in (False, True):
                again = outer.seal_packet(encode_packet(parts, compress=compress, checksum=checksum))
                assert decode_packet(outer.open_packet(again)) == packet

    def test_serf_messages_encode_to_the_very_same_bytes(self, vector: dict[str, Any]) -> None:
        for message in decode_packet(envelope(vector).open_packet(bytes.fromhex(vector["hex"]))).messages:
            if isinstance(message, User):
                serf = decode_serf(message.payload)
                assert encode_serf(serf) == message.payload
                if isinstance(serf, Query | QueryResponse) and serf.payload[:1] in (b"\x07", b"\x08"):
                    assert encode_serf(decode_query_payload(serf.payload)) == serf.payload


def raw_parts(data: bytes) -> list[bytes]:
    """The encoded messages inside, found without the code under test where that is easy."""
    if data[0] == 12:
        return raw_parts(data[5:])
    if data[0] == 9:
        body = msgpack.decode_map(data[1:])
        content = body[b"Buf"]
        assert isinstance(content, bytes)
        return raw_parts(lzw.decompress(content, 65536))
    if data[0] != 7:
        return [data]
    parts, offset = [], 2 + 2 * data[1]
    for index in range(data[1]):
        size = int.from_bytes(data[2 + 2 * index : 4 + 2 * index], "big")
        parts.append(data[offset : offset + size])
        offset += size
    return parts


def decode_whole_stream(vector: dict[str, Any], data: bytes, chunk: int) -> StreamMessage:
    decoder = StreamDecoder(envelope(vector), dialled=vector["decoded"]["type"] == "label")
    for offset in range(0, len(data), chunk):
        message = decoder.feed(data[offset : offset + chunk])
        if message is not None:
            assert offset + chunk >= len(data)
            return message
    raise AssertionError("the stream ended before its message")


def check_push_pull(message: PushPull, expected: dict[str, Any]) -> None:
    assert message.join == expected["header"]["Join"]
    assert [as_decoded(decode_row(row)) for row in message.rows] == [without_empty(row) for row in expected["nodes"]]
    assert len(message.user_state) == expected["header"]["UserStateLen"]
    if expected["user_state"] is None:
        assert message.user_state == b""
        return
    body = expected["user_state"]["body"]
    state = decode_serf_state(message.user_state)
    assert (state.ltime, state.event_ltime, state.query_ltime) == (body["LTime"], body["EventLTime"], body["QueryLTime"])
    assert dict(state.status_ltimes) == body["StatusLTimes"]
    assert list(state.left_members) == body["LeftMembers"]
    assert len(state.events) == body["Events"]["slots"]
    used = {
        str(index): {"LTime": past.ltime, "Events": [{"Name": name, "Payload": payload.hex()} for name, payload in past.events]}
        for index, past in enumerate(state.events)
        if past is not None
    }
    assert used == body["Events"]["used"]


@pytest.mark.parametrize("vector", vectors("tcp"), ids=lambda vector: vector["id"])
@pytest.mark.parametrize("chunk", [1, 7, 100_000], ids=lambda chunk: f"{chunk}_bytes_at_a_time")
def test_a_stream_decodes_to_what_was_seen_however_it_arrives(vector: dict[str, Any], chunk: int) -> None:
    message = decode_whole_stream(vector, bytes.fromhex(vector["hex"]), chunk)
    (expected,) = flatten(vector["decoded"])
    match message:
        case PushPull():
            check_push_pull(message, expected)
        case User(payload=payload):
            check_serf(payload, expected["message"])
        case Ping() | Ack() | Err():
            assert as_decoded(message) == without_empty(expected["body"])


@pytest.mark.parametrize("vector", vectors("tcp"), ids=lambda vector: vector["id"])
@pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])
def test_a_stream_encodes_to_an_equivalent_one(vector: dict[str, Any], compress: bool) -> None:
    message = decode_whole_stream(vector, bytes.fromhex(vector["hex"]), 100_000)
    dialled = vector["decoded"]["type"] == "label"
    again = envelope(vector).seal_stream(encode_stream(message, compress=compress), dialled=dialled)
    assert decode_whole_stream(vector, again, 100_000) == message
    if isinstance(message, PushPull) and message.user_state:
        state = decode_serf_state(message.user_state)
        assert decode_serf_state(encode_serf_state(state)) == state


def test_rows_of_real_members_are_byte_for_byte_what_we_would_send() -> None:
    """Else a merge would have to decode every one of them, though it knows them all."""
    for vector in vectors("tcp"):
        message = decode_whole_stream(vector, bytes.fromhex(vector["hex"]), 100_000)
        if isinstance(message, PushPull):
            assert [encode_row(decode_row(row)) for row in message.rows] == list(message.rows)


def test_tags_of_real_members_encode_to_the_same_tags() -> None:
    for vector in VECTORS["vectors"]:
        for row in [row for message in flatten(vector["decoded"]) for row in message.get("nodes", [])]:
            if row.get("Tags"):
                assert decode_tags(encode_tags(decode_tags(bytes.fromhex(row["Meta"])))) == row["Tags"]


def lzw_plain(vector: dict[str, Any]) -> bytes:
    if "plain_hex" in vector:
        return bytes.fromhex(vector["plain_hex"])
    if "plain_repeat" in vector:
        return b"abcabcabd" * 900
    return bytes((i * i * 31 + i * 7 + (i >> 8) * 13) & 255 for i in range(vector["plain_len"]))


@pytest.mark.parametrize("vector", VECTORS["codec"]["lzw"], ids=lambda vector: f"{len(lzw_plain(vector))}_bytes")
def test_lzw_is_gos_byte_for_byte(vector: dict[str, Any]) -> None:
    plain_bytes = lzw_plain(vector)
    compressed = lzw.compress(plain_bytes)
    if "lzw_hex" in vector:
        assert compressed.hex() == vector["lzw_hex"]
    else:
        assert len(compressed) == vector["lzw_len"]
        assert hashlib.sha256(compressed).hexdigest() == vector["lzw_sha256"]
    assert lzw.decompress(compressed, len(plain_bytes)) == plain_bytes
    assert lzw.decompress(lzw.compress(plain_bytes, leading_clear=False), len(plain_bytes)) == plain_bytes
    if plain_bytes:
        with pytest.raises(WireError, match="expands_too_far"):
            lzw.decompress(compressed, len(plain_bytes) - 1)
