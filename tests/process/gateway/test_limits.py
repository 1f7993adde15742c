"""Each limit of the HTTP door can be configured, shows at its edge, and another value is taken over by a reload."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import Start
from ..harness.deployment import HOST, Deployment
from ..harness.waiting import eventually

pytestmark = pytest.mark.process

LIMITS = """
limits {{ http_max_conns_per_client = {connections} }}
http_config {{
  max_body_bytes = {body}
  max_header_bytes = 2048
  header_timeout = "{patience}"
  body_timeout = "{patience}"
  idle_timeout = "{patience}"
  max_blocked_queries = {blocked}
}}
"""


@pytest.fixture
def limited(start_dev: Start, tmp_path: Path) -> tuple[Deployment, Path]:
    """An agent with a file of small limits. It is patient: a test may be kept from going on for a while."""
    file = tmp_path / "limits.hcl"
    file.write_text(LIMITS.format(connections=8, body=2048, blocked=1, patience="60s"))
    return start_dev(f"-config-file={file}"), file


@contextlib.contextmanager
def raw(node: Deployment) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, node.ports.http), 10) as connection:
        connection.settimeout(20)
        yield connection


def all_of(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


OVER = {
    "idle": (b"", b""),
    "header_timeout": (b"GET /v1/sta", b"HTTP/1.1 408 "),
    "body_timeout": (b"PUT /v1/catalog/register HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{", b"HTTP/1.1 408 "),
    "max_header_bytes": (b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 2048, b"HTTP/1.1 431 "),
    "max_body_bytes": (b"PUT /v1/catalog/register HTTP/1.1\r\nHost: a\r\nContent-Length: 2049\r\n\r\n", b"HTTP/1.1 413 "),
}


def test_what_goes_over_a_limit_is_told_its_name_and_closed(start_dev: Start, tmp_path: Path) -> None:
    file = tmp_path / "limits.hcl"
    file.write_text(LIMITS.format(connections=8, body=2048, blocked=1, patience="300ms"))
    node = start_dev(f"-config-file={file}")
    for limit, (sent, said) in OVER.items():
        with raw(node) as connection:
            with contextlib.suppress(ConnectionError):  # idle for too long before anything was said
                connection.sendall(sent)
            answer = all_of(connection)
        assert answer.startswith(said), limit
        assert bool(answer) == bool(said), limit


def test_connections_and_blocked_queries_are_bounded_and_a_reload_changes_it(limited: tuple[Deployment, Path]) -> None:
    node, file = limited
    blocking = b"GET /v1/catalog/service/none?index=%d HTTP/1.1\r\nHost: a\r\n\r\n"
    index = int(node.api.get("/v1/catalog/service/none").headers["X-Consul-Index"])
    with contextlib.ExitStack() as stack:

        def ask() -> socket.socket:
            connection = stack.enter_context(raw(node))
            connection.sendall(blocking % index)
            return connection

        def blocked() -> int:
            return int(node.api.get("/v1/agent/self").json()["Stats"]["gateway"]["blocked_queries"])

        ask()
        eventually(lambda: blocked() == 1, 10)
        assert ask().recv(65536).startswith(b"HTTP/1.1 429 ")
        file.write_text(LIMITS.format(connections=30, body=4096, blocked=20, patience="60s"))
        node.only.send(signal.SIGHUP)
        node.only.wait_for_line("configuration reloaded")
        ask()
        eventually(lambda: blocked() == 2, 10, "a second query may wait")
        held = [stack.enter_context(raw(node)) for _ in range(10)]
        held[-1].sendall(b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n\r\n")
        assert held[-1].recv(65536).startswith(b"HTTP/1.1 200 ")
    body = b'{"Node":"n","Address":"127.0.0.9"}'.ljust(3000)
    with raw(node) as connection:
        connection.sendall(b"PUT /v1/catalog/register HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n" + body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_one_connection_more_than_a_client_may_have_is_told_so(limited: tuple[Deployment, Path]) -> None:
    node, _ = limited
    index = int(node.api.get("/v1/catalog/service/none").headers["X-Consul-Index"])
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(raw(node)).sendall(b"GET /v1/catalog/service/none?index=%d HTTP/1.1\r\nHost: a\r\n\r\n" % index)
        assert all_of(stack.enter_context(raw(node))).startswith(b"HTTP/1.1 429 ")
