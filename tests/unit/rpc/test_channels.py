"""One contract for every channel: what a client sees is the same over a socket, over TLS, and within the process."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from grpc import aio

from rostra.config.settings import Tls
from rostra.errors import BadRequest, NotLeader, RostraError, Unavailable
from rostra.rpc.channels import connect
from rostra.rpc.doors import Door
from rostra.rpc.handlers import Handlers
from rostra.rpc.inprocess import MAX_ANSWER_BYTES, MAX_MESSAGE_BYTES, STREAM_LIMIT, InProcessChannel
from rostra.rpc.status import error_from_rpc
from rostra.tls.authority import make_authority, make_certificate
from rostra.tls.certificates import ProcessCertificates
from rostra.tls.connector import Names, SecureConnector
from rostra.tls.credentials import server_credentials
from rostra.tls.material import utc_now
from rostra.v1 import catalog_stream_pb2 as stream_pb2
from rostra.v1 import catalog_stream_pb2_grpc, common_pb2, dns_pb2, dns_pb2_grpc, gossip_pb2, gossip_pb2_grpc

from ...process.harness.ports import free_port

LIMIT_S = 30.0
"""For what takes milliseconds."""


class Echo(dns_pb2_grpc.DnsServiceServicer):
    """Unary: answers, fails, or waits, as the message says."""

    def __init__(self) -> None:
        self.remaining: float | None = None
        self.hanging = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def Query(self, request: dns_pb2.QueryRequest, context: Any) -> dns_pb2.QueryResponse:  # noqa: N802
        self.remaining = context.time_remaining()
        match request.message:
            case b"bad":
                raise BadRequest("message is bad", field="message")
            case b"not leader":
                raise NotLeader("n2")
            case b"bug":
                raise ZeroDivisionError
            case b"hang":
                self.hanging.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
            case b"grow":
                return dns_pb2.QueryResponse(message=b"x" * MAX_ANSWER_BYTES)
            case b"grow less":
                return dns_pb2.QueryResponse(message=b"x" * (MAX_ANSWER_BYTES - 64))
        return dns_pb2.QueryResponse(message=request.message)


class Counting(gossip_pb2_grpc.GossipServiceServicer):
    """A server stream that never ends by itself."""

    def __init__(self) -> None:
        self.sent = 0
        self.ended = asyncio.Event()

    async def WatchUserEvents(  # noqa: N802
        self, request: gossip_pb2.WatchUserEventsRequest, context: Any
    ) -> AsyncIterator[gossip_pb2.WatchUserEventsResponse]:
        try:
            while True:
                if request.hello.role == "fails" and self.sent == 3:
                    raise NotLeader("n3")
                self.sent += 1
                yield gossip_pb2.WatchUserEventsResponse(lost=self.sent)
        finally:
            self.ended.set()


class Doubling(catalog_stream_pb2_grpc.CatalogStreamServiceServicer):
    """A stream both ways: answers each write with its sequence doubled, and ends when the writer does."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def Write(self, request_iterator: Any, context: Any) -> AsyncIterator[stream_pb2.WriteResponse]:  # noqa: N802
        try:
            async for request in request_iterator:
                results = [stream_pb2.WriteResult(sequence=2 * write.sequence) for write in request.batch.writes]
                yield stream_pb2.WriteResponse(results=stream_pb2.WriteResults(results=results))
        finally:
            self.ended.set()


def make(kind: Any) -> Any:
    """A servicer that has only the methods that are called here."""
    return kind()


class World:
    """The servicers and a channel to them."""

    def __init__(self) -> None:
        self.echo: Echo = make(Echo)
        self.counting: Counting = make(Counting)
        self.doubling: Doubling = make(Doubling)
        self.handlers = Handlers()
        self.handlers.add(dns_pb2_grpc.add_DnsServiceServicer_to_server, self.echo)
        self.handlers.add(gossip_pb2_grpc.add_GossipServiceServicer_to_server, self.counting)
        self.handlers.add(catalog_stream_pb2_grpc.add_CatalogStreamServiceServicer_to_server, self.doubling)
        self.channel: aio.Channel

    @property
    def dns(self) -> Any:
        return dns_pb2_grpc.DnsServiceStub(self.channel)

    @property
    def gossip(self) -> Any:
        return gossip_pb2_grpc.GossipServiceStub(self.channel)

    @property
    def catalog(self) -> Any:
        return catalog_stream_pb2_grpc.CatalogStreamServiceStub(self.channel)


@pytest.fixture(params=["socket", "in-process", "TLS"])
async def world(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[World]:
    world = World()
    door = None
    if request.param == "socket":
        door = Door("test door", [f"unix:{tmp_path}/door.sock"], world.handlers, {})
        await door.start()
        world.channel = connect(f"unix:{tmp_path}/door.sock")
    elif request.param == "TLS":
        address = f"127.0.0.1:{free_port()}"
        certificates = mutual_tls(tmp_path)
        assert certificates.internal_rpc is not None
        credentials = server_credentials(certificates.internal_rpc, ask_clients=True)
        door = Door("test door", [address], world.handlers, {}, credentials)
        await door.start()
        world.channel = SecureConnector(certificates, Names.of("dc1", "consul")).connect(address)
    else:
        world.channel = InProcessChannel(world.handlers, verify=True)
    yield world
    await world.channel.close()
    if door is not None:
        await door.stop()


def mutual_tls(folder: Path) -> ProcessCertificates:
    """Certificates with which both ends of a channel trust each other."""
    authority = make_authority(utc_now(), 40)
    pair = make_certificate(authority, "server", utc_now(), 40, ["server.dc1.consul"])
    files = {"ca.pem": authority.certificate, "cert.pem": pair.certificate, "key.pem": pair.key}
    for name, data in files.items():
        (folder / name).touch(0o600)
        (folder / name).write_bytes(data)
    nothing = {"ca_file": "", "ca_path": "", "cert_file": "", "key_file": "", "tls_min_version": "tlsv1_2", "verify_incoming": True}
    paths = {f"{name}_file": str(folder / f"{name}.pem") for name in ("ca", "cert", "key")}
    settings = {"https": nothing, "grpc": nothing, "internal_rpc": {**nothing, **paths}}
    return ProcessCertificates(msgspec.convert(settings, Tls))


def batch(*sequences: int) -> stream_pb2.WriteRequest:
    return stream_pb2.WriteRequest(batch=stream_pb2.WriteBatch(writes=[stream_pb2.Write(sequence=number) for number in sequences]))


async def test_a_unary_call_gives_its_answer(world: World) -> None:
    assert (await world.dns.Query(dns_pb2.QueryRequest(message=b"hello"), timeout=LIMIT_S)).message == b"hello"


async def test_the_servicer_knows_the_deadline(world: World) -> None:
    await world.dns.Query(dns_pb2.QueryRequest(message=b"hello"), timeout=60)
    assert world.echo.remaining is not None
    assert 30 < world.echo.remaining < 61  # gRPC rounds up what it sends


@pytest.mark.parametrize(
    ("message", "code", "error"),
    [
        (b"bad", grpc.StatusCode.INVALID_ARGUMENT, BadRequest("message is bad", field="message")),
        (b"not leader", grpc.StatusCode.UNAVAILABLE, NotLeader("n2")),
    ],
)
async def test_a_domain_error_arrives_as_itself(world: World, message: bytes, code: grpc.StatusCode, error: RostraError) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await world.dns.Query(dns_pb2.QueryRequest(message=message), timeout=LIMIT_S)
    assert caught.value.code() is code
    arrived = error_from_rpc(caught.value)
    assert (type(arrived), str(arrived), vars(arrived)) == (type(error), str(error), vars(error))


async def test_a_bug_is_an_internal_error_that_tells_nothing(world: World) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await world.dns.Query(dns_pb2.QueryRequest(message=b"bug"), timeout=LIMIT_S)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INTERNAL, "internal error")


async def test_a_call_ends_at_its_deadline_and_so_does_the_servicer(world: World) -> None:
    for timeout_s in (0.1, 1.0, LIMIT_S):  # on a busy machine it may be over before the servicer has heard of it
        with pytest.raises(aio.AioRpcError) as caught:
            await world.dns.Query(dns_pb2.QueryRequest(message=b"hang"), timeout=timeout_s)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if world.echo.hanging.is_set():
            break
    async with asyncio.timeout(LIMIT_S):
        await world.echo.cancelled.wait()


async def test_cancelling_the_caller_cancels_the_servicer(world: World) -> None:
    async def ask() -> None:
        await world.dns.Query(dns_pb2.QueryRequest(message=b"hang"))

    task = asyncio.ensure_future(ask())
    async with asyncio.timeout(LIMIT_S):
        await world.echo.hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(LIMIT_S):
        await world.echo.cancelled.wait()


async def test_within_the_process_a_method_that_does_not_wait_answers_within_the_call() -> None:
    handlers, echo = Handlers(), Echo()
    handlers.add(dns_pb2_grpc.add_DnsServiceServicer_to_server, echo)
    query: Any = dns_pb2_grpc.DnsServiceStub(InProcessChannel(handlers, verify=True)).Query
    assert query.at_once(dns_pb2.QueryRequest(message=b"hello")).message == b"hello"
    assert query.at_once(dns_pb2.QueryRequest(message=b"bad")) is None
    assert query.at_once(dns_pb2.QueryRequest(message=b"hang")) is None, "it would wait"
    assert echo.hanging.is_set()
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()], "and is not left behind"


async def test_a_request_over_a_mebibyte_and_an_answer_over_four_are_refused(world: World) -> None:
    assert len((await world.dns.Query(dns_pb2.QueryRequest(message=b"grow less"), timeout=LIMIT_S)).message) == MAX_ANSWER_BYTES - 64
    for message in (b"x" * MAX_MESSAGE_BYTES, b"grow"):
        with pytest.raises(aio.AioRpcError) as caught:
            await world.dns.Query(dns_pb2.QueryRequest(message=message), timeout=LIMIT_S)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_server_stream_waits_for_a_slow_reader_and_ends_when_cancelled(world: World) -> None:
    call = world.gossip.WatchUserEvents(gossip_pb2.WatchUserEventsRequest())
    first = await call.read()
    assert first.lost == 1
    if isinstance(world.channel, InProcessChannel):
        for _ in range(3 * STREAM_LIMIT):
            await asyncio.sleep(0)
        assert world.counting.sent <= STREAM_LIMIT + 2
    call.cancel()
    async with asyncio.timeout(LIMIT_S):
        await world.counting.ended.wait()
    with pytest.raises(asyncio.CancelledError):
        await call.read()


async def test_within_the_process_messages_are_written_at_once_while_there_is_room_and_in_order() -> None:
    """Who is alone on a stream need not wait for a task that sends."""
    world = World()
    world.channel = InProcessChannel(world.handlers, verify=True)
    call = world.catalog.Write()
    await call.write(batch(1))
    written = 1
    while call.writes_at_once:
        written += 1
        call.write_at_once(batch(written))
    assert written == STREAM_LIMIT
    for number in range(1, written + 1):
        assert (await call.read()).results.results[0].sequence == 2 * number
    assert call.writes_at_once
    call.cancel()
    assert not call.writes_at_once


async def test_an_error_in_a_stream_comes_after_what_was_sent_before_it(world: World) -> None:
    call = world.gossip.WatchUserEvents(gossip_pb2.WatchUserEventsRequest(hello=common_pb2.Hello(role="fails")))
    assert [(await call.read()).lost for _ in range(3)] == [1, 2, 3]
    with pytest.raises(aio.AioRpcError) as caught:
        await call.read()
    assert isinstance(error_from_rpc(caught.value), NotLeader)


async def test_an_in_process_call_that_is_dropped_ends_the_servicer() -> None:
    world = World()
    world.channel = InProcessChannel(world.handlers)
    call = world.gossip.WatchUserEvents(gossip_pb2.WatchUserEventsRequest())
    await call.read()
    del call
    gc.collect()
    async with asyncio.timeout(LIMIT_S):
        await world.counting.ended.wait()


async def test_a_stream_both_ways_answers_in_order_and_ends_when_the_writer_does(world: World) -> None:
    call = world.catalog.Write()
    await call.write(batch(1, 2))
    await call.write(batch(3))
    assert [result.sequence for result in (await call.read()).results.results] == [2, 4]
    assert [result.sequence for result in (await call.read()).results.results] == [6]
    await call.done_writing()
    assert await call.read() is aio.EOF
    assert world.doubling.ended.is_set()


async def test_requests_may_come_from_an_iterator(world: World) -> None:
    async def requests() -> AsyncIterator[stream_pb2.WriteRequest]:
        yield batch(4)
        yield batch(5)

    call = world.catalog.Write(requests())
    assert [message.results.results[0].sequence async for message in call] == [8, 10]


async def test_writing_to_a_cancelled_stream_fails(world: World) -> None:
    call = world.catalog.Write()
    await call.write(batch(1))
    call.cancel()
    with pytest.raises((asyncio.CancelledError, asyncio.InvalidStateError, aio.AioRpcError)):
        await call.write(batch(2))


async def test_a_method_nobody_serves_is_unimplemented(world: World) -> None:
    world.handlers.methods.clear()
    if isinstance(world.channel, InProcessChannel):
        with pytest.raises(aio.AioRpcError) as caught:
            await world.dns.Query(dns_pb2.QueryRequest(message=b"hello"), timeout=LIMIT_S)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("unix:{folder}/gossip.sock", "unix:{folder}/gossip.sock cannot be reached: No such file or directory"),
        ("127.0.0.1:1", "127.0.0.1:1 cannot be reached: Connection refused"),
    ],
)
async def test_where_nobody_answers_the_error_says_where_and_why(address: str, said: str, tmp_path: Path) -> None:
    async with aio.insecure_channel(address.format(folder=tmp_path)) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await gossip_pb2_grpc.GossipServiceStub(channel).ListMembers(gossip_pb2.ListMembersRequest(), timeout=20.0)
    error = error_from_rpc(caught.value)
    assert isinstance(error, Unavailable)
    assert str(error) == said.format(folder=tmp_path)
