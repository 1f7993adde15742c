"""Doors and channels with certificates, on real sockets: who is let in, under which names, and what a reload changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rostra.config.settings import Tls
from rostra.rpc.channels import connect
from rostra.rpc.doors import Door
from rostra.rpc.handlers import Handlers
from rostra.tls.certificates import ProcessCertificates
from rostra.tls.connector import Names, SecureConnector
from rostra.tls.credentials import server_credentials
from tests.process.harness.ports import free_port

from .pki import NOTHING, Pki, only

NAMES = Names.of("dc1", "consul.")
PLAIN = Tls(https=NOTHING, grpc=NOTHING, internal_rpc=NOTHING)


class Server:
    """A door with nothing but health behind it, on a free port."""

    def __init__(self, settings: Tls) -> None:
        self.certificates = ProcessCertificates(settings)
        own = self.certificates.internal_rpc
        credentials = None if own is None else server_credentials(own, ask_clients=own.settings.verify_incoming)
        self.address = f"127.0.0.1:{free_port()}"
        self.door = Door("server port", [self.address], Handlers(), {}, credentials)


Serve = Callable[[Tls], Any]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    started: list[Server] = []

    async def start(settings: Tls) -> Server:
        server = Server(settings)
        await server.door.start()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.door.stop()


def agent(settings: Tls) -> SecureConnector:
    """The connector of another agent."""
    return SecureConnector(ProcessCertificates(settings), NAMES)


async def is_let_in(channel: aio.Channel) -> bool:
    """Whether a call gets through. A caller of ours tries again, so this does."""
    health = health_pb2_grpc.HealthStub(channel)
    for _ in range(5):
        try:
            await health.Check(health_pb2.HealthCheckRequest(), timeout=10.0)
        except aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.1)
        else:
            return True
    return False


async def try_out(connector: SecureConnector, address: str) -> bool:
    """Whether a call gets through, once it is known why not."""
    async with connector.connect(address) as channel:
        let_in = await is_let_in(channel)
        await asyncio.gather(*(other.inquiry for other in connector._others.values() if other.inquiry is not None))
    await connector.close()
    return let_in


async def test_agents_with_certificates_of_one_authority_talk(pki: Pki, serve: Serve) -> None:
    server = await serve(only("internal_rpc", pki.settings()))
    assert await try_out(agent(only("internal_rpc", pki.settings())), server.address)


async def test_a_peer_of_another_authority_is_refused_by_server_and_by_client(
    pki: Pki, stranger: Pki, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serve(only("internal_rpc", pki.settings()))
    assert not await try_out(agent(only("internal_rpc", stranger.settings())), server.address)
    assert "not from an authority that this agent trusts" in reasons(caplog)[0]
    # One that trusts the server, but is of another authority itself: only the server can refuse it.
    both = pki.folder / "both.pem"
    both.write_bytes(pki.ca_file.read_bytes() + stranger.ca_file.read_bytes())
    caplog.clear()
    assert not await try_out(agent(only("internal_rpc", stranger.settings(ca_file=both))), server.address)
    assert reasons(caplog) == ["it ends the connection after the handshake: it seems not to trust our certificate"]


async def test_a_peer_without_a_certificate_is_refused_and_told_why(pki: Pki, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = await serve(only("internal_rpc", pki.settings()))
    assert not await try_out(agent(PLAIN), server.address)
    assert reasons(caplog) == ["it speaks TLS, and this agent has no certificate (tls.internal_rpc)"]
    async with aio.secure_channel(server.address, grpc.ssl_channel_credentials(pki.ca_file.read_bytes())) as channel:
        assert not await is_let_in(channel)


async def test_an_agent_with_certificates_never_falls_back_to_plaintext(pki: Pki, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = await serve(PLAIN)
    assert await try_out(agent(PLAIN), server.address)
    assert not await try_out(agent(only("internal_rpc", pki.settings())), server.address)
    assert reasons(caplog) == ["it does not speak TLS"]


async def test_a_client_needs_no_certificate_where_the_server_was_told_so(pki: Pki, serve: Serve) -> None:
    server = await serve(only("internal_rpc", pki.settings(verify_incoming=False)))
    async with aio.secure_channel(server.address, grpc.ssl_channel_credentials(pki.ca_file.read_bytes())) as channel:
        assert await is_let_in(channel)


async def test_any_name_will_do_unless_told_otherwise(pki: Pki, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    pki.make("odd", names=["*.example.org", "n7.example.net"])
    server = await serve(only("internal_rpc", pki.settings("odd")))
    assert await try_out(agent(only("internal_rpc", pki.settings())), server.address)
    assert not await try_out(agent(only("internal_rpc", pki.settings(verify_server_hostname=True))), server.address)
    assert reasons(caplog) == [
        "its certificate is for any.example.org, n7.example.net, 127.0.0.1, not for server.dc1.consul (verify_server_hostname)"
    ]


async def test_a_client_cannot_pose_as_a_server_where_names_are_checked(pki: Pki, serve: Serve) -> None:
    pki.make("client", "client", ["client.dc1.consul", "localhost"])
    server = await serve(only("internal_rpc", pki.settings("client")))
    checking = only("internal_rpc", pki.settings(verify_server_hostname=True))
    assert not await try_out(agent(checking), server.address)
    connector = agent(checking)
    async with connector.connect_to_role_door(server.address) as channel:
        assert await is_let_in(channel), "a role door may be a client's"
    await connector.close()


async def test_a_server_of_another_datacenter_is_refused_where_names_are_checked(pki: Pki, serve: Serve) -> None:
    pki.make("far", names=["server.dc2.consul", "localhost"])
    server = await serve(only("internal_rpc", pki.settings("far")))
    assert not await try_out(agent(only("internal_rpc", pki.settings(verify_server_hostname=True))), server.address)


async def test_a_reload_swaps_the_certificate_under_a_stream_that_goes_on(pki: Pki, serve: Serve) -> None:
    server = await serve(only("internal_rpc", pki.settings()))
    own = ProcessCertificates(only("internal_rpc", pki.settings()))
    connector = SecureConnector(own, NAMES)
    channel = connector.connect(server.address)
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING

    following = Pki(pki.folder.parent / "following")
    pair = following.make()
    pki.ca_file.write_bytes(following.authority.certificate)
    pki.write("server", pair)
    assert server.certificates.reload() == ["tls.internal_rpc"]
    # Before the client's reload its new connections are of the old authority: refused; its stream goes on.
    old = SecureConnector(own, NAMES)
    async with old.connect(server.address) as before:
        with pytest.raises(aio.AioRpcError):
            await health_pb2_grpc.HealthStub(before).Check(health_pb2.HealthCheckRequest(), timeout=10.0)
    await old.close()
    assert own.reload() == ["tls.internal_rpc"]
    assert await is_let_in(channel), "the same channel, with the new certificate"
    assert not watch.done()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await asyncio.shield(asyncio.ensure_future(quiet(watch)))
    watch.cancel()
    await channel.close()
    await connector.close()


async def quiet(watch: Any) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await watch.read()
        raise AssertionError("the stream ended")


async def test_an_older_connection_closes_after_its_last_call(pki: Pki, serve: Serve) -> None:
    server = await serve(only("internal_rpc", pki.settings()))
    own = ProcessCertificates(only("internal_rpc", pki.settings()))
    connector = SecureConnector(own, NAMES)
    channel: Any = connector.connect(server.address)
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    await watch.read()
    pki.make()
    own.reload()
    assert len(channel._older) == 1
    watch.cancel()
    async with asyncio.timeout(60):
        while channel._older:  # noqa: ASYNC110 (the channel's state, not an event)
            await asyncio.sleep(0.01)
    assert await is_let_in(channel)
    pki.make()
    own.reload()
    assert not channel._older, "without calls it closes at once"
    await channel.close()
    await connector.close()


async def test_a_unix_socket_needs_no_certificate(pki: Pki) -> None:
    certificates = ProcessCertificates(only("internal_rpc", pki.settings()))
    assert certificates.internal_rpc is not None
    address = f"unix:{pki.folder}/door.sock"
    door = Door("role door", [address], Handlers(), {}, server_credentials(certificates.internal_rpc, ask_clients=True))
    await door.start()
    async with SecureConnector(certificates, NAMES).connect(address) as channel:
        assert await is_let_in(channel)
    async with connect(address) as channel:
        assert await is_let_in(channel)
    await door.stop()


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Each once, as an operator reads them."""
    return [record.__dict__["reason"] for record in caplog.records if record.message == "no secure connection"]


@pytest.fixture(autouse=True)
def _warnings_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "rostra")
