"""A write, from its head to its answer, without ASGI: the protocol gathers the body, one task runs the handler.

The application would answer the same (tests/unit/gateway/test_ways.py holds the two against each other), by way of an interface that
costs more than most handlers: a scope, queues of events, a router that tries its routes one by one. What it does beside (redirects,
``OPTIONS``, methods that a path does not take, bodies taken as they come) is left to it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from rostra.errors import RostraError
from rostra.gateway import metrics
from rostra.gateway.answer import Answer, StreamedAnswer, encode, error_answer
from rostra.gateway.app import clean_path
from rostra.gateway.ask import Ask, Parameters, decode_path
from rostra.gateway.compression import accepts_gzip, compressed

if TYPE_CHECKING:
    from rostra.gateway.door import Connection
    from rostra.gateway.routes import Route

log = logging.getLogger("rostra.gateway.http")


class HandledCycle:
    """One request to a handler, and its answer. ``task`` is there once the body is whole and earlier answers have gone out."""

    __slots__ = ("_headers", "_path", "_protocol", "_query", "_route", "awaits_continue", "body", "connection", "disconnected", "is_whole",
                 "response_complete", "task")  # fmt: skip

    is_stream = is_parked = False

    def __init__(self, protocol: Connection, route: Route, path: str, query: bytes, headers: dict[str, str], connection: bytes) -> None:
        self._protocol = protocol
        self._route = route
        self._path = path
        self._query = query
        self._headers = headers
        self.connection = connection
        self.awaits_continue = False
        self.body = b""
        self.is_whole = False
        self.disconnected = False
        self.response_complete = False
        self.task: asyncio.Task[None] | None = None

    @property
    def response_started(self) -> bool:
        """An answer goes out whole."""
        return self.response_complete

    def start(self) -> None:
        """Called when it is this request's turn, and when its body is whole: runs the handler once both are so."""
        if self.is_whole and self.task is None:
            self.task = self._protocol.door.spawn(self._run())

    def cancel(self) -> None:
        """The client is gone. A write that was begun is finished."""
        self.disconnected = True

    async def _run(self) -> None:
        door = self._protocol.door
        metrics.FROM_ROUTE.inc()
        answer = await self._answer()
        if accepts_gzip(self._headers.get("accept-encoding", "")):
            answer = await compressed(answer)
        if door.rules.headers:
            answer = Answer(answer.status, (*answer.headers, *door.rules.headers), answer.body)
        if not self.disconnected:
            encoded = encode(answer, door.date.now(), self.connection)
            self._protocol.transport.write(encoded)
            self.response_complete = True
            self._protocol.on_answered(encoded)

    async def _answer(self) -> Answer:
        """What the handler says; an error of ours is an answer, any other a defect that is logged."""
        protocol, route = self._protocol, self._route
        client = protocol.client[0] if protocol.client else ""
        refusal = protocol.door.rules.refusal(route.method, self._path, client, self._headers)
        if refusal is not None:
            return refusal
        assert route.handle is not None
        tail = self._path[len(route.prefix) :]
        try:
            parameters = Parameters(self._query.decode("latin-1"))
            answer = await route.handle(Ask(route.method, self._path, tail, parameters, self._headers, self.body, client))
        except RostraError as error:
            return error_answer(error)
        except Exception:
            log.exception("request failed", extra={"method": route.method, "path": self._path})
            return error_answer(RostraError("internal error"))
        assert not isinstance(answer, StreamedAnswer), "a write has an answer of a known length"
        return answer


def handled(
    protocol: Connection, method: bytes, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], connection: bytes
) -> HandledCycle | None:
    """The request as one to a handler; None when the application has to look at it."""
    if method != b"PUT":
        return None
    name = decode_path(path)
    found = protocol.door.table.find(name)
    route = found[1].get("PUT") if found is not None else None
    if route is None or route.handle is None or route.streams_body or clean_path(name) != name:
        return None
    decoded = {key.decode("latin-1"): value.decode("latin-1") for key, value in reversed(headers)}  # the first of a name counts
    return HandledCycle(protocol, route, name, query, decoded, connection)
