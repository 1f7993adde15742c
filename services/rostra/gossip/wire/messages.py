"""memberlist's messages and how each looks on the wire (gossip-wire sections 3.1 and 6)."""

from __future__ import annotations

import enum
from collections.abc import Collection
from typing import Any, Final, TypeAlias

import msgspec

from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.records import Field, Record, boolean, int64, name, nil_when_empty, octets, text, uint8, uint16, uint32


class MessageType(enum.IntEnum):
    """The first byte of a message."""

    PING = 0
    INDIRECT_PING = 1
    ACK = 2
    SUSPECT = 3
    ALIVE = 4
    DEAD = 5
    PUSH_PULL = 6
    COMPOUND = 7
    USER = 8
    COMPRESS = 9
    ENCRYPT = 10
    NACK = 11
    HAS_CRC = 12
    ERR = 13
    LABEL = 244


class RowState(enum.IntEnum):
    """How a member is described in a push-pull."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


class Ping(msgspec.Struct, frozen=True, kw_only=True):
    """Answer with an ack, if ``node`` is you or empty: to the source fields, or without them to where the datagram came from."""

    sequence: int
    node: str = ""
    source_ip: bytes = b""
    source_port: int = 0
    source_node: str = ""


class IndirectPing(msgspec.Struct, frozen=True, kw_only=True):
    """Ping ``node`` at the target address for me; tell me with a nack, if ``nack``, that it did not answer in time."""

    sequence: int
    node: str = ""
    target_ip: bytes = b""
    target_port: int = 0
    nack: bool = False
    source_ip: bytes = b""
    source_port: int = 0
    source_node: str = ""


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a ping; the payload of a direct one is a coordinate."""

    sequence: int
    payload: bytes = b""


class Nack(msgspec.Struct, frozen=True, kw_only=True):
    """The indirect ping was tried and not answered: this path works, the target may not."""

    sequence: int


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """``accuser`` did not reach ``node`` at this incarnation."""

    incarnation: int
    node: str
    accuser: str


class Dead(msgspec.Struct, frozen=True, kw_only=True):
    """``node`` is dead at this incarnation, says ``accuser``. A node that says so of itself has left."""

    incarnation: int
    node: str
    accuser: str


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """``node`` lives, at this address, with this meta, at this incarnation."""

    incarnation: int
    node: str
    ip: bytes
    port: int
    meta: bytes
    versions: bytes


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the layer above: Serf's."""

    payload: bytes


class Err(msgspec.Struct, frozen=True, kw_only=True):
    """Why a stream was refused, for people."""

    error: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One member in a push-pull."""

    name: str
    ip: bytes
    port: int
    meta: bytes
    incarnation: int
    state: RowState
    versions: bytes


class PushPull(msgspec.Struct, frozen=True, kw_only=True):
    """All that one side knows. Rows stay encoded: of a peer that knows what we know, none needs ``decode_row``."""

    join: bool
    rows: Collection[bytes]
    user_state: bytes


PacketMessage: TypeAlias = Ping | IndirectPing | Ack | Nack | Suspect | Dead | Alive | User
StreamMessage: TypeAlias = Ping | Ack | User | PushPull | Err


class Compressed(msgspec.Struct, frozen=True, kw_only=True):
    """The wrapping of a compressed message."""

    algorithm: int
    content: bytes


class PushPullHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What starts a push-pull: how much follows."""

    row_count: int
    user_state_size: int
    join: bool


def _row_state(value: object) -> RowState:
    try:
        return RowState(int64(value))
    except ValueError:
        raise WireError(Reason.MALFORMED, "unknown state of a row") from None


_NODE: Final = Field("Node", name)
_SEQUENCE: Final = Field("SeqNo", uint32)
_INCARNATION: Final = Field("Incarnation", uint32)
_SOURCE: Final[dict[str, Field]] = {
    "source_ip": Field("SourceAddr", octets, omit_empty=True),
    "source_port": Field("SourcePort", uint16, omit_empty=True),
    "source_node": Field("SourceNode", name, omit_empty=True),
}

PACKET_RECORDS: Final[dict[int, Record[Any]]] = {
    MessageType.PING: Record(Ping, sequence=_SEQUENCE, node=_NODE, **_SOURCE),
    MessageType.INDIRECT_PING: Record(
        IndirectPing,
        sequence=_SEQUENCE,
        node=_NODE,
        target_ip=Field("Target", octets),
        target_port=Field("Port", uint16),
        nack=Field("Nack", boolean),
        **_SOURCE,
    ),
    MessageType.ACK: Record(Ack, sequence=_SEQUENCE, payload=Field("Payload", octets, nil_when_empty)),
    MessageType.NACK: Record(Nack, sequence=_SEQUENCE),
    MessageType.SUSPECT: Record(Suspect, incarnation=_INCARNATION, node=_NODE, accuser=Field("From", name)),
    MessageType.DEAD: Record(Dead, incarnation=_INCARNATION, node=_NODE, accuser=Field("From", name)),
    MessageType.ALIVE: Record(
        Alive,
        incarnation=_INCARNATION,
        node=_NODE,
        ip=Field("Addr", octets),
        port=Field("Port", uint16),
        meta=Field("Meta", octets, nil_when_empty),
        versions=Field("Vsn", octets),
    ),
}
"""Messages that are a type byte and one map, alike on datagrams and streams."""

ERR_RECORD: Final = Record(Err, error=Field("Error", text))
COMPRESS_RECORD: Final = Record(Compressed, algorithm=Field("Algo", uint8), content=Field("Buf", octets))
PUSH_PULL_RECORD: Final = Record(
    PushPullHeader, row_count=Field("Nodes", int64), user_state_size=Field("UserStateLen", int64), join=Field("Join", boolean)
)
_ROW_RECORD: Final = Record(
    Row,
    name=Field("Name", name),
    ip=Field("Addr", octets),
    port=Field("Port", uint16),
    meta=Field("Meta", octets, nil_when_empty),
    incarnation=_INCARNATION,
    state=Field("State", _row_state, int),
    versions=Field("Vsn", octets),
)

_TYPES: Final[dict[type, MessageType]] = {
    Ping: MessageType.PING,
    IndirectPing: MessageType.INDIRECT_PING,
    Ack: MessageType.ACK,
    Nack: MessageType.NACK,
    Suspect: MessageType.SUSPECT,
    Dead: MessageType.DEAD,
    Alive: MessageType.ALIVE,
}


def encode_row(row: Row) -> bytes:
    return _ROW_RECORD.encode(row)


def decode_row(data: bytes) -> Row:
    return _ROW_RECORD.decode(data)


def encode_message(message: PacketMessage) -> bytes:
    """The type byte and the body, as they go into a datagram."""
    if isinstance(message, User):
        return bytes((MessageType.USER,)) + message.payload
    kind = _TYPES[type(message)]
    return bytes((kind,)) + PACKET_RECORDS[kind].encode(message)
