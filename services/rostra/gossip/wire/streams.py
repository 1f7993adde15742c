"""Streams: one message each way over TCP, then close (gossip-wire section 6). Sans-I/O: bytes are fed in as they arrive."""

from __future__ import annotations

from typing import Final

from rostra.gossip.wire import limits
from rostra.gossip.wire.envelope import FRAME_HEADER_BYTES, Envelope
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.messages import (
    ERR_RECORD,
    PACKET_RECORDS,
    PUSH_PULL_RECORD,
    Ack,
    Err,
    MessageType,
    Ping,
    PushPull,
    PushPullHeader,
    StreamMessage,
    User,
    encode_message,
)
from rostra.gossip.wire.msgpack import NeedMore, Reader, encode
from rostra.gossip.wire.packets import compress_message, decompress_body
from rostra.gossip.wire.records import int64

_COMPRESS_AT_MOST_BYTES: Final = 16 * 1024
"""Real peers compress every stream. Receivers take plain ones, and LZW in Python is slow: a long push-pull goes plain."""


def encode_stream(message: StreamMessage, *, compress: bool) -> bytes:
    """``message`` as it goes on a stream, without its envelope."""
    content = _encode(message)
    if compress and len(content) <= _COMPRESS_AT_MOST_BYTES:
        return compress_message(content)
    return content


def _encode(message: StreamMessage) -> bytes:
    match message:
        case User(payload=payload):
            return bytes((MessageType.USER,)) + encode({"UserMsgLen": len(payload)}) + payload
        case Err():
            return bytes((MessageType.ERR,)) + ERR_RECORD.encode(message)
        case PushPull():
            header = PushPullHeader(row_count=len(message.rows), user_state_size=len(message.user_state), join=message.join)
            return b"".join([bytes((MessageType.PUSH_PULL,)), PUSH_PULL_RECORD.encode(header), *message.rows, message.user_state])
        case Ping() | Ack():
            return encode_message(message)


class StreamDecoder:
    """Collects what one side writes on a stream until its message is whole. ``dialled``: the bytes are of the side that dialled."""

    def __init__(self, envelope: Envelope, *, dialled: bool) -> None:
        self._envelope = envelope
        self._awaits_label = dialled
        self._buffer = bytearray()
        self._frame_size: int | None = None
        self._body: _Body | None = None

    def feed(self, data: bytes) -> StreamMessage | None:
        """The message, once it is whole. Raises ``WireError`` for good."""
        if self._body is not None:
            return self._body.feed(data)
        self._buffer += data
        if self._awaits_label:
            size = self._envelope.label_size(bytes(self._buffer[:257]))
            if size is None:
                return None
            del self._buffer[:size]
            self._awaits_label = False
        if not self._buffer:
            return None
        if self._buffer[0] == MessageType.ENCRYPT:
            return self._frame()
        self._envelope.check_plain_stream()
        self._body = _Body(limits.FRAME_BYTES)
        return self._body.feed(bytes(self._buffer))

    def _frame(self) -> StreamMessage | None:
        if len(self._buffer) < FRAME_HEADER_BYTES:
            return None
        header = bytes(self._buffer[:FRAME_HEADER_BYTES])
        if self._frame_size is None:
            self._frame_size = self._envelope.frame_size(header)
        end = FRAME_HEADER_BYTES + self._frame_size
        if len(self._buffer) < end:
            return None
        plaintext = self._envelope.open_frame(header, bytes(self._buffer[FRAME_HEADER_BYTES:end]))
        return decode_stream(plaintext)


def decode_stream(data: bytes) -> StreamMessage:
    """The message in ``data``, which is all there is."""
    message = _Body(len(data)).feed(data)
    if message is None:
        raise WireError(Reason.TRUNCATED, "stream")
    return message


class _Body:
    """Reads a type byte and what belongs to it, keeping what was read of a message that still arrives."""

    def __init__(self, capacity: int, *, compressed: bool = False) -> None:
        self._reader = Reader(capacity)
        self._compressed = compressed
        self._kind: int | None = None
        self._push_pull: PushPullHeader | None = None
        self._user_size: int | None = None
        self._rows: list[bytes] = []

    def feed(self, data: bytes) -> StreamMessage | None:
        if not data:
            return None
        if self._kind is None:
            self._kind, data = data[0], data[1:]
        self._reader.feed(data)
        try:
            return self._message(self._kind)
        except NeedMore:
            return None

    def _message(self, kind: int) -> StreamMessage:
        if kind == MessageType.COMPRESS and not self._compressed:
            inner = decompress_body(self._reader.map(), limits.STREAM_EXPANDED_BYTES)
            message = _Body(len(inner), compressed=True).feed(inner)
            if message is None:
                raise WireError(Reason.TRUNCATED, "compressed stream")
            return message
        if kind == MessageType.PUSH_PULL:
            return self._read_push_pull()
        if kind == MessageType.USER:
            return self._read_user()
        if kind == MessageType.ERR:
            return ERR_RECORD.from_map(self._reader.map())
        if kind in (MessageType.PING, MessageType.ACK):
            message = PACKET_RECORDS[kind].from_map(self._reader.map())
            assert isinstance(message, Ping | Ack)
            return message
        raise WireError(Reason.UNKNOWN_TYPE, str(kind))

    def _read_push_pull(self) -> PushPull:
        if self._push_pull is None:
            header = PUSH_PULL_RECORD.from_map(self._reader.map())
            if not 0 <= header.row_count <= limits.PUSH_PULL_ROWS or not 0 <= header.user_state_size <= limits.USER_STATE_BYTES:
                raise WireError(Reason.OVERSIZED, "push-pull")
            self._push_pull = header
        header = self._push_pull
        while len(self._rows) < header.row_count:
            self._rows.append(self._reader.raw())
        return PushPull(join=header.join, rows=tuple(self._rows), user_state=self._reader.octets(header.user_state_size))

    def _read_user(self) -> User:
        if self._user_size is None:
            size = int64(self._reader.map().get(b"UserMsgLen"))
            if not 0 <= size <= limits.USER_STATE_BYTES:
                raise WireError(Reason.OVERSIZED, "user message")
            self._user_size = size
        return User(payload=self._reader.octets(self._user_size))
