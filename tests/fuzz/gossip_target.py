"""Members that take any bytes, for fuzzing: nothing but a counted refusal may come of them.

The first byte of an input says where the rest goes in: as a datagram or as a stream, plain, or past a decryption that has succeeded. The
members live on from input to input, so that their bounds are tested too.
"""

from __future__ import annotations

import random

from rostra.gossip.keyring import Keyring
from rostra.gossip.wire.envelope import Envelope

from ..unit.gossip.hostile import Target
from ..unit.gossip.vectors import keys, label, vectors

KEY = bytes(range(16))
INPUT_BYTES_MAX = 4096


class Fuzzed:
    """One plain member and one of an encrypted pool."""

    def __init__(self) -> None:
        self.plain = Target(random.Random(1))
        self.encrypted = Target(random.Random(2), [KEY])

    def one_input(self, data: bytes) -> None:
        """Nothing but a counted refusal may come of it, and nothing may grow without end."""
        way, rest = data[:1], data[1:]
        if way == b"\x00":
            self.plain.packet(rest)
        elif way == b"\x01":
            self.encrypted.packet(self.encrypted.envelope.seal_packet(rest))
        elif way == b"\x02":
            self.plain.stream(rest, chunk=100_000)
        elif way == b"\x03":
            self.encrypted.stream(self.encrypted.envelope.seal_stream(rest, dialled=True), chunk=100_000)
        elif way == b"\x04":
            self.plain.stream(rest, chunk=7)
        else:
            self.encrypted.packet(rest)
        for target in (self.plain, self.encrypted):
            stats = target.core.stats()
            assert target.core.serf.members.member("alpha") is not None
            assert stats["members"] <= 65_536
            assert max(count for name, count in stats.items() if name.startswith("queued")) <= 4096


def seeds() -> list[bytes]:
    """What real peers sent, without label and encryption, and as it was."""
    found = []
    for vector in vectors("udp"):
        data = bytes.fromhex(vector["hex"])
        envelope = Envelope(entropy=bytes, keyring=Keyring(keys(vector)) if keys(vector) else None, label=label(vector))
        opened = envelope.open_packet(data)
        found += [b"\x00" + opened, b"\x01" + opened, b"\xff" + data]
    for vector in vectors("tcp"):
        data = bytes.fromhex(vector["hex"])
        found += [b"\x02" + data, b"\x03" + data, b"\x04" + data]
    return [seed for seed in found if len(seed) <= INPUT_BYTES_MAX]
