"""Datagrams without their envelope: checksum, compression, compound, messages (gossip-wire sections 3.2 to 3.5)."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from rostra.gossip.wire import limits, lzw, msgpack
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.messages import COMPRESS_RECORD, PACKET_RECORDS, Compressed, MessageType, PacketMessage, User

COMPOUND_HEADER_BYTES: Final = 2
COMPOUND_PART_BYTES: Final = 2
"""What each part of a compound costs beyond its own length."""

MAX_COMPOUND_PARTS: Final = 255

_WORTH_COMPRESSING_BYTES: Final = 256
"""Shorter messages hardly ever shrink below the wrapping that compression adds, so they are not tried: pings, acks, one alive."""

_CRC_HEADER: Final = struct.Struct(">BI")


class DecodedPacket(NamedTuple):
    """The messages of one datagram in order, and what in it was refused: a bad part does not spoil the others."""

    messages: list[PacketMessage]
    refused: list[WireError]


def decode_packet(data: bytes) -> DecodedPacket:
    """The messages in ``data``, which is what is left of a datagram without label and encryption. Never raises."""
    decoder = _Decoder()
    try:
        if data[:1] == b"\x0c":  # a checksum is understood outermost only
            data = _checked(data)
        decoder.message(data, 0)
    except WireError as error:
        decoder.refused.append(error)
    return DecodedPacket(decoder.messages, decoder.refused)


def encode_packet(parts: Sequence[bytes], *, compress: bool, checksum: bool) -> bytes:
    """One datagram of encoded messages: bare when it is one, else a compound of at most ``MAX_COMPOUND_PARTS``."""
    packet = parts[0] if len(parts) == 1 else _compound(parts)
    if compress and len(packet) >= _WORTH_COMPRESSING_BYTES:
        packet = min(packet, _compressed(packet), key=len)
    if checksum:
        packet = _CRC_HEADER.pack(MessageType.HAS_CRC, zlib.crc32(packet)) + packet
    return packet


def compress_message(message: bytes) -> bytes:
    """A compress message around ``message``."""
    return bytes((MessageType.COMPRESS,)) + COMPRESS_RECORD.encode(Compressed(algorithm=0, content=lzw.compress(message)))


@functools.lru_cache(maxsize=16)
def _compressed(packet: bytes) -> bytes:
    """The same news go to several members in a row."""
    return compress_message(packet)


def decompress_body(body: dict[object, object], limit: int) -> bytes:
    """The message inside the body of a compress message."""
    compressed = COMPRESS_RECORD.from_map(body)
    if compressed.algorithm != 0:
        raise WireError(Reason.BAD_COMPRESSION, "unknown algorithm")
    return lzw.decompress(compressed.content, limit)


def _compound(parts: Sequence[bytes]) -> bytes:
    assert 1 < len(parts) <= MAX_COMPOUND_PARTS
    return struct.pack(f">BB{len(parts)}H", MessageType.COMPOUND, len(parts), *map(len, parts)) + b"".join(parts)


def _checked(data: bytes) -> bytes:
    if len(data) < _CRC_HEADER.size:
        raise WireError(Reason.TRUNCATED, "checksum")
    inner = data[_CRC_HEADER.size :]
    if zlib.crc32(inner) != _CRC_HEADER.unpack_from(data)[1]:
        raise WireError(Reason.BAD_CHECKSUM)
    return inner


class _Decoder:
    """Unwraps one datagram; the counters are shared by all its layers, so nesting multiplies nothing."""

    def __init__(self) -> None:
        self.messages: list[PacketMessage] = []
        self.refused: list[WireError] = []
        self._expandable = limits.PACKET_EXPANDED_BYTES

    def message(self, data: bytes, depth: int) -> None:
        if not data:
            raise WireError(Reason.EMPTY)
        if depth > limits.NESTING:
            raise WireError(Reason.NESTED_TOO_DEEP)
        if len(self.messages) + len(self.refused) >= limits.PACKET_MESSAGES:
            raise WireError(Reason.OVERSIZED, "messages in a datagram")
        kind, body = data[0], data[1:]
        if (record := PACKET_RECORDS.get(kind)) is not None:
            self.messages.append(record.decode(body))
        elif kind == MessageType.USER:
            self.messages.append(User(payload=body))
        elif kind == MessageType.COMPOUND:
            self._parts(body, depth)
        elif kind == MessageType.COMPRESS:
            if len(body) > limits.PACKET_COMPRESSED_BYTES:
                raise WireError(Reason.OVERSIZED, "compressed content")
            inner = decompress_body(msgpack.decode_map(body), self._expandable)
            self._expandable -= len(inner)
            self.message(inner, depth + 1)
        else:
            raise WireError(Reason.UNKNOWN_TYPE, str(kind))

    def _parts(self, body: bytes, depth: int) -> None:
        count = body[0] if body else 0
        offset = 1 + COMPOUND_PART_BYTES * count
        if not body or len(body) < offset:
            raise WireError(Reason.TRUNCATED, "compound header")
        for size in struct.unpack_from(f">{count}H", body, 1):
            if offset + size > len(body):  # complete parts before it still count
                raise WireError(Reason.TRUNCATED, "compound part")
            try:
                self.message(body[offset : offset + size], depth + 1)
            except WireError as error:
                if error.reason is Reason.OVERSIZED:
                    raise
                self.refused.append(error)
            offset += size
