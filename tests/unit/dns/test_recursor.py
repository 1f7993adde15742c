"""Names of others: forwarded for those who may, by resolvers that may fail."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Network

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from rostra.dns.recursion import make_recursion
from rostra.dns.settings import DnsSettings
from rostra.errors import ConfigError

from .conftest import HOST, Running
from .support import Catalog, lines, make_instance
from .test_transports import ask

Start = Callable[..., Awaitable[Running]]


class Resolver(asyncio.DatagramProtocol):
    """Knows www.example.org, denies other names, and says nothing at all when it is ``dead``."""

    def __init__(self, *, dead: bool = False) -> None:
        self.asked = 0
        self.dead = dead
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.address = "{}:{}".format(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, client: object) -> None:
        self.asked += 1
        if self.dead:
            return
        response = dns.message.make_response(dns.message.from_wire(data))
        response.flags |= dns.flags.RA
        name = response.question[0].name
        if name.to_text() == "www.example.org.":
            response.answer = [dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.7")]
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(response.to_wire(), client)  # type: ignore[attr-defined]


@asynccontextmanager
async def resolver(*, dead: bool = False) -> AsyncIterator[Resolver]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: Resolver(dead=dead), local_addr=(HOST, 0))
    yield protocol
    transport.close()


def catalog_with_alias() -> Catalog:
    catalog = Catalog()
    catalog.add(make_instance(catalog.node("n1"), "ext", address="www.example.org"))
    return catalog


async def test_names_of_others_are_forwarded_and_denials_too(start: Start) -> None:
    async with resolver() as upstream:
        running = await start(Catalog(), recursors=(upstream.address,))
        response = await ask(running, "www.example.org")
        assert lines(response.answer) == ["www.example.org. A 192.0.2.7"]
        assert response.flags & dns.flags.RA
        assert not response.flags & dns.flags.AA
        assert (await ask(running, "nobody.example.org")).rcode() == dns.rcode.NXDOMAIN


async def test_an_alias_that_leads_outside_is_followed(start: Start) -> None:
    async with resolver() as upstream:
        running = await start(catalog_with_alias(), recursors=(upstream.address,))
        response = await ask(running, "ext.service.consul")
        assert lines(response.answer) == ["ext.service.consul. CNAME www.example.org.", "www.example.org. A 192.0.2.7"]


async def test_our_own_names_are_never_forwarded(start: Start) -> None:
    async with resolver() as upstream:
        running = await start(Catalog(), recursors=(upstream.address,))
        assert (await ask(running, "nobody.service.consul")).rcode() == dns.rcode.NXDOMAIN
        assert upstream.asked == 0


async def test_a_recursor_that_is_silent_is_passed_over_and_all_silent_is_servfail(start: Start) -> None:
    async with resolver(dead=True) as dead, resolver() as alive:
        running = await start(Catalog(), recursors=(dead.address, alive.address), recursor_timeout_s=0.4)
        assert lines((await ask(running, "www.example.org")).answer) == ["www.example.org. A 192.0.2.7"]
        assert dead.asked == 1
        alone = await start(Catalog(), recursors=(dead.address,), recursor_timeout_s=0.4)
        response = await ask(alone, "www.example.org")
        assert response.rcode() == dns.rcode.SERVFAIL
        assert [option.to_text() for option in response.options] == ["EDE 22 (No Reachable Authority): no recursor answered"]


async def test_an_answer_that_breaks_us_is_that_questions_failure_only(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    async with resolver() as upstream:
        running = await start(catalog_with_alias(), recursors=(upstream.address,))

        def broken(*_: object) -> object:
            raise ZeroDivisionError

        monkeypatch.setattr("rostra.dns.recursor._merged", broken)
        assert (await ask(running, "www.example.org")).rcode() == dns.rcode.SERVFAIL
        assert not running.task.done()
        assert (await ask(running, "n1.node.consul")).answer


async def test_at_random_every_recursor_is_tried_first_at_times(start: Start) -> None:
    async with resolver() as one, resolver() as other:
        running = await start(Catalog(), recursors=(one.address, other.address), recursor_strategy="random")
        for _ in range(20):
            await ask(running, "www.example.org")
        assert one.asked
        assert other.asked


async def test_who_may_not_have_recursion_is_refused_and_not_offered_it(start: Start) -> None:
    async with resolver() as upstream:
        running = await start(Catalog(), recursors=(upstream.address,), allow_recursion=(IPv4Network("127.9.0.0/16"),))
        response = await ask(running, "www.example.org")
        assert response.rcode() == dns.rcode.REFUSED
        assert not response.flags & dns.flags.RA
        assert upstream.asked == 0


def test_without_recursors_their_library_is_not_loaded() -> None:
    program = "import sys, rostra.dns.role; sys.exit('dns.message' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=120)


def test_recursion_is_for_private_networks_only_by_default() -> None:
    recursion = make_recursion(DnsSettings(recursors=("192.0.2.1", "[2001:db8::1]:5353", "2001:db8::2")), source=None)  # type: ignore[arg-type]
    for client, may in (
        ("10.1.2.3", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("::ffff:192.168.0.1", True),
        ("8.8.8.8", False),
        ("2001:db8::9", False),
    ):
        assert recursion.serves(client) is may
    assert not make_recursion(DnsSettings(), source=None).serves("127.0.0.1")  # type: ignore[arg-type]


@pytest.mark.parametrize("server", ["resolver.example.org", "10.0.0.1:0", "10.0.0.1:x", "10.0.0.1:70000", ""])
def test_a_recursor_that_is_no_address_is_refused_by_name(server: str) -> None:
    with pytest.raises(ConfigError, match="recursors"):
        make_recursion(DnsSettings(recursors=(server,)), source=None)  # type: ignore[arg-type]
