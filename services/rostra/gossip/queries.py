"""Queries: questions to all members, answered to the one who asked (gossip-wire section 12.6)."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from rostra.errors import BadRequest
from rostra.gossip.address import Address
from rostra.gossip.events import RING_SLOTS, is_outside_ring
from rostra.gossip.lamport import LamportClock
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.filters import Filter, encode_filters
from rostra.gossip.wire.serf_messages import Query, QueryFlag, QueryResponse, encode_serf

QUERY_BYTES: Final = 1024
RESPONSE_BYTES: Final = 1024
"""Encoded. Serf's limits."""

_SLOT_QUERIES_MAX: Final = 256
_OPEN_MAX: Final = 1024

Key: TypeAlias = tuple[int, int]
"""A query's Lamport time and ID: together they name it."""


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """What to ask whom. ``relay_factor`` has every answer sent through that many other members too, for a network that loses packets."""

    name: str
    payload: bytes = b""
    filters: Sequence[Filter] = ()
    wants_acks: bool = False
    relay_factor: int = 0
    timeout_s: float = 0.0
    """0: the default, which grows with the logarithm of the pool."""


@dataclass(frozen=True, slots=True)
class QueryAcked:
    """A member has received our query; each member once."""

    key: Key
    responder: str


@dataclass(frozen=True, slots=True)
class QueryAnswered:
    """A member has answered our query; each member once."""

    key: Key
    responder: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class QueryClosed:
    """The time for answers to our query is over."""

    key: Key


QueryEvent: TypeAlias = QueryAcked | QueryAnswered | QueryClosed


@dataclass(slots=True)
class _Open:
    deadline: float
    acked: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)


class Queries:
    """The queries seen in the window of Lamport time, and those of our own that wait for answers."""

    def __init__(self, rng: random.Random) -> None:
        self.clock = LamportClock()
        self._oldest_wanted = 0
        self._rng = rng
        self._slots: list[tuple[int, set[int]] | None] = [None] * RING_SLOTS
        self._open: dict[Key, _Open] = {}

    @property
    def deadline(self) -> float:
        return min((query.deadline for query in self._open.values()), default=math.inf)

    def ask(self, request: QueryRequest, source: Address, source_node: str, timeout_s: float, now: float) -> Query:
        """A new query of our own. It still has to be received like any other."""
        if len(self._open) >= _OPEN_MAX:
            raise BadRequest("too many queries of this member are open")
        query = Query(
            ltime=self.clock.time,
            query_id=self._rng.getrandbits(31),
            ip=source.ip,
            port=source.port,
            source_node=source_node,
            filters=encode_filters(request.filters),
            flags=QueryFlag.ACK if request.wants_acks else 0,
            relay_factor=request.relay_factor,
            timeout_ns=round(timeout_s * 1e9),
            name=request.name,
            payload=request.payload,
        )
        if len(encode_serf(query)) > QUERY_BYTES:
            raise BadRequest(f"a query may have {QUERY_BYTES} bytes encoded", field="payload")
        self._open[query.ltime, query.query_id] = _Open(now + timeout_s)
        return query

    def receive(self, query: Query) -> bool:
        """True when it is seen for the first time. Refused when it is so old that this cannot be told."""
        self.clock.witness(query.ltime)
        if query.ltime < self._oldest_wanted or is_outside_ring(query.ltime, self.clock):
            raise WireError(Reason.STALE, "query")
        slot = self._slots[query.ltime % RING_SLOTS]
        if slot is None or slot[0] != query.ltime:
            slot = self._slots[query.ltime % RING_SLOTS] = (query.ltime, set())
        if query.query_id in slot[1]:
            return False
        if len(slot[1]) >= _SLOT_QUERIES_MAX:
            raise WireError(Reason.QUEUE_FULL, "queries of one Lamport time")
        slot[1].add(query.query_id)
        return True

    def ignore_before(self, ltime: int) -> None:
        """Queries older than this were answered in a former run: a key is not changed again by a packet that somebody kept."""
        self._oldest_wanted = max(self._oldest_wanted, ltime)

    def on_response(self, response: QueryResponse) -> QueryEvent | None:
        """An ack or answer to a query of our own; None when it is a copy of one that came another way. One to no open query is refused:
        it is late, or was replayed."""
        key = (response.ltime, response.query_id)
        query = self._open.get(key)
        if query is None:
            raise WireError(Reason.STALE, "answer to a query")
        is_ack = bool(response.flags & QueryFlag.ACK)
        seen = query.acked if is_ack else query.answered
        if response.responder in seen:
            return None
        seen.add(response.responder)
        return QueryAcked(key, response.responder) if is_ack else QueryAnswered(key, response.responder, response.payload)

    def expire(self, now: float) -> list[QueryClosed]:
        closed = [key for key, query in self._open.items() if query.deadline <= now]
        for key in closed:
            del self._open[key]
        return [QueryClosed(key) for key in closed]


def default_timeout_s(gossip_interval_s: float, mult: int, alive_members: int) -> float:
    """Long enough for the question to reach everyone and the answers to come back."""
    return gossip_interval_s * mult * math.ceil(math.log10(alive_members + 1))
