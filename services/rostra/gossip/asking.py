"""One query of this member, from question to last answer; and what a query about the keyring adds up to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from rostra.gossip.queries import QueryAcked, QueryAnswered, QueryClosed, QueryEvent
from rostra.gossip.wire.errors import WireError
from rostra.gossip.wire.serf_messages import KeyResponse, decode_query_payload

Answer: TypeAlias = QueryAcked | QueryAnswered


class QueryRun(AsyncIterator[Answer]):
    """Acks and answers as they come, each member's once; ends when the query's time is over. Members answer or do not: nobody knows
    whether more would come."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[QueryEvent] = asyncio.Queue()  # at most two for each member, and the end

    def put(self, event: QueryEvent) -> None:
        self._events.put_nowait(event)

    async def __anext__(self) -> Answer:
        event = await self._events.get()
        if isinstance(event, QueryClosed):
            self._events.put_nowait(event)  # the end stays the end
            raise StopAsyncIteration
        return event


@dataclass(frozen=True, slots=True)
class KeyringResult:
    """What the members said to one operation on the keyring. ``keys`` and ``primary_keys``: base64 key to how many have it."""

    members: int
    responses: int
    errors: Mapping[str, str]
    messages: Mapping[str, str]
    keys: Mapping[str, int]
    primary_keys: Mapping[str, int]


async def collect_key_responses(run: QueryRun, members: Collection[str]) -> KeyringResult:
    """Add up until all have answered or the time is over. Who has not answered by then is an error, by name."""
    silent = set(members)
    errors: dict[str, str] = {}
    messages: dict[str, str] = {}
    keys: Counter[str] = Counter()
    primary_keys: Counter[str] = Counter()
    responses = 0
    async for answer in run:
        if not isinstance(answer, QueryAnswered):
            continue
        responses += 1
        silent.discard(answer.responder)
        response = _key_response(answer)
        if not response.result:
            errors[answer.responder] = response.message
        elif response.message:
            messages[answer.responder] = response.message
        keys.update(response.keys)
        if response.primary_key:
            primary_keys[response.primary_key] += 1
        if not silent:
            break
    errors.update(dict.fromkeys(sorted(silent), "it did not answer in time"))
    return KeyringResult(len(members), responses, errors, messages, dict(keys), dict(primary_keys))


def _key_response(answer: QueryAnswered) -> KeyResponse:
    try:
        response = decode_query_payload(answer.payload)
    except WireError as error:
        return KeyResponse(result=False, message=f"its answer cannot be read: {error}")
    if not isinstance(response, KeyResponse):
        return KeyResponse(result=False, message="it answered with something else")
    return response
