"""The ASGI application: Starlette routes made from the table, and what is done before and after every route.

The protocol serves catalog reads without it; both come from the same ``Table`` and ``Reads``, and answer the same bytes.
"""

from __future__ import annotations

import ipaddress
import logging
import posixpath
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.routing import BaseRoute, Router
from starlette.routing import Route as StarletteRoute
from starlette.types import Receive, Scope, Send

from rostra.errors import RostraError
from rostra.gateway import dns_over_https, metrics
from rostra.gateway.answer import TEXT, VARY, Answer, Header, StreamedAnswer, error_answer, text_answer
from rostra.gateway.ask import Ask, Parameters, decode_path
from rostra.gateway.compression import accepts_gzip, compressed
from rostra.gateway.reads import Reads
from rostra.gateway.routes import Route, Table, allow, takes_tail
from rostra.gateway.settings import GatewaySettings
from rostra.gateway.unserved import unserved_answer

log = logging.getLogger("rostra.gateway.http")

READING_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class _Tail(Convertor[str]):
    """All that follows, line ends too."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("tail", _Tail())


class Application:
    """The whole door as ASGI: refusals, then routes, then what no route takes."""

    def __init__(self, table: Table, reads: Reads, settings: GatewaySettings) -> None:
        self._table = table
        self._reads = reads
        self._settings = settings
        self._rules = Rules(settings)
        prefixes = sorted(table.by_path, key=lambda prefix: (takes_tail(prefix), -len(prefix)))
        routes: list[BaseRoute] = [StarletteRoute(_pattern(prefix), _Endpoint(self, prefix, table.by_path[prefix])) for prefix in prefixes]
        self._router = Router(routes, redirect_slashes=False, default=self._unrouted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = decode_path(scope["raw_path"])
        scope["path"] = path
        try:
            client = request.client.host if request.client else ""
            refusal = self._rules.refusal(request.method, path, client, request.headers) or redirect(
                request.method, path, scope["query_string"]
            )
            if refusal is None:
                await self._router(scope, receive, send)
                return
        except ClientDisconnect:
            return
        await self.send(refusal, scope, send)

    async def respond(self, route: Route, tail: str, request: Request) -> Answer | StreamedAnswer:
        """What a route says; an error of ours is an answer, any other a defect that is logged."""
        try:
            ask = Ask(
                method=request.method,
                path=request.scope["path"],
                tail=tail,
                parameters=Parameters(request.scope["query_string"].decode("latin-1")),
                headers=request.headers,
                body=b"" if route.streams_body else await request.body(),
                client=request.client.host if request.client else "",
                stream=request.stream() if route.streams_body else None,
            )
            read = route.read(ask) if route.read is not None else None
            if read is not None:
                return await self._reads.answer(read)
            assert route.handle is not None
            return await route.handle(ask)
        except RostraError as error:
            return error_answer(error)

    async def send(self, answer: Answer | StreamedAnswer, scope: Scope, send: Send) -> None:
        """As ASGI messages. Length and date are the server's to add."""
        metrics.FROM_ROUTE.inc()
        if isinstance(answer, StreamedAnswer):
            await self._stream(answer, send)
            return
        if accepts_gzip(Headers(scope=scope).get("accept-encoding", "")):
            answer = await compressed(answer)
        headers = [*answer.headers, *self._rules.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _stream(self, answer: StreamedAnswer, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*answer.headers, *self._rules.headers]})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        try:
            async for chunk in answer.chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except RostraError as error:
            log.info("stream ended", extra={"error": str(error)})
            if answer.has_end:
                return
        await send({"type": "http.response.body", "body": b""})

    async def _unrouted(self, scope: Scope, _receive: Receive, send: Send) -> None:
        path = scope["path"]
        answer = unserved_answer(path)
        if answer is None and path + "/" in self._table.by_path:
            answer = _moved(scope["method"], path + "/", scope["query_string"])
        await self.send(answer or Answer(404), scope, send)


class _Endpoint:
    """One path: the method decides."""

    def __init__(self, application: Application, prefix: str, methods: Mapping[str, Route]) -> None:
        self._application = application
        self._prefix = prefix
        self._methods = methods
        self._allow: Header = (b"Allow", allow(methods))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        route = self._methods.get(method)
        if scope["path"] != self._prefix and not takes_tail(self._prefix):
            await self._application.send(Answer(404), scope, send)  # a line end at the end: a pattern's "$" stands before it too
            return
        answer: Answer | StreamedAnswer
        if method == "OPTIONS":
            answer = Answer(200, (self._allow, VARY))
        elif route is None:
            answer = text_answer(405, f"method {method} not allowed", (self._allow,))
        else:
            answer = await self._application.respond(route, scope["path"][len(self._prefix) :], Request(scope, receive))
        await self._application.send(answer, scope, send)


class Rules:
    """What a request is refused for before its route is looked up, and the headers that each answer carries."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.headers: tuple[Header, ...] = tuple(
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in settings.response_headers.items()
        )
        self._blocked = settings.block_endpoints
        self._writers = tuple(ipaddress.ip_network(network) for network in settings.allow_write_http_from)

    def refusal(self, method: str, path: str, client: str, headers: Mapping[str, str]) -> Answer | None:
        """403 for a blocked endpoint, a write from elsewhere, or a write that a web page of another origin makes a browser send."""
        if self.is_blocked(path):
            return text_answer(403, "Endpoint is blocked by agent configuration")
        if method in READING_METHODS or path == dns_over_https.PATH:
            return None
        if self._writers and not self._may_write(client):
            return Answer(403, (TEXT, VARY))
        if _is_foreign(headers):
            return text_answer(403, "Writes from web pages of another origin are refused")
        return None

    def is_blocked(self, path: str) -> bool:
        """``http_config.block_endpoints``: path prefixes."""
        return any(path.startswith(prefix) for prefix in self._blocked)

    def _may_write(self, client: str) -> bool:
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return not client  # a unix socket: its permissions say who may
        return any(address in network for network in self._writers)


def _is_foreign(headers: Mapping[str, str]) -> bool:
    """Browsers name the page's origin on every write; other clients send none (https://fetch.spec.whatwg.org/#origin-header)."""
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host", "")


def redirect(method: str, path: str, query: bytes) -> Answer | None:
    """Consul's server sends a path with empty or dotted segments to the clean one."""
    clean = clean_path(path)
    return _moved(method, clean, query) if clean != path else None


def clean_path(path: str) -> str:
    """Without empty, ``.`` and ``..`` segments; a slash at the end stays."""
    if "//" not in path and "/." not in path:
        return path
    clean = posixpath.normpath("/" + path.lstrip("/"))
    return clean + "/" if path.endswith("/") and clean != "/" else clean


def _moved(method: str, path: str, query: bytes) -> Answer:
    """Only who looks is told in words, as by Consul."""
    location = quote(path, safe="/:@!$&'()*+,;=~-._") + (f"?{query.decode('latin-1')}" if query else "")
    where: Header = (b"Location", location.encode("latin-1", "replace"))
    if method != "GET":
        return Answer(301, (where,))
    text = location.replace("&", "&amp;").replace('"', "&#34;").replace("'", "&#39;").replace("<", "&lt;").replace(">", "&gt;")
    body = f'<a href="{text}">Moved Permanently</a>.\n\n'.encode()
    return Answer(301, ((b"Content-Type", b"text/html; charset=utf-8"), where), body)


def _pattern(prefix: str) -> str:
    return prefix + "{tail:tail}" if takes_tail(prefix) else prefix
