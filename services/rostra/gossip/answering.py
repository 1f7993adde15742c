"""What this member answers to queries: acks and the internal ones by itself, the others when an application does (gossip-wire sections
12.6 and 12.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from rostra.errors import BadRequest, NotFound
from rostra.gossip.address import Address
from rostra.gossip.expressions import compile_expression
from rostra.gossip.key_queries import KeyOperation, carry_out
from rostra.gossip.keyring import Keyring
from rostra.gossip.membership import Membership, NodeState
from rostra.gossip.queries import RESPONSE_BYTES, Key
from rostra.gossip.serf_members import SerfMembers
from rostra.gossip.versions import RELAY_PMAX
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.filters import NodeFilter, TagFilter, decode_filter
from rostra.gossip.wire.serf_messages import (
    ConflictResponse,
    KeyRequest,
    Query,
    QueryFlag,
    QueryResponse,
    Relay,
    decode_query_payload,
    encode_nobody,
    encode_serf,
)
from rostra.model.members import MemberStatus

CONFLICT_QUERY: Final = "_serf_conflict"

_INTERNAL: Final = "_serf_"
_WAITING_MAX: Final = 1024
_ANSWER_TIME_MAX_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class QueryReceived:
    """Someone asks this member; answer with ``respond`` and the key until ``deadline``, once, or not at all."""

    key: Key
    name: str
    payload: bytes
    source_node: str
    deadline: float


@dataclass(frozen=True, slots=True)
class KeysChanged:
    """The keyring is another now; primary first."""

    keys: tuple[bytes, ...]


AnswerEvent: TypeAlias = QueryReceived | KeysChanged


class Direct(NamedTuple):
    """An encoded Serf message for one address."""

    address: Address
    payload: bytes


class Answers:
    """Queries that mean this member. What it says to the askers is taken with ``take_direct``."""

    def __init__(self, membership: Membership, members: SerfMembers, keyring: Keyring | None) -> None:
        self._membership = membership
        self._members = members
        self._keyring = keyring
        self._name = membership.local.name
        self._waiting: dict[Key, tuple[Query, float]] = {}
        self._direct: list[Direct] = []

    def take_direct(self) -> list[Direct]:
        direct, self._direct = self._direct, []
        return direct

    def on_query(self, query: Query, now: float) -> list[AnswerEvent]:
        """A query seen for the first time."""
        if not Address(query.ip, query.port).is_usable:
            raise WireError(Reason.BAD_ADDRESS, "query")
        if not all(self._is_meant(data) for data in query.filters):
            return []
        if query.flags & QueryFlag.ACK:
            self._reply(query, QueryFlag.ACK, b"")
        if query.name.startswith(_INTERNAL):
            return self._on_internal(query)
        deadline = now + min(max(query.timeout_ns / 1e9, 0.0), _ANSWER_TIME_MAX_S)
        for key in [key for key, (_, until) in self._waiting.items() if until <= now]:
            del self._waiting[key]
        if len(self._waiting) >= _WAITING_MAX:
            raise WireError(Reason.QUEUE_FULL, "unanswered queries")
        key = (query.ltime, query.query_id)
        self._waiting[key] = (query, deadline)
        return [QueryReceived(key, query.name, query.payload, query.source_node, deadline)]

    def respond(self, key: Key, payload: bytes, now: float) -> None:
        """Answer a ``QueryReceived``; once, and before its deadline."""
        query, deadline = self._waiting.get(key, (None, 0.0))
        if query is None or deadline <= now:
            raise NotFound("the query has been answered, or its time is over")
        try:
            self._reply(query, 0, payload)
        except WireError as error:
            raise BadRequest(f"the query cannot be answered: {error}", field="payload") from None
        del self._waiting[key]

    def _is_meant(self, data: bytes) -> bool:
        try:
            match decode_filter(data):
                case NodeFilter(nodes=nodes):
                    return self._name in nodes
                case TagFilter(tag=tag, expression=expression):
                    local = self._members.member(self._name)
                    assert local is not None
                    return compile_expression(expression).is_found_in(local.tags.get(tag, ""))
        except (WireError, BadRequest):  # what we do not understand does not mean us
            return False

    def _on_internal(self, query: Query) -> list[AnswerEvent]:
        if query.name == CONFLICT_QUERY:
            self._on_conflict(query)
            return []
        try:
            operation = KeyOperation(query.name)
        except ValueError:  # a ping, which is answered by its ack, or one of a later version
            return []
        request = decode_query_payload(query.payload)
        if not isinstance(request, KeyRequest):
            raise WireError(Reason.MALFORMED, "key request")
        response = carry_out(operation, request, self._keyring)
        self._reply(query, 0, encode_serf(response))
        changed = self._keyring is not None and response.result and operation is not KeyOperation.LIST
        return [KeysChanged(self._keyring.keys)] if self._keyring is not None and changed else []

    def _on_conflict(self, query: Query) -> None:
        """Tell whom we know by a contested name. Its bearers have no vote."""
        name = query.payload.decode(errors="replace")
        if name == self._name:
            return
        member, address = self._members.member(name), self._members.address(name)
        if member is None or address is None:
            self._reply(query, 0, encode_nobody())
            return
        known = ConflictResponse(
            name=name,
            ip=address.ip,
            port=address.port,
            tags=member.tags,
            status=_STATUS_NUMBERS[member.status],
            protocol_min=member.pmin,
            protocol_max=member.pmax,
            protocol_current=member.pcur,
            delegate_min=member.dmin,
            delegate_max=member.dmax,
            delegate_current=member.dcur,
        )
        self._reply(query, 0, encode_serf(known))

    def _reply(self, query: Query, flags: int, payload: bytes) -> None:
        response = QueryResponse(ltime=query.ltime, query_id=query.query_id, responder=self._name, flags=flags, payload=payload)
        encoded = encode_serf(response)
        if len(encoded) > RESPONSE_BYTES:
            raise WireError(Reason.OVERSIZED, "answer to a query")
        self._direct.append(Direct(Address(query.ip, query.port), encoded))
        relayed = encode_serf(Relay(ip=query.ip, port=query.port, node=query.source_node, message=encoded))
        if query.relay_factor == 0 or len(self._members) < query.relay_factor + 1 or len(relayed) > RESPONSE_BYTES:
            return
        for relay in self._membership.choose(
            query.relay_factor,
            lambda node: node.state is NodeState.ALIVE and node.name != self._name and node.versions.pmax >= RELAY_PMAX,
        ):
            self._direct.append(Direct(relay.address, relayed))


_STATUS_NUMBERS: Final = {MemberStatus.ALIVE: 1, MemberStatus.LEAVING: 2, MemberStatus.LEFT: 3, MemberStatus.FAILED: 4}
