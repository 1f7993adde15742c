"""TCP, UDP, HTTP/2 ping and gRPC health checks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from rostra.local.checks.dialing import Dialer, DialError, split_address
from rostra.local.checks.grpc_health import GrpcCheck
from rostra.local.checks.h2ping import ACK, GOAWAY, PING, PREFACE, SETTINGS, H2PingCheck, frame
from rostra.local.checks.outcome import Outcome
from rostra.local.checks.tcp import TcpCheck
from rostra.local.checks.udp import PROBE, UdpCheck
from rostra.model.catalog import CheckDefinition, HealthStatus
from tests.process.harness.ports import free_port

from .servers import closed_port, serving

PASSING, CRITICAL = HealthStatus.PASSING, HealthStatus.CRITICAL


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


# TCP


async def tcp(address: str, timeout_s: float = 30.0, **definition: Any) -> Outcome:
    return await TcpCheck(CheckDefinition(tcp=address, timeout_s=timeout_s, **definition), Dialer()).run()


async def test_tcp_passes_when_it_connects() -> None:
    async with serving(silent) as port:
        for host in ("127.0.0.1", "localhost"):
            assert await tcp(f"{host}:{port}") == Outcome(PASSING, f"TCP connect {host}:{port}: Success")


async def test_tcp_is_critical_when_nobody_is_there() -> None:
    with closed_port() as port:
        refused = Outcome(CRITICAL, f"dial tcp 127.0.0.1:{port}: connect: connection refused")
        assert await tcp(f"127.0.0.1:{port}") == refused
        assert await tcp(f"localhost:{port}") == refused


async def test_tcp_is_critical_when_the_host_does_not_answer() -> None:
    """A listener whose queue is full drops what comes, as a host that is down does."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        assert await tcp(f"127.0.0.1:{port}", 0.1) == Outcome(CRITICAL, f"dial tcp 127.0.0.1:{port}: i/o timeout")


async def test_tcp_with_tls_needs_a_handshake(server_tls: ssl.SSLContext) -> None:
    async with serving(silent, ssl=server_tls) as port:
        assert (await tcp(f"localhost:{port}", tcp_use_tls=True)).status is CRITICAL
        assert (await tcp(f"localhost:{port}", tcp_use_tls=True, tls_skip_verify=True)).status is PASSING
    async with serving(silent) as port:
        assert (await tcp(f"localhost:{port}", 0.2, tcp_use_tls=True, tls_skip_verify=True)).status is CRITICAL


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", ":::1"])
async def test_an_address_without_a_port_is_critical(address: str) -> None:
    assert (await tcp(address)).status is CRITICAL


@pytest.mark.parametrize(("address", "parts"), [("a:1", ("a", 1)), ("[::1]:2", ("::1", 2)), (":3", ("localhost", 3))])
def test_an_address_has_a_host_and_a_port(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


# Names


async def test_a_name_that_is_none_is_critical(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with monkeypatch.context() as patch:  # a machine without a resolver would say something else, late
        patch.setattr(socket, "getaddrinfo", unknown)
        assert await tcp("nobody.invalid:80") == Outcome(CRITICAL, "dial tcp: lookup nobody.invalid: no such host")
    assert (await tcp(f"{'x' * 300}.example:80")).status is CRITICAL


async def test_a_name_that_hangs_delays_nothing_but_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    real, release, asked = socket.getaddrinfo, threading.Event(), list[str]()

    def slow(host: str, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        if host == "slow.example":
            release.wait(60.0)
        return real("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    dialer = Dialer()
    try:
        hanging = [asyncio.create_task(dialer.addresses("slow.example")) for _ in range(100)]
        await asyncio.sleep(0)
        assert [await dialer.addresses(f"quick{number}.example") for number in range(100)] == [["127.0.0.1"]] * 100
        assert (asked.count("slow.example"), [task.done() for task in hanging]) == (1, [False] * 100)
        hanging[0].cancel()
        release.set()
        assert await asyncio.gather(*hanging[1:]) == [["127.0.0.1"]] * 99
    finally:
        release.set()
        dialer.close()


async def test_the_next_address_of_a_name_is_tried_while_the_first_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        port = full.getsockname()[1]

        async def addresses(self: Dialer, host: str) -> list[str]:
            return ["127.0.0.2", "127.0.0.3"]

        monkeypatch.setattr(Dialer, "addresses", addresses)
        async with serving(silent, "127.0.0.3", port):
            _, writer = await Dialer().connect("two.example", port)
            assert writer.get_extra_info("peername")[0] == "127.0.0.3"
            writer.transport.abort()


async def test_of_several_addresses_that_fail_the_first_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def addresses(self: Dialer, host: str) -> list[str]:
        return ["127.0.0.2", "127.0.0.3"]

    monkeypatch.setattr(Dialer, "addresses", addresses)
    with closed_port() as port, pytest.raises(DialError, match=r"127\.0\.0\.2"):
        await Dialer().connect("two.example", port)


# UDP


class Udp(asyncio.DatagramProtocol):
    """Answers, or not."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.seen: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.seen.append(data)
        if self.answer:
            self.transport.sendto(self.answer, addr)


async def udp(address: str, timeout_s: float = 30.0) -> Outcome:
    return await UdpCheck(CheckDefinition(udp=address, timeout_s=timeout_s), Dialer()).run()


@pytest.mark.parametrize(("answer", "timeout_s"), [(b"any", 60.0), (b"", 0.05)])
async def test_udp_passes_on_any_answer_and_on_none(answer: bytes, timeout_s: float) -> None:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Udp(answer), local_addr=("127.0.0.1", 0))
    try:
        port = transport.get_extra_info("sockname")[1]
        async with asyncio.timeout(30.0):
            assert await udp(f"127.0.0.1:{port}", timeout_s) == Outcome(PASSING, f"UDP connect 127.0.0.1:{port}: Success")
        assert protocol.seen == [PROBE]
    finally:
        transport.close()


async def test_udp_is_critical_when_the_host_says_that_nobody_is_there() -> None:
    port = free_port()
    outcome = await udp(f"127.0.0.1:{port}")
    assert (outcome.status, outcome.output) == (CRITICAL, f"read udp 127.0.0.1:{port}: connect: connection refused")
    assert (await udp("127.0.0.1")).output == "dial udp: address 127.0.0.1: missing port in address"


# HTTP/2 ping


async def h2ping(port: int, *, plaintext: bool = True, timeout_s: float = 30.0, **definition: Any) -> Outcome:
    how = CheckDefinition(h2ping=f"localhost:{port}", h2ping_plaintext=plaintext, timeout_s=timeout_s, **definition)
    return await H2PingCheck(how, Dialer()).run()


def speaking(*frames: bytes) -> Any:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(PREFACE)) == PREFACE
        writer.write(b"".join(frames))
        await reader.read()

    return handle


async def ponging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    assert await reader.readexactly(len(PREFACE)) == PREFACE
    assert await reader.readexactly(9) == frame(SETTINGS)
    ping = await reader.readexactly(17)
    writer.write(frame(SETTINGS) + frame(PING, flags=ACK, payload=b"not this") + frame(PING, flags=ACK, payload=ping[9:]))
    await reader.read()


async def test_h2ping_passes_when_the_ping_comes_back(server_tls: ssl.SSLContext) -> None:
    async with serving(ponging) as port:
        assert await h2ping(port) == Outcome(PASSING, f"HTTP2 ping localhost:{port}: Success")
    async with serving(ponging, ssl=server_tls) as port:
        assert (await h2ping(port, plaintext=False, tls_skip_verify=True)).status is PASSING
        assert (await h2ping(port, plaintext=False)).status is CRITICAL


@pytest.mark.parametrize(
    "frames",
    [
        [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
        [frame(PING, flags=ACK, payload=b"rostra h")],
        [frame(SETTINGS), frame(GOAWAY, payload=bytes(8))],
        [frame(SETTINGS), frame(PING, flags=ACK, payload=b"not this"), frame(GOAWAY, payload=bytes(8))],
        [frame(SETTINGS), b"\xff\xff\xff\x00\x00\x00\x00\x00\x00"],
        [frame(SETTINGS)] * 200,
    ],
)
async def test_h2ping_is_critical_for_everything_else(frames: list[bytes]) -> None:
    async with serving(speaking(*frames)) as port:
        assert (await h2ping(port)).status is CRITICAL


async def test_h2ping_is_critical_when_nothing_comes_back() -> None:
    async with serving(speaking(frame(SETTINGS))) as port:
        assert await h2ping(port, timeout_s=1.0) == Outcome(CRITICAL, f"HTTP2 ping localhost:{port}: i/o timeout")
    with closed_port() as port:
        assert (await h2ping(port)).status is CRITICAL


async def test_a_grpc_server_answers_an_h2ping() -> None:
    async with grpc_server() as port:
        assert (await h2ping(port)).status is PASSING


# gRPC


@contextlib.asynccontextmanager
async def grpc_server(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[int]:
    server = aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("good", health_pb2.HealthCheckResponse.SERVING)
    await servicer.set("bad", health_pb2.HealthCheckResponse.NOT_SERVING)
    port = server.add_secure_port("127.0.0.1:0", credentials) if credentials else server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def ask(target: str, timeout_s: float = 30.0, **definition: Any) -> Outcome:
    return await GrpcCheck(CheckDefinition(grpc=target, timeout_s=timeout_s, **definition), Dialer()).run()


async def test_grpc_passes_when_the_service_says_that_it_serves() -> None:
    async with grpc_server() as port:
        for target in (f"127.0.0.1:{port}", f"127.0.0.1:{port}/good"):
            assert await ask(target) == Outcome(PASSING, f"gRPC check {target}: success")
        assert await ask(f"127.0.0.1:{port}/bad") == Outcome(CRITICAL, "gRPC application didn't report service healthy")
        assert (await ask(f"127.0.0.1:{port}/unknown")).output.startswith("rpc error: code = NotFound")


async def test_grpc_is_critical_when_nobody_is_there_or_nobody_answers() -> None:
    with closed_port() as port:
        assert (await ask(f"127.0.0.1:{port}")).output.startswith("rpc error: code = Unavailable")
    async with serving(silent) as port:
        assert await ask(f"127.0.0.1:{port}", 0.1) == Outcome(
            CRITICAL, "rpc error: code = DeadlineExceeded desc = context deadline exceeded"
        )


async def test_grpc_sees_at_once_that_a_server_is_back() -> None:
    port = free_port()
    assert (await ask(f"127.0.0.1:{port}")).status is CRITICAL
    server = aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    await server.start()
    try:
        assert (await ask(f"127.0.0.1:{port}")).status is PASSING
    finally:
        await server.stop(0)


async def test_grpc_over_tls_verifies_unless_told_otherwise(certificate: tuple[Path, Path]) -> None:
    credentials = grpc.ssl_server_credentials([(certificate[1].read_bytes(), certificate[0].read_bytes())])
    async with grpc_server(credentials) as port:
        assert (await ask(f"localhost:{port}", grpc_use_tls=True)).status is CRITICAL
        assert (await ask(f"localhost:{port}", grpc_use_tls=True, tls_skip_verify=True)).status is PASSING
        assert (await ask(f"127.0.0.1:{port}/bad", grpc_use_tls=True, tls_skip_verify=True)).output.startswith("gRPC application")
