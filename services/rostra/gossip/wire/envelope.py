"""The outermost layers of datagrams and streams: label and encryption (gossip-wire sections 4 and 5)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from rostra.gossip.keyring import Keyring
from rostra.gossip.wire import boxes, limits
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.messages import MessageType

_LABEL: Final = MessageType.LABEL
_FRAME_HEADER: Final = struct.Struct(">BI")
FRAME_HEADER_BYTES: Final = _FRAME_HEADER.size


class Envelope:
    """How one pool wraps what it sends and unwraps what it receives.

    ``entropy`` gives that many fresh random bytes of the system: nonces must not repeat, so they never come from the seeded
    generator of the cores. With a keyring and without ``verify_incoming`` plain bytes are accepted too; without ``verify_outgoing``
    we send plain: how an operator turns encryption on in a running cluster.
    """

    def __init__(
        self,
        *,
        entropy: Callable[[int], bytes],
        keyring: Keyring | None = None,
        label: bytes = b"",
        verify_incoming: bool = True,
        verify_outgoing: bool = True,
    ) -> None:
        assert len(label) <= 255
        self._entropy = entropy
        self.keyring = keyring
        self._verify_incoming = verify_incoming
        self._verify_outgoing = verify_outgoing
        self._label = label
        self._label_header = bytes((_LABEL, len(label))) + label if label else b""

    @property
    def packet_overhead(self) -> int:
        """Bytes that sealing adds to a datagram."""
        return len(self._label_header) + (boxes.OVERHEAD_BYTES if self._seals else 0)

    @property
    def _seals(self) -> bool:
        return self.keyring is not None and self._verify_outgoing

    def seal_packet(self, packet: bytes) -> bytes:
        if self.keyring is not None and self._verify_outgoing:
            packet = boxes.seal(self.keyring.primary, packet, self._label, self._entropy(boxes.NONCE_BYTES))
        return self._label_header + packet

    def open_packet(self, data: bytes) -> bytes:
        data = data[self.label_size(data) or 0 :]
        if self.keyring is None:
            return data
        try:
            return boxes.open_box(self.keyring.keys, data, self._label)
        except WireError:
            if self._verify_incoming:
                raise
            return data

    def label_size(self, data: bytes) -> int | None:
        """How many bytes at the start of a datagram or dialled stream are the label header; None: not enough has arrived.

        A label other than the pool's is refused, and so is none at all where the pool has one.
        """
        if not data:
            return None
        if data[0] != _LABEL:
            if self._label:
                raise WireError(Reason.WRONG_LABEL, "no label")
            return 0
        size = 2 + data[1] if len(data) > 1 else 2
        if len(data) < size or size == 2:
            if len(data) > 1 and size == 2:
                raise WireError(Reason.WRONG_LABEL, "empty label")
            return None
        if data[:size] != self._label_header:
            raise WireError(Reason.WRONG_LABEL, "another label")
        return size

    def seal_stream(self, message: bytes, *, dialled: bool) -> bytes:
        """All that one side writes on a stream. Only the side that dialled writes the label, both authenticate it."""
        if self.keyring is not None and self._verify_outgoing:
            header = _FRAME_HEADER.pack(MessageType.ENCRYPT, boxes.OVERHEAD_BYTES + len(message))
            message = header + boxes.seal(self.keyring.primary, message, header + self._label, self._entropy(boxes.NONCE_BYTES))
        return (self._label_header if dialled else b"") + message

    def frame_size(self, header: bytes) -> int:
        """How long the box is that follows this frame header."""
        if self.keyring is None:
            raise WireError(Reason.ENCRYPTED, "the stream is encrypted and this pool has no keyring")
        size = int(_FRAME_HEADER.unpack(header)[1])
        if not boxes.OVERHEAD_BYTES <= size <= limits.FRAME_BYTES:
            raise WireError(Reason.OVERSIZED, "frame")
        return size

    def open_frame(self, header: bytes, box: bytes) -> bytes:
        if self.keyring is None:
            raise WireError(Reason.ENCRYPTED, "the stream is encrypted and this pool has no keyring")
        return boxes.open_box(self.keyring.keys, box, header + self._label)

    def check_plain_stream(self) -> None:
        """A stream that is not encrypted has arrived: is that all right?"""
        if self.keyring is not None and self._verify_incoming:
            raise WireError(Reason.NOT_ENCRYPTED, "the stream is not encrypted and this pool requires it")
