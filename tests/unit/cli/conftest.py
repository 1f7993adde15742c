"""A small HTTP server in this process that answers as the test says and remembers what it was asked."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest

from rostra.cli.main import main

VARIABLES = ("ADDR", "AUTH", "SSL", "SSL_VERIFY", "TOKEN", "TOKEN_FILE")


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


class Server(http.server.ThreadingHTTPServer):
    """A client that hangs up is no news: told on standard error, it would be taken for what the command says."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@dataclass
class FakeAgent:
    """``answers`` maps "METHOD /path" to a value (200, as JSON), bytes, or (status, text); what is not there is 404."""

    address: str = ""
    answers: dict[str, object] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        agent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                query = parse_qs(parts.query, keep_blank_values=True)
                agent.requests.append(Request(self.command, parts.path, query, dict(self.headers), body))
                answer = agent.answers.get(f"{self.command} {parts.path}", (404, "no such path"))
                status, text = answer if isinstance(answer, tuple) else (200, answer if isinstance(answer, bytes) else json.dumps(answer))
                payload = text if isinstance(text, bytes) else str(text).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"CONSUL_HTTP_{name}", raising=False)


@pytest.fixture
def agent() -> Iterator[FakeAgent]:
    fake = FakeAgent()
    with Server(("127.0.0.1", 0), fake.handler()) as server:
        fake.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Rostra = Callable[..., Outcome]


@pytest.fixture
def rostra(agent: FakeAgent, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Rostra:
    """Run a command line in this process, against the fake agent unless it says otherwise."""
    monkeypatch.setenv("CONSUL_HTTP_ADDR", agent.address)

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
