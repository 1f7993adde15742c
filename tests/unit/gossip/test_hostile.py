"""Hostile and broken input: one typed refusal, counted; never another exception, never memory or time without bound."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc

import pytest

from rostra.gossip.keyring import Keyring
from rostra.gossip.versions import OURS
from rostra.gossip.wire import limits, lzw, msgpack
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.filters import decode_filter
from rostra.gossip.wire.messages import Nack, Ping, PushPull, User, decode_row, encode_message
from rostra.gossip.wire.packets import compress_message, decode_packet, encode_packet
from rostra.gossip.wire.serf_messages import decode_query_payload, decode_serf, decode_serf_state
from rostra.gossip.wire.streams import StreamDecoder, decode_stream
from rostra.gossip.wire.tags import decode_tags

from .hostile import Target, mutate
from .vectors import keys, vectors

KEY = bytes(range(16))
NACK = encode_message(Nack(sequence=7))


def reasons(data: bytes) -> list[Reason]:
    return [error.reason for error in decode_packet(data).refused]


def envelope(*, keyring: bool = True, label: bytes = b"", verify_incoming: bool = True) -> Envelope:
    return Envelope(
        entropy=random.Random(1).randbytes, keyring=Keyring([KEY]) if keyring else None, label=label, verify_incoming=verify_incoming
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"\x06\x80", Reason.UNKNOWN_TYPE),
        (b"\x0a\x00\x00\x00\x01x", Reason.UNKNOWN_TYPE),
        (b"\xff", Reason.UNKNOWN_TYPE),
        (b"\x00", Reason.MALFORMED),
        (b"\x00\x90", Reason.MALFORMED),
        (b"\x00\xc1", Reason.MALFORMED),
        (b"\x00\x81\x90\x01", Reason.MALFORMED),
        (b"\x0b" + msgpack.encode({"SeqNo": "7"}), Reason.MALFORMED),
        (b"\x0b" + msgpack.encode({"SeqNo": -1}), Reason.MALFORMED),
        (b"\x0b" + msgpack.encode({"SeqNo": 2**32}), Reason.MALFORMED),
        (b"\x0b" + msgpack.encode({"SeqNo": True}), Reason.MALFORMED),
        (b"\x00" + msgpack.encode({"Node": b"\xff\xfe"}), Reason.BAD_NAME),
        (b"\x00" + msgpack.encode({"Node": "n" * (limits.NAME_BYTES + 1)}), Reason.BAD_NAME),
        (b"\x0c\x00", Reason.TRUNCATED),
        (b"\x0c\x00\x00\x00\x00" + NACK, Reason.BAD_CHECKSUM),
        (b"\x07", Reason.TRUNCATED),
        (b"\x07\x02\x00\x01", Reason.TRUNCATED),
        (b"\x09" + msgpack.encode({"Algo": 1, "Buf": b""}), Reason.BAD_COMPRESSION),
        (b"\x09" + msgpack.encode({"Algo": 0, "Buf": b"\x00"}), Reason.BAD_COMPRESSION),
        (b"\x09" + msgpack.encode({"Algo": 0, "Buf": lzw.compress(b"")}), Reason.EMPTY),
    ],
)
def test_a_broken_datagram_is_refused_for_a_reason(data: bytes, reason: Reason) -> None:
    assert reasons(data) == [reason]


def test_the_good_parts_of_a_compound_count_though_others_are_bad() -> None:
    packet = decode_packet(encode_packet([NACK, b"\xc0", NACK], compress=False, checksum=True))
    assert packet.messages == [Nack(sequence=7)] * 2
    assert [error.reason for error in packet.refused] == [Reason.UNKNOWN_TYPE]


def test_the_complete_parts_of_a_truncated_compound_count() -> None:
    packet = decode_packet(encode_packet([NACK, NACK, NACK], compress=False, checksum=False)[:-1])
    assert packet.messages == [Nack(sequence=7)] * 2
    assert [error.reason for error in packet.refused] == [Reason.TRUNCATED]


def nested(depth: int) -> bytes:
    data = NACK
    for _ in range(depth):
        data = b"\x07\x01" + struct.pack(">H", len(data)) + data
    return data


def test_compounds_nest_as_deep_as_the_limit_and_no_deeper() -> None:
    assert decode_packet(nested(limits.NESTING)).messages == [Nack(sequence=7)]
    assert reasons(nested(limits.NESTING + 1)) == [Reason.NESTED_TOO_DEEP]


def test_a_datagram_of_very_many_messages_is_cut_off() -> None:
    part = NACK
    wide = b"\x07\xff" + struct.pack(">255H", *[len(part)] * 255) + part * 255
    wider = b"\x07\x08" + struct.pack(">8H", *[len(wide)] * 8) + wide * 8
    packet = decode_packet(wider)
    assert len(packet.messages) == limits.PACKET_MESSAGES
    assert Reason.OVERSIZED in [error.reason for error in packet.refused]


def test_a_decompression_bomb_is_cut_off_also_when_it_is_split() -> None:
    bomb = compress_message(b"\x08" + bytes(limits.PACKET_EXPANDED_BYTES))
    assert len(bomb) < 2000
    assert reasons(bomb) == [Reason.EXPANDS_TOO_FAR]
    half = compress_message(b"\x08" + bytes(limits.PACKET_EXPANDED_BYTES // 2))
    packet = decode_packet(encode_packet([half] * 5, compress=False, checksum=False))
    assert sum(len(message.payload) for message in packet.messages if isinstance(message, User)) <= limits.PACKET_EXPANDED_BYTES
    assert {error.reason for error in packet.refused} == {Reason.EXPANDS_TOO_FAR}


MSGPACK_BOMBS = [
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\x91" * 60_000,
    b"\xdc\x04\x00" * 20_000,
    b"\x81\xa1a" * 20_000,
    b"\xde\x04\x00\xa1a" * 10_000,
    b"\xc9\xff\xff\xff\xff\x01",
    b"\xd6\xff\xff\xff\xff\xff",
]


@pytest.mark.parametrize("bomb", MSGPACK_BOMBS, ids=lambda bomb: bomb[:5].hex())
def test_a_msgpack_bomb_costs_little_memory_and_time_wherever_it_is_put(bomb: bytes) -> None:
    tracemalloc.start()
    started = time.process_time()
    for prefix in (b"\x00", b"\x04", b"\x09", b"\x08\x04", b"\x08\x09"):
        packet = decode_packet(prefix + bomb)
        for message in packet.messages:
            assert isinstance(message, User)
            with pytest.raises(WireError):
                decode_serf(message.payload)
    for prefix in (b"\x06", b"\x06" + msgpack.encode({"Nodes": 1}), b"\x08", b"\x0d", b"\x09"):
        with pytest.raises(WireError):
            decode_with_rows(prefix + bomb)
    state = b"\x02\x81" + msgpack.encode("StatusLTimes")
    for data in (b"\x02" + bomb, state + bomb, b"\x02\x81" + msgpack.encode("Events") + bomb):
        with pytest.raises(WireError):
            decode_serf_state(data)
    for decode in (decode_query_payload, decode_filter):
        with pytest.raises(WireError):
            decode(b"\x07" + bomb if decode is decode_query_payload else b"\x01" + bomb)
    assert decode_tags(b"\xff" + bomb) == {}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * 1024 * 1024
    assert time.process_time() - started < 10


class TestEncryption:
    def test_what_is_not_encrypted_is_refused_unless_told_otherwise(self) -> None:
        with pytest.raises(WireError):
            envelope().open_packet(NACK)
        assert envelope(verify_incoming=False).open_packet(NACK) == NACK

    def test_another_key_is_refused(self) -> None:
        sealed = Envelope(entropy=random.Random(2).randbytes, keyring=Keyring([b"k" * 32])).seal_packet(NACK)
        with pytest.raises(WireError) as refusal:
            envelope().open_packet(sealed)
        assert refusal.value.reason is Reason.WRONG_KEY

    def test_a_changed_byte_anywhere_is_refused(self) -> None:
        sealed = envelope().seal_packet(NACK)
        for position in range(1, len(sealed)):
            changed = bytearray(sealed)
            changed[position] ^= 1
            with pytest.raises(WireError):
                envelope().open_packet(bytes(changed))

    def test_an_encrypted_stream_without_a_keyring_is_refused_with_an_answer_in_clear(self) -> None:
        target = Target(random.Random(1))
        with pytest.raises(WireError) as refusal:
            StreamDecoder(envelope(keyring=False), dialled=True).feed(envelope().seal_stream(NACK, dialled=True))
        assert refusal.value.reason is Reason.ENCRYPTED
        answer = target.core.refuse_stream(refusal.value)
        assert answer is not None
        assert answer[:1] == b"\x09"

    def test_a_frame_larger_than_the_limit_is_refused_before_it_is_read(self) -> None:
        header = b"\x0a" + struct.pack(">I", limits.FRAME_BYTES + 1)
        with pytest.raises(WireError) as refusal:
            StreamDecoder(envelope(), dialled=True).feed(header)
        assert refusal.value.reason is Reason.OVERSIZED


class TestLabel:
    @pytest.mark.parametrize("data", [NACK, b"\xf4\x00", b"\xf4\x05greenX", b"\xf4\x04blu3X"])
    def test_a_pool_with_a_label_takes_no_other(self, data: bytes) -> None:
        with pytest.raises(WireError) as refusal:
            envelope(keyring=False, label=b"blue").open_packet(data)
        assert refusal.value.reason is Reason.WRONG_LABEL

    def test_a_pool_without_one_takes_none(self) -> None:
        with pytest.raises(WireError) as refusal:
            envelope(keyring=False).open_packet(b"\xf4\x04blue" + NACK)
        assert refusal.value.reason is Reason.WRONG_LABEL

    def test_a_stream_shows_its_label_byte_by_byte(self) -> None:
        outer = envelope(label=b"blue")
        data = outer.seal_stream(encode_message(Ping(sequence=1)), dialled=True)
        decoder = StreamDecoder(outer, dialled=True)
        messages = [decoder.feed(data[index : index + 1]) for index in range(len(data))]
        assert messages[-1] == Ping(sequence=1)
        assert set(messages[:-1]) == {None}


def test_a_stream_that_promises_more_than_the_limits_is_refused_at_its_header() -> None:
    for header in ({"Nodes": 2**40}, {"Nodes": -1}, {"UserStateLen": 2**40}, {"UserStateLen": -5}):
        with pytest.raises(WireError) as refusal:
            decode_stream(b"\x06" + msgpack.encode(header))
        assert refusal.value.reason is Reason.OVERSIZED
    with pytest.raises(WireError):
        decode_stream(b"\x08" + msgpack.encode({"UserMsgLen": 2**40}))


def test_one_unreadable_row_does_not_hide_the_others() -> None:
    def row(name: bytes) -> bytes:
        return msgpack.encode(
            {"Name": name, "Addr": b"\x7f\0\0\1", "Port": 1, "Incarnation": 1, "State": 0, "Vsn": bytes(OURS), "Meta": None}
        )

    data = b"\x06" + msgpack.encode({"Nodes": 3, "Join": True, "UserStateLen": 0}) + row(b"a") + row(b"\xff") + row(b"c")
    target = Target(random.Random(1))
    target.stream(data, chunk=1000)
    assert list(target.core.membership.nodes) == ["alpha", "a", "c"]
    assert target.core.refused == {Reason.BAD_NAME: 1}


def decode_with_rows(data: bytes) -> None:
    message = decode_stream(data)
    assert isinstance(message, PushPull)
    for row in message.rows:
        decode_row(row)


PACKETS = 200_000
STREAMS = 4_000


@pytest.mark.timeout(900)
def test_mutated_packets_and_streams_never_break_a_member() -> None:
    """Fixed seed. Whatever arrives, the core keeps its bounds and its own place in the pool."""
    rng = random.Random(20_240_229)
    encrypted = Target(rng, [KEY])
    plain = Target(rng)
    mixed = Target(rng, [KEY], verify_incoming=False)
    targets = (plain, mixed, encrypted)
    corpus = [opened(vector) for vector in vectors("udp")] + [bytes.fromhex(vector["hex"]) for vector in vectors("udp")]
    for number in range(PACKETS):
        data = mutate(corpus[number % len(corpus)], corpus, rng)
        target = targets[number % 8 % 3]
        target.packet(encrypted.envelope.seal_packet(data) if target is encrypted else data)
    streams = [bytes.fromhex(vector["hex"]) for vector in vectors("tcp")]
    for number in range(STREAMS):
        data = mutate(streams[number % len(streams)], streams, rng)
        targets[number % 3].stream(data, chunk=rng.choice((1, 100, 100_000)) if len(data) < 1000 else 100_000)
    for target in targets:
        core = target.core
        assert core.membership.local.name == "alpha"
        assert core.serf.members.member("alpha") is not None
        assert len(core.membership.nodes) < 5000
        assert len(core.serf.members) < 5000
        assert max(core.stats()[name] for name in core.stats() if name.startswith("queued")) <= 4096
        assert sum(core.refused.values()) > 1000
        assert target.bytes_out < 200 * PACKETS


def opened(vector: dict[str, object]) -> bytes:
    """The datagram without label and encryption, so that mutations reach what is inside."""
    ring = Keyring(keys(vector)) if keys(vector) else None
    decoded = vector["decoded"]
    assert isinstance(decoded, dict)
    outer = Envelope(entropy=bytes, keyring=ring, label=str(decoded.get("label", "")).encode())
    return outer.open_packet(bytes.fromhex(str(vector["hex"])))
