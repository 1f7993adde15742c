"""DnsService over a real gRPC socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import dns.flags
import dns.message
import dns.rcode
import pytest
from grpc import aio

from rostra.clients.dns import DnsClient
from rostra.dns.settings import SoaSettings
from rostra.errors import BadRequest
from rostra.rpc.doors import Door
from rostra.rpc.handlers import Handlers
from rostra.rpc.inprocess import InProcessChannel
from rostra.v1 import dns_pb2_grpc

from .conftest import Running
from .support import Catalog, is_truncated, lines, make_instance


@pytest.fixture
async def handlers(start: Callable[..., Awaitable[Running]]) -> Handlers:
    catalog = Catalog()
    catalog.add(*(make_instance(catalog.node(f"n{i}", f"10.0.0.{i}"), "web") for i in range(9)))
    running = await start(catalog, recursors=("127.0.0.1:1",), service_ttl_s={"web": 30}, soa=SoaSettings(min_ttl_s=5))
    handlers = Handlers()
    handlers.add(dns_pb2_grpc.add_DnsServiceServicer_to_server, running.role.servicer)
    return handlers


@pytest.fixture
async def client(handlers: Handlers, tmp_path: object) -> AsyncIterator[DnsClient]:
    address = f"unix:{tmp_path}/dns.sock"
    door = Door("test door", [address], handlers, {})
    await door.start()
    async with aio.insecure_channel(address) as channel:
        yield DnsClient(channel)
    await door.stop()


async def test_answers_are_the_same_over_grpc_and_cut_only_when_asked_to(client: DnsClient) -> None:
    query = dns.message.make_query("web.service.consul", "A", use_edns=False)
    whole = dns.message.from_wire(await client.query(query.to_wire()))
    assert len(lines(whole.answer)) == 9
    cut = dns.message.from_wire(await client.query(query.to_wire(), over_udp=True))
    assert is_truncated(cut)


async def test_dns_errors_are_dns_answers_and_bytes_that_are_no_question_are_a_bad_request(client: DnsClient) -> None:
    query = dns.message.make_query("www.example.com", "A")
    assert dns.message.from_wire(await client.query(query.to_wire())).rcode() == dns.rcode.REFUSED
    with pytest.raises(BadRequest, match="message is no DNS question"):
        await client.query(b"hello")


async def test_it_is_told_for_how_long_an_answer_may_be_kept(client: DnsClient) -> None:
    for name, ttl_s in (("web.service.consul", 30), ("nothing.service.consul", 5), ("www.example.com", 0)):
        assert (await client.query_for(dns.message.make_query(name, "A").to_wire(), "127.0.0.1")).ttl_s == ttl_s


async def test_only_roles_of_the_process_are_believed_for_whom_they_ask(client: DnsClient, handlers: Handlers) -> None:
    """Or a caller from anywhere could have the recursors."""

    async def is_offered_recursion(door: DnsClient, who: str) -> bool:
        answer = await door.query_for(dns.message.make_query("web.service.consul", "A").to_wire(), who)
        return bool(dns.message.from_wire(answer.message).flags & dns.flags.RA)

    channel = InProcessChannel(handlers)
    inside = DnsClient(channel)
    assert await is_offered_recursion(inside, "127.0.0.1")
    assert not await is_offered_recursion(inside, "192.0.2.1")
    assert not await is_offered_recursion(client, "127.0.0.1")
    with pytest.raises(BadRequest, match="client"):
        await is_offered_recursion(inside, "nobody")
    await channel.close()
