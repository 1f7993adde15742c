"""Serf's messages, which travel as memberlist user messages, push-pull state and query payloads (gossip-wire section 12)."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from rostra.gossip.steps import Steps, finish, groups
from rostra.gossip.wire import limits, msgpack
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.records import (
    Field,
    Record,
    array_of,
    boolean,
    int64,
    name,
    nil_when_empty,
    octets,
    text,
    uint8,
    uint16,
    uint32,
    uint64,
)


class SerfType(enum.IntEnum):
    """The first byte of a Serf message."""

    LEAVE = 0
    JOIN = 1
    PUSH_PULL = 2
    USER_EVENT = 3
    QUERY = 4
    QUERY_RESPONSE = 5
    CONFLICT_RESPONSE = 6
    KEY_REQUEST = 7
    KEY_RESPONSE = 8
    RELAY = 9


class QueryFlag(enum.IntFlag):
    """On a query: acknowledge it; do not pass it on. On a response the first bit says that it is an acknowledgement."""

    ACK = 1
    NO_BROADCAST = 2


class JoinIntent(msgspec.Struct, frozen=True, kw_only=True):
    ltime: int
    node: str


class LeaveIntent(msgspec.Struct, frozen=True, kw_only=True):
    ltime: int
    node: str
    prune: bool = False


class UserEvent(msgspec.Struct, frozen=True, kw_only=True):
    ltime: int
    name: str
    payload: bytes
    coalesce: bool = False


class Query(msgspec.Struct, frozen=True, kw_only=True):
    ltime: int
    query_id: int
    ip: bytes
    port: int
    source_node: str
    filters: tuple[bytes, ...]
    flags: int
    relay_factor: int
    timeout_ns: int
    name: str
    payload: bytes


class QueryResponse(msgspec.Struct, frozen=True, kw_only=True):
    ltime: int
    query_id: int
    responder: str
    flags: int
    payload: bytes = b""


class Relay(msgspec.Struct, frozen=True, kw_only=True):
    """Pass ``message`` (an encoded Serf message) on to the destination as it is."""

    ip: bytes
    port: int
    node: str
    message: bytes


class KeyRequest(msgspec.Struct, frozen=True, kw_only=True):
    key: bytes = b""


class KeyResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to a key query; keys are in base64."""

    result: bool
    message: str = ""
    keys: tuple[str, ...] = ()
    primary_key: str = ""


class ConflictResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender knows of the member whose name is contested."""

    name: str
    ip: bytes
    port: int
    tags: Mapping[str, str]
    status: int
    protocol_min: int = 1
    protocol_max: int = 5
    protocol_current: int = 2
    delegate_min: int = 2
    delegate_max: int = 5
    delegate_current: int = 4


class PastEvents(msgspec.Struct, frozen=True):
    """The user events of one Lamport time: name and payload; whether they may be coalesced is lost on this way."""

    ltime: int
    events: tuple[tuple[str, bytes], ...]


class SerfState(msgspec.Struct, frozen=True, kw_only=True):
    """Serf's half of a push-pull."""

    ltime: int
    status_ltimes: Mapping[str, int]
    left_members: tuple[str, ...]
    event_ltime: int
    events: tuple[PastEvents | None, ...]
    query_ltime: int


SerfMessage: TypeAlias = JoinIntent | LeaveIntent | UserEvent | Query | QueryResponse | Relay
QueryPayload: TypeAlias = KeyRequest | KeyResponse | ConflictResponse

_LTIME: Final = Field("LTime", uint64)
_ID: Final = Field("ID", uint32)


def _tags(value: object) -> dict[str, str]:
    return {} if value is None else {text(key): text(content) for key, content in msgpack.as_map(value).items()}


_RECORDS: Final[dict[int, Record[Any]]] = {
    SerfType.LEAVE: Record(LeaveIntent, ltime=_LTIME, node=Field("Node", name), prune=Field("Prune", boolean)),
    SerfType.JOIN: Record(JoinIntent, ltime=_LTIME, node=Field("Node", name)),
    SerfType.USER_EVENT: Record(
        UserEvent, ltime=_LTIME, name=Field("Name", text), payload=Field("Payload", octets, nil_when_empty), coalesce=Field("CC", boolean)
    ),
    SerfType.QUERY: Record(
        Query,
        ltime=_LTIME,
        query_id=_ID,
        ip=Field("Addr", octets),
        port=Field("Port", uint16),
        source_node=Field("SourceNode", name),
        filters=Field("Filters", array_of(octets), nil_when_empty),
        flags=Field("Flags", uint32),
        relay_factor=Field("RelayFactor", uint8),
        timeout_ns=Field("Timeout", int64),
        name=Field("Name", text),
        payload=Field("Payload", octets, nil_when_empty),
    ),
    SerfType.QUERY_RESPONSE: Record(
        QueryResponse,
        ltime=_LTIME,
        query_id=_ID,
        responder=Field("From", name),
        flags=Field("Flags", uint32),
        payload=Field("Payload", octets, nil_when_empty),
    ),
    SerfType.KEY_REQUEST: Record(KeyRequest, key=Field("Key", octets, nil_when_empty)),
    SerfType.KEY_RESPONSE: Record(
        KeyResponse,
        result=Field("Result", boolean),
        message=Field("Message", text),
        keys=Field("Keys", array_of(text), nil_when_empty),
        primary_key=Field("PrimaryKey", text),
    ),
    SerfType.CONFLICT_RESPONSE: Record(
        ConflictResponse,
        name=Field("Name", name),
        ip=Field("Addr", octets),
        port=Field("Port", uint16),
        tags=Field("Tags", _tags),
        status=Field("Status", int64),
        protocol_min=Field("ProtocolMin", uint8),
        protocol_max=Field("ProtocolMax", uint8),
        protocol_current=Field("ProtocolCur", uint8),
        delegate_min=Field("DelegateMin", uint8),
        delegate_max=Field("DelegateMax", uint8),
        delegate_current=Field("DelegateCur", uint8),
    ),
}

_TYPES: Final[dict[type, SerfType]] = {
    LeaveIntent: SerfType.LEAVE,
    JoinIntent: SerfType.JOIN,
    UserEvent: SerfType.USER_EVENT,
    Query: SerfType.QUERY,
    QueryResponse: SerfType.QUERY_RESPONSE,
    KeyRequest: SerfType.KEY_REQUEST,
    KeyResponse: SerfType.KEY_RESPONSE,
    ConflictResponse: SerfType.CONFLICT_RESPONSE,
}

_GOSSIPED: Final = (SerfType.LEAVE, SerfType.JOIN, SerfType.USER_EVENT, SerfType.QUERY, SerfType.QUERY_RESPONSE)
_IN_QUERIES: Final = (SerfType.KEY_REQUEST, SerfType.KEY_RESPONSE, SerfType.CONFLICT_RESPONSE)


def encode_serf(message: SerfMessage | QueryPayload) -> bytes:
    if isinstance(message, Relay):
        header = {"DestAddr": {"IP": message.ip, "Port": message.port, "Zone": ""}, "DestName": message.node}
        return bytes((SerfType.RELAY,)) + msgpack.encode(header) + message.message
    kind = _TYPES[type(message)]
    return bytes((kind,)) + _RECORDS[kind].encode(message)


def decode_serf(data: bytes) -> SerfMessage:
    """A message that came as a memberlist user message."""
    if data[:1] == bytes((SerfType.RELAY,)):
        return _decode_relay(data[1:])
    message: SerfMessage = _decode(data, _GOSSIPED)
    return message


def decode_query_payload(data: bytes) -> QueryPayload:
    """What an internal query or the answer to one carries."""
    payload: QueryPayload = _decode(data, _IN_QUERIES)
    return payload


def _decode(data: bytes, allowed: tuple[SerfType, ...]) -> Any:
    if not data:
        raise WireError(Reason.EMPTY, "serf message")
    if data[0] not in allowed:
        raise WireError(Reason.UNKNOWN_TYPE, f"serf {data[0]}")
    return _RECORDS[data[0]].decode(data[1:])


def _decode_relay(data: bytes) -> Relay:
    reader = msgpack.Reader.of(data)
    try:
        header = reader.map()
    except msgpack.NeedMore:
        raise WireError(Reason.TRUNCATED, "relay") from None
    destination = msgpack.as_map(header.get(b"DestAddr"))
    return Relay(
        ip=octets(destination.get(b"IP")), port=uint16(destination.get(b"Port")), node=name(header.get(b"DestName")), message=reader.rest()
    )


def encode_status_ltime(node: str, ltime: int) -> bytes:
    """One entry of ``StatusLTimes``."""
    return msgpack.encode(node) + msgpack.encode(ltime)


def encode_serf_state(state: SerfState, status_ltimes: Collection[bytes] | None = None) -> bytes:
    """``status_ltimes``: the entries of that name, encoded before; then those in ``state`` are not looked at."""
    if status_ltimes is None:
        status_ltimes = [encode_status_ltime(node, ltime) for node, ltime in state.status_ltimes.items()]
    events = [
        past and {"Events": [{"Name": event, "Payload": payload or None} for event, payload in past.events], "LTime": past.ltime}
        for past in state.events
    ]
    body = {
        "EventLTime": state.event_ltime,
        "Events": events,
        "LTime": state.ltime,
        "LeftMembers": state.left_members,
        "QueryLTime": state.query_ltime,
    }
    parts = [msgpack.encode(part) for pair in body.items() for part in pair]
    counts = msgpack.map_header(len(body) + 1), msgpack.encode("StatusLTimes"), msgpack.map_header(len(status_ltimes))
    return b"".join([bytes((SerfType.PUSH_PULL,)), counts[0], *parts, *counts[1:], *status_ltimes])


def decode_serf_state(data: bytes) -> SerfState:
    """Serf's half of a push-pull."""
    return finish(serf_state_steps(data))


def serf_state_steps(data: bytes) -> Steps[SerfState]:
    """The same in steps. Its lists grow with the pool, so they are read entry by entry, under limits of their own."""
    if data[:1] != bytes((SerfType.PUSH_PULL,)):
        raise WireError(Reason.UNKNOWN_TYPE, "serf state")
    reader = msgpack.Reader.of(data[1:])
    try:
        return (yield from _read_serf_state(reader))
    except msgpack.NeedMore:
        raise WireError(Reason.TRUNCATED, "serf state") from None


def _read_serf_state(reader: msgpack.Reader) -> Steps[SerfState]:
    clocks: dict[object, int] = {}
    status_ltimes: dict[str, int] = {}
    left_members: list[str] = []
    events: list[PastEvents | None] = []
    for _ in range(reader.map_pairs(limits.COLLECTION_ITEMS)):
        match reader.value():
            case b"StatusLTimes":
                for count in groups(reader.map_pairs(limits.PUSH_PULL_ROWS)):
                    for _ in range(count):
                        node, ltime = reader.value(), uint64(reader.value())
                        if (readable := _readable(node)) is not None:
                            status_ltimes[readable] = ltime
                    yield count
            case b"LeftMembers":
                for count in groups(reader.array_items(limits.PUSH_PULL_ROWS)):
                    names = [_readable(reader.value()) for _ in range(count)]
                    left_members += [node for node in names if node is not None]
                    yield count
            case b"Events":
                for count in groups(reader.array_items(limits.PUSH_PULL_ROWS)):
                    events += [_past_events(reader.value()) for _ in range(count)]
                    yield count
            case (b"LTime" | b"EventLTime" | b"QueryLTime") as key:
                clocks[key] = uint64(reader.value())
            case _:
                reader.value()
    return SerfState(
        ltime=clocks.get(b"LTime", 0),
        status_ltimes=status_ltimes,
        left_members=tuple(left_members),
        event_ltime=clocks.get(b"EventLTime", 0),
        events=tuple(events),
        query_ltime=clocks.get(b"QueryLTime", 0),
    )


def _readable(value: object) -> str | None:
    """One member with an unreadable name must not keep all the others from us."""
    try:
        return name(value)
    except WireError:
        return None


def _past_events(value: object) -> PastEvents | None:
    if value is None:
        return None
    body = msgpack.as_map(value)
    events = tuple((text(event.get(b"Name")), octets(event.get(b"Payload"))) for event in array_of(msgpack.as_map)(body.get(b"Events")))
    return PastEvents(uint64(body.get(b"LTime")), events)


def encode_nobody() -> bytes:
    """The conflict response of a member that knows nobody of that name."""
    return bytes((SerfType.CONFLICT_RESPONSE,)) + msgpack.encode(None)
