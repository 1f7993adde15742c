"""Contexts for HTTPS and DNS over TLS: they follow a reload, and a gateway serves the same behind them as without."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from rostra.tls.certificates import Certificates
from rostra.tls.contexts import server_context

from .pki import Pki

Talk = Callable[..., Any]


class Echo(asyncio.Protocol):
    """Says what it hears."""

    def __init__(self, transports: list[asyncio.Transport]) -> None:
        self._transports = transports
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transports.append(self._transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@pytest.fixture
async def listen() -> AsyncIterator[Callable[[ssl.SSLContext], Any]]:
    """Serves an echo behind a context; its port."""
    servers: list[asyncio.Server] = []
    transports: list[asyncio.Transport] = []

    async def start(context: ssl.SSLContext) -> int:
        server = await asyncio.get_running_loop().create_server(lambda: Echo(transports), "127.0.0.1", 0, ssl=context)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield start
    for transport in transports:
        transport.abort()
    for server in servers:
        server.close()
        await server.wait_closed()
    await asyncio.sleep(0.01)  # transports close in a later turn


def client(pki: Pki, shows: Pki | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Trusts ``pki``, and shows the certificate ``cli`` of ``shows``."""
    context = ssl.create_default_context(cafile=str(pki.ca_file))
    if version is not None:
        context.maximum_version = version
    if shows is not None:
        context.load_cert_chain(shows.folder / "cli.pem", shows.folder / "cli-key.pem")
    return context


async def is_served(port: int, context: ssl.SSLContext, name: str = "localhost") -> bool:
    """Whether what is said on a connection of its own comes back. With TLS 1.3 a client learns after the handshake that it is refused."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    except (ssl.SSLError, ConnectionError):
        return False
    try:
        writer.write(b"hello")
        return await reader.read(100) == b"hello"
    except (ssl.SSLError, ConnectionError):
        return False
    finally:
        writer.transport.abort()


async def test_a_client_that_trusts_the_authority_is_served(pki: Pki, listen: Talk) -> None:
    port = await listen(server_context(Certificates("tls.https", pki.settings()), protocols=("http/1.1",), ask_clients=False))
    assert await is_served(port, client(pki))
    assert await is_served(port, client(pki), "127.0.0.1"), "also when no name is sent"


async def test_where_clients_are_asked_one_without_a_certificate_is_refused(pki: Pki, stranger: Pki, listen: Talk) -> None:
    certificates = Certificates("tls.https", pki.settings())
    port = await listen(server_context(certificates, protocols=("http/1.1",), ask_clients=True))
    assert not await is_served(port, client(pki))
    for authority, is_welcome in ((pki, True), (stranger, False)):
        authority.make("cli", "cli", ["cli.dc1.consul"])
        assert await is_served(port, client(pki, authority)) is is_welcome


async def test_a_reload_is_seen_by_the_next_handshake_and_not_by_a_connection(pki: Pki, listen: Talk) -> None:
    certificates = Certificates("tls.https", pki.settings())
    port = await listen(server_context(certificates, protocols=("http/1.1",), ask_clients=True))
    pki.make("cli", "cli", ["cli.dc1.consul"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client(pki, pki), server_hostname="localhost")
    serial = ssl_serial(writer)

    following = Pki(pki.folder.parent / "following")
    pki.write("server", following.make())
    following.make("cli", "cli", ["cli.dc1.consul"])
    pki.ca_file.write_bytes(following.authority.certificate)
    certificates.material = certificates.read()

    after = client(following, following)
    _, other = await asyncio.open_connection("127.0.0.1", port, ssl=after, server_hostname="localhost")
    assert ssl_serial(other) != serial
    other.transport.abort()
    assert await is_served(port, after), "clients of the new authority are taken"
    assert not await is_served(port, client(following, pki))
    writer.write(b"still here")
    assert await reader.read(100) == b"still here"
    writer.transport.abort()


def ssl_serial(writer: asyncio.StreamWriter) -> str:
    return str(writer.get_extra_info("peercert")["serialNumber"])


async def test_the_oldest_version_is_obeyed(pki: Pki, listen: Talk) -> None:
    certificates = Certificates("tls.https", pki.settings(tls_min_version="tlsv1_3"))
    port = await listen(server_context(certificates, protocols=("http/1.1",), ask_clients=False))
    assert not await is_served(port, client(pki, version=ssl.TLSVersion.TLSv1_2))
    assert await is_served(port, client(pki))


async def test_plaintext_is_no_handshake(pki: Pki, listen: Talk) -> None:
    port = await listen(server_context(Certificates("tls.https", pki.settings()), protocols=("http/1.1",), ask_clients=False))
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(plain, b"GET /v1/status/leader HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in await loop.sock_recv(plain, 100)
