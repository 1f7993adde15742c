"""DnsService over a real gRPC socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import dns.message
import dns.rcode
import pytest
from grpc import aio

from rostra.clients.dns import DnsClient
from rostra.errors import BadRequest
from rostra.rpc.doors import Door
from rostra.rpc.handlers import Handlers
from rostra.v1 import dns_pb2_grpc

from .conftest import Running
from .support import Catalog, is_truncated, lines, make_instance


@pytest.fixture
async def client(start: Callable[..., Awaitable[Running]], tmp_path: object) -> AsyncIterator[DnsClient]:
    catalog = Catalog()
    catalog.add(*(make_instance(catalog.node(f"n{i}", f"10.0.0.{i}"), "web") for i in range(9)))
    running = await start(catalog)
    handlers = Handlers()
    handlers.add(dns_pb2_grpc.add_DnsServiceServicer_to_server, running.role.servicer)
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
