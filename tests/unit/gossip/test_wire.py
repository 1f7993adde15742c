"""The codec: encode and decode are inverse, and every form that real peers accept is accepted."""

from __future__ import annotations

import contextlib

import msgpack as library
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.errors import BadRequest
from rostra.gossip.wire import lzw, msgpack
from rostra.gossip.wire.errors import WireError
from rostra.gossip.wire.messages import (
    Ack,
    Alive,
    Dead,
    Err,
    IndirectPing,
    Nack,
    PacketMessage,
    Ping,
    PushPull,
    Row,
    RowState,
    StreamMessage,
    Suspect,
    User,
    decode_row,
    encode_message,
    encode_row,
)
from rostra.gossip.wire.packets import decode_packet, encode_packet
from rostra.gossip.wire.records import boolean, name, number, octets, text, uint16, uint64
from rostra.gossip.wire.serf_messages import (
    ConflictResponse,
    JoinIntent,
    KeyRequest,
    KeyResponse,
    LeaveIntent,
    PastEvents,
    Query,
    QueryPayload,
    QueryResponse,
    Relay,
    SerfMessage,
    SerfState,
    UserEvent,
    decode_query_payload,
    decode_serf,
    decode_serf_state,
    encode_serf,
    encode_serf_state,
)
from rostra.gossip.wire.streams import decode_stream, encode_stream
from rostra.gossip.wire.tags import decode_tags, encode_tags

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
octet_strings = st.binary(max_size=80)
u8, u16, u32 = st.integers(0, 2**8 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
source = {"source_ip": st.binary(max_size=16), "source_port": u16, "source_node": names}
pings = st.builds(Ping, sequence=u32, node=names, **source)
acks = st.builds(Ack, sequence=u32, payload=octet_strings)
users = st.builds(User, payload=octet_strings)
packet_messages: st.SearchStrategy[PacketMessage] = st.one_of(
    pings,
    acks,
    users,
    st.builds(IndirectPing, sequence=u32, node=names, target_ip=octet_strings, target_port=u16, nack=st.booleans(), **source),
    st.builds(Nack, sequence=u32),
    st.builds(Suspect, incarnation=u32, node=names, accuser=names),
    st.builds(Dead, incarnation=u32, node=names, accuser=names),
    st.builds(Alive, incarnation=u32, node=names, ip=octet_strings, port=u16, meta=octet_strings, versions=octet_strings),
)
rows = st.builds(
    Row,
    name=names,
    ip=octet_strings,
    port=u16,
    meta=octet_strings,
    incarnation=u32,
    state=st.sampled_from(RowState),
    versions=octet_strings,
)
stream_messages: st.SearchStrategy[StreamMessage] = st.one_of(
    pings,
    acks,
    users,
    st.builds(Err, error=names),
    st.builds(PushPull, join=st.booleans(), rows=st.lists(rows.map(encode_row), max_size=5).map(tuple), user_state=octet_strings),
)
responses = st.builds(QueryResponse, ltime=u64, query_id=u32, responder=names, flags=u32, payload=octet_strings)
serf_messages: st.SearchStrategy[SerfMessage] = st.one_of(
    responses,
    st.builds(JoinIntent, ltime=u64, node=names),
    st.builds(LeaveIntent, ltime=u64, node=names, prune=st.booleans()),
    st.builds(UserEvent, ltime=u64, name=names, payload=octet_strings, coalesce=st.booleans()),
    st.builds(
        Query,
        ltime=u64,
        query_id=u32,
        ip=octet_strings,
        port=u16,
        source_node=names,
        filters=st.lists(octet_strings, max_size=3).map(tuple),
        flags=u32,
        relay_factor=u8,
        timeout_ns=st.integers(-(2**63), 2**63 - 1),
        name=names,
        payload=octet_strings,
    ),
    st.builds(Relay, ip=octet_strings, port=u16, node=names, message=octet_strings),
)
query_payloads: st.SearchStrategy[QueryPayload] = st.one_of(
    st.builds(KeyRequest, key=octet_strings),
    st.builds(KeyResponse, result=st.booleans(), message=names, keys=st.lists(names, max_size=3).map(tuple), primary_key=names),
    st.builds(ConflictResponse, name=names, ip=octet_strings, port=u16, tags=st.dictionaries(names, names, max_size=3), status=u8),
)
past_events = st.builds(PastEvents, u64, st.lists(st.tuples(names, octet_strings), max_size=3).map(tuple))
serf_states = st.builds(
    SerfState,
    ltime=u64,
    status_ltimes=st.dictionaries(names, u64, max_size=5),
    left_members=st.lists(names, max_size=3).map(tuple),
    event_ltime=u64,
    events=st.lists(st.one_of(st.none(), past_events), max_size=5).map(tuple),
    query_ltime=u64,
)


@given(st.lists(packet_messages, min_size=1, max_size=6), st.booleans(), st.booleans())
def test_datagrams_decode_to_what_was_encoded(messages: list[PacketMessage], compress: bool, checksum: bool) -> None:
    packet = decode_packet(encode_packet([encode_message(message) for message in messages], compress=compress, checksum=checksum))
    assert packet.refused == []
    assert packet.messages == messages


@given(stream_messages, st.booleans())
def test_streams_decode_to_what_was_encoded(message: StreamMessage, compress: bool) -> None:
    assert decode_stream(encode_stream(message, compress=compress)) == message


@given(rows)
def test_rows_decode_to_what_was_encoded(row: Row) -> None:
    assert decode_row(encode_row(row)) == row


@given(serf_messages)
def test_serf_messages_decode_to_what_was_encoded(message: SerfMessage) -> None:
    assert decode_serf(encode_serf(message)) == message


@given(query_payloads)
def test_query_payloads_decode_to_what_was_encoded(message: QueryPayload) -> None:
    assert decode_query_payload(encode_serf(message)) == message


@given(serf_states)
def test_serf_states_decode_to_what_was_encoded(state: SerfState) -> None:
    assert decode_serf_state(encode_serf_state(state)) == state


@given(st.binary(max_size=3000))
def test_lzw_is_inverse(data: bytes) -> None:
    for leading_clear in (True, False):
        assert lzw.decompress(lzw.compress(data, leading_clear=leading_clear), len(data)) == data


def test_lzw_is_inverse_where_its_table_fills_up() -> None:
    for size in range(3830, 3850):  # around the first clear of data that never repeats a pair soon
        data = bytes((index * index * 31 + index * 7) >> 3 & 255 for index in range(size))
        assert lzw.decompress(lzw.compress(data), size) == data


@given(st.binary(max_size=300))
def test_whatever_lzw_is_given_it_answers_or_refuses(data: bytes) -> None:
    with contextlib.suppress(WireError):
        assert len(lzw.decompress(data, 10_000)) <= 10_000


def test_only_the_old_specification_is_sent() -> None:
    message = Alive(incarnation=1, node="n" * 40, ip=bytes(4), port=1, meta=bytes(300), versions=bytes(6))
    encoded = encode_message(message)
    assert b"\xd9" not in encoded
    assert encoded.count(b"\xda") == 2


NEW_SPECIFICATION = library.packb(
    {"Node": "n" * 40, "Addr": b"\x7f\0\0\1", "Port": 1, "Meta": b"m" * 40, "Incarnation": 7, "Vsn": bytes(6)}
)
ARRAYS = library.packb({b"Node": b"n" * 40, b"Addr": [127, 0, 0, 1], b"Port": 1, b"Meta": [109] * 40, b"Incarnation": 7, b"Vsn": [0] * 6})
WIDE = b"\xde\x00\x06" + b"".join(
    library.packb(key, use_bin_type=False) + value
    for key, value in (
        ("Node", library.packb("n" * 40, use_bin_type=False)),
        ("Addr", b"\xdb\x00\x00\x00\x04\x7f\0\0\1"),
        ("Port", b"\xd3" + (1).to_bytes(8, "big")),
        ("Meta", b"\xc6" + (40).to_bytes(4, "big") + b"m" * 40),
        ("Incarnation", b"\xcf" + (7).to_bytes(8, "big")),
        ("Vsn", b"\xc4\x06" + bytes(6)),
    )
)
EXTRA = library.packb({"Node": "n" * 40, "Addr": b"\x7f\0\0\1", "Port": 1, "Meta": b"m" * 40, "Incarnation": 7, "Vsn": bytes(6), "X": [{}]})


@pytest.mark.parametrize(
    "body", [NEW_SPECIFICATION, ARRAYS, WIDE, EXTRA, EXTRA + b"trailing"], ids=["new", "arrays", "wide", "extra", "tail"]
)
def test_every_form_that_real_peers_accept_is_accepted(body: bytes) -> None:
    (message,) = decode_packet(b"\x04" + body).messages
    assert message == Alive(incarnation=7, node="n" * 40, ip=b"\x7f\0\0\1", port=1, meta=b"m" * 40, versions=bytes(6))


def test_missing_and_nil_are_zero_and_names_are_exact() -> None:
    (message,) = decode_packet(b"\x03" + library.packb({"Node": None, "incarnation": 7})).messages
    assert message == Suspect(incarnation=0, node="", accuser="")


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (uint16, [(0, 0), (65535, 65535), (None, 0)], [-1, 65536, 1.0, True, b"1"]),
        (uint64, [(2**64 - 1, 2**64 - 1)], [-1]),
        (boolean, [(True, True), (None, False)], [1, b""]),
        (number, [(1, 1.0), (0.5, 0.5), (None, 0.0)], [float("nan"), float("inf"), b"1", True]),
        (octets, [(b"x", b"x"), ([1, 2], b"\1\2"), (None, b"")], [[256], ["a"], 5, {}]),
        (text, [(b"x", "x"), (b"\xff", "\ufffd"), (None, "")], [5, [], bytes(20_000)]),
        (name, [(b"x", "x"), (None, "")], [b"\xff", bytes(600), 5]),
    ],
)
def test_each_kind_of_field_takes_what_it_should(read: object, good: list[tuple[object, object]], bad: list[object]) -> None:
    assert callable(read)
    for value, expected in good:
        assert read(value) == expected
    for value in bad:
        with pytest.raises(WireError):
            read(value)


def test_tags_of_old_members_are_a_bare_role_and_no_tags_are_two_bytes() -> None:
    assert decode_tags(b"database") == {"role": "database"}
    assert decode_tags(b"") == {"role": ""}
    assert encode_tags({}) == b"\xff\x80"
    assert decode_tags(b"\xff\x80") == {}
    assert decode_tags(b"\xff\xc1") == {}


def test_tags_have_512_bytes() -> None:
    encode_tags({"a": "x" * (512 - 7)})
    with pytest.raises(BadRequest):
        encode_tags({"a": "x" * (512 - 6)})


def test_bytes_that_never_end_are_refused_at_the_capacity() -> None:
    reader = msgpack.Reader(100)
    reader.feed(b"\xdb\x00\x00\xff\xff" + bytes(95))
    with pytest.raises(WireError):
        reader.feed(b"x")
