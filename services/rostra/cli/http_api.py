"""Consul's HTTP API as a client sees it: where the agent is, how to ask it, and what its refusals mean to a person.

Follows the public pages "HTTP API Structure" and "Commands" (the environment variables). Only the standard library: this module is on
the way of every client command.
"""

from __future__ import annotations

import json
import os
import socket
from argparse import Namespace
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from rostra.cli import http_wire
from rostra.errors import BadRequest, RostraError, Unavailable

DEFAULT_ADDRESS = "127.0.0.1:8500"
TIMEOUT_S = 60.0
"""For one answer: well above the 7 s that an agent waits for a leader and the 5 s that a leaving server drains."""
BLOCK_TIMEOUT_S = 12 * 60.0
"""For the answer of a blocking query: well above the 10 minutes, and a sixteenth more, that it may wait."""
OK = 200

Query = Mapping[str, str | Sequence[str]]


class Refused(RostraError):
    """The agent answered, and not with success. ``code`` is the HTTP status."""

    def __init__(self, doing: str, code: int, body: str) -> None:
        reason = " ".join(body.split())
        super().__init__(f"Error {doing}: Unexpected response code: {code}" + (f" ({reason})" if reason else ""))
        self.code = code


class Api:
    """One agent, found by the flags of ``add_http_flags`` and Consul's environment variables; a flag goes before its variable.

    ``doing`` completes the sentence "Error ..." of whatever goes wrong. ``path`` begins with ``/v1/`` and is escaped by ``path_of``.
    Raises ``Unavailable`` when the agent cannot be reached, ``Refused`` when it says no, ``BadRequest`` for flags that make no sense.
    """

    def __init__(self, options: Namespace, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        given = vars(options)

        def setting(flag: str, variable: str) -> str:
            return str(given.get(flag) or environ.get(variable, ""))

        self._agent = _Agent(setting("http_addr", "CONSUL_HTTP_ADDR") or DEFAULT_ADDRESS, _says_yes(environ.get("CONSUL_HTTP_SSL", "")))
        self._headers = {"Host": self._agent.authority}
        if token := _token(setting("token_file", "CONSUL_HTTP_TOKEN_FILE"), setting("token", "CONSUL_HTTP_TOKEN")):
            self._headers["X-Consul-Token"] = token
        if credentials := environ.get("CONSUL_HTTP_AUTH"):
            from base64 import b64encode

            self._headers["Authorization"] = f"Basic {b64encode(credentials.encode()).decode()}"
        if self._agent.is_tls:
            self._agent.use_tls(
                ca_file=setting("ca_file", "CONSUL_CACERT"),
                ca_path=setting("ca_path", "CONSUL_CAPATH"),
                certificate=setting("client_cert", "CONSUL_CLIENT_CERT"),
                key=setting("client_key", "CONSUL_CLIENT_KEY"),
                server_name=setting("tls_server_name", "CONSUL_TLS_SERVER_NAME"),
                is_verified=_says_yes(environ.get("CONSUL_HTTP_SSL_VERIFY", "true")),
            )
        self._scope: dict[str, str] = {"dc": given["datacenter"]} if given.get("datacenter") else {}
        if given.get("stale"):
            self._scope["stale"] = ""

    def get(self, path: str, doing: str, kind: type[list[Any]] | type[dict[str, Any]], query: Query | None = None) -> Any:
        """What the agent answers, decoded from JSON: a list or an object, empty where the agent says ``null``."""
        body = self._answer("GET", path, doing, query)
        try:
            answer = json.loads(body)
        except ValueError:
            answer = body
        if answer is None:
            return kind()
        if not isinstance(answer, kind):
            raise Unavailable(f"Error {doing}: {self._agent.url} answered with something else: is that Consul's HTTP API?")
        return answer

    def set(self, path: str, doing: str, query: Query, body: object) -> bool:
        """Asks for a change that depends on what is there; whether it was made."""
        return self._answer("PUT", path, doing, query, json.dumps(body).encode()).strip() == b"true"

    def put(self, path: str, doing: str, query: Query | None = None, body: object = None) -> None:
        """Ask for a change; it is done, or this raises."""
        self.change("PUT", path, doing, query, body)

    def change(self, method: str, path: str, doing: str, query: Query | None = None, body: object = None) -> None:
        """As ``put``, where the API wants another method."""
        self._answer(method, path, doing, query, b"" if body is None else json.dumps(body).encode())

    def upload(self, path: str, doing: str, parts: Iterator[bytes], size: int) -> None:
        """Put what comes to ``size`` bytes, part by part; it is done, however long that takes, or this raises."""
        with self._explained(doing), self._agent.connect(timeout_s=None) as connection:
            self._ask(connection, "PUT", path, doing, None, http_wire.Upload(parts, size)).read()

    def stream(self, path: str, doing: str, query: Query | None = None) -> Generator[bytes, None, None]:
        """An endless answer as it comes; ends when the agent ends it."""
        with self._explained(doing), self._agent.connect(timeout_s=None) as connection:
            yield from self._ask(connection, "GET", path, doing, query).parts()

    def block(self, path: str, doing: str, index: int, query: Query | None = None) -> tuple[int, Any]:
        """A blocking query: the index of the answer, and the answer, once it is another than that of ``index`` or some minutes have
        passed. ``index`` 0 does not block."""
        asked = {**(query or {}), **({"index": str(index)} if index else {})}
        with self._explained(doing), self._agent.connect(timeout_s=BLOCK_TIMEOUT_S) as connection:
            response = self._ask(connection, "GET", path, doing, asked)
            body = response.read()
        try:
            return int(response.headers.get("x-consul-index", "0")), json.loads(body)
        except ValueError:
            raise Unavailable(f"Error {doing}: {self._agent.url} answered with something else: is that Consul's HTTP API?") from None

    def _answer(self, method: str, path: str, doing: str, query: Query | None, body: bytes | None = None) -> bytes:
        with self._explained(doing), self._agent.connect(timeout_s=TIMEOUT_S) as connection:
            return self._ask(connection, method, path, doing, query, body).read()

    def _ask(
        self,
        connection: http_wire.Connection,
        method: str,
        path: str,
        doing: str,
        query: Query | None,
        body: bytes | http_wire.Upload | None = None,
    ) -> http_wire.Response:
        text = urlencode({**self._scope, **(query or {})}, doseq=True)
        target = self._agent.prefix + path + (f"?{text}" if text else "")
        response = connection.exchange(method, target, self._headers, body)
        if response.status != OK:
            raise Refused(doing, response.status, response.read().decode(errors="replace"))
        return response

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """What breaks on the network becomes one line that says what to check."""
        try:
            yield
        except OSError as error:
            raise Unavailable(f"Error {doing}: {self._agent.url}: {_reason(error)}; {self._agent.advice(error)}") from error
        except http_wire.NotHttp as error:
            raise Unavailable(f"Error {doing}: {self._agent.url} does not speak HTTP ({error})") from error


def path_of(*parts: str) -> str:
    """``/v1/`` and the parts, each escaped: a node or a service may be called anything."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


class _Agent:
    """Where the agent listens: ``host:port``, ``http://``, ``https://`` (with a path before ``/v1`` if need be) or ``unix://``."""

    def __init__(self, address: str, is_tls_preferred: bool) -> None:
        scheme, separator, rest = address.partition("://")
        if not separator:
            scheme, rest = ("https" if is_tls_preferred else "http"), address
        if scheme not in ("http", "https", "unix"):
            raise BadRequest(f"Error connecting to the agent: -http-addr {address}: unknown protocol scheme {scheme!r}", field="http-addr")
        self.is_tls = scheme == "https"
        self.socket_path = rest if scheme == "unix" else ""
        parts = urlsplit("//localhost" if self.socket_path else f"//{rest}")
        try:
            self.host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise BadRequest(f"Error connecting to the agent: -http-addr {address}: {error}", field="http-addr") from None
        if not self.host:
            raise BadRequest(f"Error connecting to the agent: -http-addr {address}: no host in it", field="http-addr")
        self.port = port or (443 if self.is_tls else 80)
        self.prefix = parts.path.rstrip("/")
        self.authority = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        self.url = address if self.socket_path else f"{scheme}://{self.authority}{self.prefix}"
        self._context: Any = None
        self._server_name = ""

    def use_tls(self, *, ca_file: str, ca_path: str, certificate: str, key: str, server_name: str, is_verified: bool) -> None:
        import ssl

        try:
            self._context = ssl.create_default_context(cafile=ca_file or None, capath=ca_path or None)
            if certificate:
                self._context.load_cert_chain(certificate, key or None)
        except OSError as error:
            files = ", ".join(name for name in (ca_file, ca_path, certificate, key) if name)
            raise BadRequest(f"Error connecting to the agent: cannot load the TLS files {files}: {_reason(error)}") from error
        if not is_verified:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        self._server_name = server_name

    def connect(self, timeout_s: float | None) -> http_wire.Connection:
        if self.socket_path:
            plain = socket.socket(socket.AF_UNIX)
            plain.settimeout(timeout_s)
            try:
                plain.connect(self.socket_path)
            except OSError:
                plain.close()
                raise
        else:
            # As bytes, a host is not put through IDNA, whose tables take 2 ms to import.
            host: Any = self.host.encode() if self.host.isascii() else self.host
            plain = socket.create_connection((host, self.port), timeout_s)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is None:
            return http_wire.Connection(plain)
        return http_wire.Connection(self._context.wrap_socket(plain, server_hostname=self._server_name or self.host))

    def advice(self, error: OSError) -> str:
        """What to check, by what happened."""
        if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
            return "is the agent running there? -http-addr or CONSUL_HTTP_ADDR says where to look"
        if type(error).__module__ == "ssl":
            return "does that port speak HTTPS, with a certificate that fits -ca-file and -tls-server-name?"
        return "check the address (-http-addr, CONSUL_HTTP_ADDR) and the agent's log"


def _token(path: str, token: str) -> str:
    """A token file goes before a token, as in Consul."""
    if not path:
        return token
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError as error:
        raise BadRequest(f"Error connecting to the agent: cannot read the token file {path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).lower()


def _says_yes(text: str) -> bool:
    return text.lower() not in ("", "0", "f", "false")
