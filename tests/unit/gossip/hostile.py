"""Mutations of real packets, as an attacker or a broken network makes them, and a core to throw them at."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

from rostra.gossip.address import Address
from rostra.gossip.core import Core, CoreConfig
from rostra.gossip.keyring import Keyring
from rostra.gossip.timing import LAN
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.errors import WireError
from rostra.gossip.wire.packets import compress_message
from rostra.gossip.wire.streams import StreamDecoder

SOURCE = Address(bytes((127, 0, 0, 1)), 7946)

_INTERESTING = (0, 1, 7, 9, 10, 12, 13, 0x7F, 0x80, 0x8F, 0x90, 0xC0, 0xC1, 0xC4, 0xC7, 0xCF, 0xD9, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 244, 255)


def mutate(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """``data`` changed in one to four places."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        rng.choice(_MUTATIONS)(changed, others, rng)
    return bytes(changed[:65_535])


def _flip_bit(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set_byte(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice(_INTERESTING)


def _truncate(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _cut_out(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start : start + rng.randrange(16)]


def _repeat(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    data[start:start] = data[start : start + rng.randrange(64)] * rng.randrange(1, 8)


def _splice(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(others)
    data[rng.randrange(len(data) + 1) :] = other[rng.randrange(len(other) + 1) :]


def _huge_length(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    header = rng.choice((b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9")) + struct.pack(">I", rng.choice((2**32 - 1, 2**31, 65_536, 1025)))
    start = rng.randrange(len(data) + 1)
    data[start : start + rng.randrange(6)] = header


def _wrap(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    """Inside a compound, or compressed."""
    if len(data) > 4096:
        return
    if rng.random() < 0.5:
        data[:] = b"\x07\x02" + struct.pack(">HH", len(data), len(data)) + data + data
    else:
        data[:] = compress_message(bytes(data))


_MUTATIONS: tuple[Callable[[bytearray, Sequence[bytes], random.Random], None], ...] = (
    _flip_bit,
    _set_byte,
    _set_byte,
    _truncate,
    _cut_out,
    _repeat,
    _splice,
    _huge_length,
    _wrap,
)


class Target:
    """A member that takes whatever comes."""

    def __init__(self, rng: random.Random, keys: Sequence[bytes] = (), *, verify_incoming: bool = True) -> None:
        ring = Keyring(keys) if keys else None
        self.envelope = Envelope(entropy=rng.randbytes, keyring=ring, verify_incoming=verify_incoming)
        self.now = 1000.0
        self.core = Core(CoreConfig("alpha", SOURCE, {"role": "test"}, LAN), self.envelope, rng, self.now)
        self.bytes_out = 0

    def packet(self, data: bytes) -> None:
        self.core.receive_packet(data, SOURCE, self.now)
        self.pass_time()

    def stream(self, data: bytes, chunk: int) -> None:
        decoder = StreamDecoder(self.envelope, dialled=True)
        try:
            for offset in range(0, len(data), chunk):
                if (message := decoder.feed(data[offset : offset + chunk])) is not None:
                    self.core.receive_stream(message, self.now)
                    break
        except WireError as error:
            self.core.refuse_stream(error)
        self.pass_time()

    def pass_time(self) -> None:
        self.now += 0.01
        self.core.tick(self.now)
        output = self.core.take()
        self.bytes_out += sum(len(packet.data) for packet in output.packets)
        for stream in output.streams:
            self.core.on_stream_failure(stream.exchange, "no network here")
        self.core.take()
