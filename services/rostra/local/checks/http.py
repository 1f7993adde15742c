"""HTTP: 2xx is passing, 429 a warning, anything else critical. Redirects are followed unless told otherwise.

The head of the response decides; a body that is cut short or hangs is shown as far as it came, as with Consul.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from rostra.local.checks.dialing import Dialer, DialError, Tls, reason
from rostra.local.checks.http_exchange import ExchangeError, Response, read_response, request_bytes
from rostra.local.checks.outcome import DEFAULT_TIMEOUT_S, Outcome, Tail, critical
from rostra.model.catalog import CheckDefinition, HealthStatus
from rostra.version import VERSION

MAX_REDIRECTS: Final = 10
DEFAULT_HEADERS: Final = {"User-Agent": f"rostra/{VERSION} (Consul Health Check)", "Accept": "text/plain, text/*, */*"}
"""The agent says who it is, and the words by which filters of access logs know such requests."""
PORTS: Final = {"http": 80, "https": 443}
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
FOR_ONE_HOST: Final = frozenset({"host", "authorization", "cookie", "www-authenticate"})
TOO_MANY_REQUESTS: Final = 429


class HttpCheck:
    """One request on a connection of its own; more when redirected."""

    def __init__(self, definition: CheckDefinition, dialer: Dialer, output_max_size: int) -> None:
        self._url = definition.http
        self._host = definition.http.partition("://")[2].partition("/")[0]
        self._method = definition.method.upper() or "GET"
        self._headers = definition.header
        self._body = definition.body.encode()
        self._follows = not definition.disable_redirects
        self._tls = Tls(not definition.tls_skip_verify, definition.tls_server_name)
        self._timeout_s = definition.timeout_s or DEFAULT_TIMEOUT_S
        self._dialer = dialer
        self._limit = output_max_size

    async def run(self) -> Outcome:
        response = Response(Tail(self._limit))
        url = self._url
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._follow(self._url, response)
        except TimeoutError:
            if not response.head_done:
                return self._failed(url, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
        except (DialError, ExchangeError) as error:
            return self._failed(url, str(error))
        except OSError as error:
            return self._failed(url, f"read: {reason(error)}")
        except ValueError as error:
            return critical(f'parse "{url}": {error}')
        output = f"HTTP {self._method} {self._url}: {response.status_line} Output: {response.tail.text}"
        return Outcome(status_of(response.status), output)

    def _failed(self, url: str, why: str) -> Outcome:
        return critical(f'{self._method.capitalize()} "{url}": {why}')

    async def _follow(self, url: str, response: Response) -> Response:
        """Asks, and asks again where it is sent. The last response is always in ``response``, whole or not."""
        method, body = self._method, self._body
        for _ in range(MAX_REDIRECTS):
            await self._ask(method, url, body, response)
            if not self._follows or response.status not in REDIRECTS:
                return response
            if "location" not in response.headers:
                raise ExchangeError(f"{response.status} response missing Location header")
            url = urljoin(url, response.headers["location"])
            if response.status not in (307, 308) and method != "HEAD":
                method, body = "GET", b""
            response.tail, response.head_done, response.body_done = Tail(self._limit), False, False
        raise ExchangeError(f"stopped after {MAX_REDIRECTS} redirects")

    async def _ask(self, method: str, url: str, body: bytes, response: Response) -> None:
        parts = urlsplit(url)
        if parts.scheme not in PORTS:
            raise ExchangeError(f'unsupported protocol scheme "{parts.scheme}"')
        if not parts.hostname:
            raise ExchangeError("http: no Host in request URL")
        tls = self._tls if parts.scheme == "https" else None
        fields = _headers(parts, self._headers, is_first_host=parts.netloc == self._host)
        request = request_bytes(method, _target(parts), fields, body)
        reader, writer = await self._dialer.connect(parts.hostname, parts.port or PORTS[parts.scheme], tls)
        try:
            writer.write(request)
            await read_response(reader, response, has_body=method != "HEAD")
        finally:
            writer.transport.abort()


def status_of(code: int) -> HealthStatus:
    if 200 <= code <= 299:
        return HealthStatus.PASSING
    return HealthStatus.WARNING if code == TOO_MANY_REQUESTS else HealthStatus.CRITICAL


def _target(parts: SplitResult) -> str:
    """Path and query; what a URL should have escaped is escaped here, so that a request line stays one line."""
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return "".join(character if "!" <= character <= "~" else "".join(f"%{byte:02X}" for byte in character.encode()) for character in target)


def _headers(parts: SplitResult, given: Mapping[str, tuple[str, ...]], *, is_first_host: bool) -> list[tuple[str, str]]:
    """What is given stands in for our own, whatever the case; what is meant for one host is not told to the next."""
    names = {name.lower() for name, values in given.items() if values}
    own = {"Host": parts.netloc.rpartition("@")[2], **DEFAULT_HEADERS}
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        own["Authorization"] = f"Basic {b64encode(secret.encode()).decode()}"
    fields = [(name, value) for name, value in own.items() if name.lower() not in names or (name == "Host" and not is_first_host)]
    fields += [(name, value) for name, values in given.items() for value in values if is_first_host or name.lower() not in FOR_ONE_HOST]
    return fields
