"""The role on real sockets: UDP, TCP, and what it does when it is asked too much."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address
from pathlib import Path

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from rostra.dns.driver import bind_both
from rostra.dns.role import DnsRole
from rostra.dns.settings import DnsSettings
from rostra.dns.stream import MAX_WAITING
from rostra.errors import RostraError
from rostra.model.consistency import Contact
from rostra.model.topics import TopicKind
from rostra.views.view import View

from .conftest import HOST, Running
from .support import CRITICAL, PASSING, Catalog, lines, make_instance

Start = Callable[..., Awaitable[Running]]
LIMIT_S = 30.0
"""For what takes milliseconds."""


def small_catalog(**options: bool) -> Catalog:
    catalog = Catalog(**options)
    catalog.add(make_instance(catalog.node("n1", "10.0.0.1"), "web"))
    return catalog


async def ask(running: Running, name: str, qtype: str = "A", *, tcp: bool = False, host: str = HOST) -> dns.message.Message:
    query = dns.message.make_query(name, qtype, use_edns=0, payload=1232)
    exchange = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await exchange(query, host, port=running.port, timeout=LIMIT_S)


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_names_are_answered_over_both_transports_on_one_port(start: Start, tcp: bool) -> None:
    running = await start(small_catalog())
    assert lines((await ask(running, "n1.node.consul", tcp=tcp)).answer) == ["n1.node.consul. A 10.0.0.1"]
    assert (await ask(running, "nobody.node.consul", tcp=tcp)).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_a_service_that_is_not_subscribed_yet_is_waited_for(start: Start, tcp: bool) -> None:
    running = await start(small_catalog(subscribed=False))
    assert lines((await ask(running, "web.service.consul", tcp=tcp)).answer) == ["web.service.consul. A 10.0.0.1"]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_who_never_had_a_snapshot_answers_servfail_not_nxdomain(start: Start, tcp: bool) -> None:
    running = await start(small_catalog(ready=False))
    assert not running.role.ready
    response = await ask(running, "nobody.service.consul", tcp=tcp)
    assert response.rcode() == dns.rcode.SERVFAIL
    assert [option.to_text() for option in response.options] == ["EDE 14 (Not Ready): the catalog has not caught up since it started"]
    running.catalog.ready = True
    assert (await ask(running, "n1.node.consul", tcp=tcp)).rcode() == dns.rcode.NOERROR
    assert running.role.ready


async def test_a_view_that_was_just_read_counts_though_it_is_empty(start: Start) -> None:
    catalog = small_catalog(subscribed=False)
    catalog.add(make_instance(catalog.nodes["n1"], "gone"))
    running = await start(catalog)
    read, look = catalog.read, catalog.look

    async def read_empty(*arguments: object, **options: object) -> object:
        reading = await read(*arguments, **options)  # type: ignore[arg-type]
        return reading._replace(views=tuple(View(view.topic) for view in reading.views))

    catalog.read = read_empty  # type: ignore[assignment,method-assign]
    catalog.look = lambda topic: None if topic.kind is TopicKind.SERVICE else look(topic)  # type: ignore[method-assign]
    assert (await ask(running, "gone.service.consul")).rcode() == dns.rcode.NXDOMAIN


async def test_without_a_leader_it_keeps_answering_unless_stale_answers_are_forbidden(start: Start) -> None:
    catalog = small_catalog()
    catalog.contact = Contact(known_leader=False, last_contact_ms=60_000, caught_up=True)
    running = await start(catalog)
    for name, rcode, told in (
        ("n1.node.consul", dns.rcode.NOERROR, "EDE 3 (Stale Answer): no leader is known"),
        ("n9.node.consul", dns.rcode.NXDOMAIN, "EDE 19 (Stale NXDOMAIN Answer): no such node; no leader is known"),
    ):
        response = await ask(running, name)
        assert (response.rcode(), [option.to_text() for option in response.options]) == (rcode, [told])
    for settings in ({"allow_stale": False}, {"max_stale_s": 5.0}):
        response = await ask(await start(catalog, **settings), "n1.node.consul")
        assert response.rcode() == dns.rcode.SERVFAIL
        assert [option.to_text() for option in response.options] == ["EDE 22 (No Reachable Authority): No cluster leader"]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_what_changes_between_two_questions_is_in_the_second_answer(start: Start, tcp: bool) -> None:
    catalog = small_catalog()
    running = await start(catalog)

    async def expect(name: str, rcode: dns.rcode.Rcode, count: int) -> None:
        """Each time, and more than twice: what was found to stand is given unlooked-at from then on."""
        for _ in range(3):
            response = await ask(running, name, tcp=tcp)
            assert (response.rcode(), len(response.answer)) == (rcode, count)

    for number in range(5):
        name = f"new{number}.service.consul"
        await expect(name, dns.rcode.NXDOMAIN, 0)
        for status, count in ((PASSING, 1), (CRITICAL, 0), (PASSING, 1)):
            catalog.add(make_instance(catalog.nodes["n1"], f"new{number}", status=status))
            await expect(name, dns.rcode.NOERROR, count)
        catalog.remove("n1", f"new{number}")
        await expect(name, dns.rcode.NXDOMAIN, 0)


async def test_a_catalog_that_never_caught_up_is_no_ground_for_denial(start: Start) -> None:
    """It may hold an old snapshot: what it lacks may exist, and what it has may be gone."""
    catalog = small_catalog()
    catalog.contact = Contact(known_leader=False)
    running = await start(catalog)
    for name in ("n1.node.consul", "n9.node.consul", "web.service.consul"):
        response = await ask(running, name)
        assert response.rcode() == dns.rcode.SERVFAIL
        assert [option.to_text() for option in response.options] == ["EDE 14 (Not Ready): the catalog has not caught up since it started"]
    assert not running.role.ready
    catalog.contact = Contact(known_leader=False, caught_up=True)
    catalog.node("n2")
    assert (await ask(running, "n9.node.consul")).rcode() == dns.rcode.NXDOMAIN


async def test_without_stale_answers_every_question_reads_anew(start: Start) -> None:
    running = await start(small_catalog(), allow_stale=False)
    before = len(running.catalog.reads)
    for _ in range(3):
        assert lines((await ask(running, "web.service.consul")).answer) == ["web.service.consul. A 10.0.0.1"]
    assert len(running.catalog.reads) == before + 6


async def test_a_taken_port_is_named_and_nothing_stays_open(start: Start) -> None:
    running = await start(small_catalog())
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as holder:
            holder.bind(("127.0.0.2", 0))
            port = holder.getsockname()[1]
            role = DnsRole(Catalog(), DnsSettings(addresses=("127.0.0.3", "127.0.0.2"), port=port))
            with pytest.raises(RostraError, match=f"DNS port: cannot listen on 127.0.0.2:{port}: Address already in use"):
                await role.start()
        for opened in bind_both("127.0.0.3", port):
            opened.close()
    with pytest.raises(RostraError, match=f"DNS port: cannot listen on {HOST}:{running.port}"):
        await DnsRole(Catalog(), DnsSettings(port=running.port)).start()


async def test_several_addresses_have_the_same_port(start: Start) -> None:
    port = (await start(small_catalog())).port
    running = await start(small_catalog(), addresses=("127.0.0.2", "127.0.0.3"), port=port)
    for host in ("127.0.0.2", "127.0.0.3"):
        assert (await ask(running, "n1.node.consul", host=host)).answer


async def test_bound_to_all_addresses_it_answers_from_the_one_that_was_asked(start: Start) -> None:
    """RFC 2181 section 4.1; dnspython drops an answer from elsewhere, and so times out."""
    running = await start(small_catalog(), addresses=("0.0.0.0",))
    assert (await ask(running, "n1.node.consul", host="127.0.0.77")).answer


async def test_garbage_gets_formerr_or_nothing_and_the_next_question_its_answer(start: Start) -> None:
    running = await start(small_catalog())
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        await loop.sock_connect(client, (HOST, running.port))
        for garbage in (b"", b"x", bytes(12), bytes(4000), b"\xff" * 600):
            client.send(garbage)
        query = dns.message.make_query("n1.node.consul", "A")
        client.send(query.to_wire())
        while (wire := await asyncio.wait_for(loop.sock_recv(client, 4096), LIMIT_S))[:2] != query.to_wire()[:2]:
            assert wire[3] & 0xF == dns.rcode.FORMERR
        assert dns.message.from_wire(wire).answer


async def test_a_fault_of_ours_is_servfail_and_told_once(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    running = await start(small_catalog())

    def broken(*_: object, **__: object) -> object:
        raise ZeroDivisionError

    running.role._desk.core.respond = broken  # type: ignore[assignment,method-assign]
    for _ in range(3):
        assert (await ask(running, "n1.node.consul")).rcode() == dns.rcode.SERVFAIL
    assert [record.message for record in caplog.records if record.levelname == "ERROR" and record.name.startswith("rostra")] == [
        "dns question failed"
    ]


def frame(name: str, identity: int) -> bytes:
    query = dns.message.make_query(name, "A", id=identity).to_wire()
    return len(query).to_bytes(2, "big") + query


async def read_frame(reader: asyncio.StreamReader) -> dns.message.Message:
    return dns.message.from_wire(await read_raw_frame(reader))


async def read_raw_frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


async def test_many_questions_of_one_connection_are_answered_however_they_are_cut(start: Start) -> None:
    running = await start(small_catalog(subscribed=False))
    reader, writer = await asyncio.open_connection(HOST, running.port)
    names = ["n1.node.consul", "web.service.consul"] * 100
    sent = b"".join(frame(name, identity) for identity, name in enumerate(names))
    for begin in range(0, len(sent), 37):
        writer.write(sent[begin : begin + 37])
        await writer.drain()
    answers = [await asyncio.wait_for(read_frame(reader), LIMIT_S) for _ in names]
    assert sorted(answer.id for answer in answers) == list(range(200))
    assert all(answer.answer for answer in answers)
    writer.close()


async def test_questions_sent_before_the_client_closes_its_half_are_answered(start: Start) -> None:
    running = await start(small_catalog(subscribed=False))
    reader, writer = await asyncio.open_connection(HOST, running.port)
    writer.write(frame("web.service.consul", 1) + frame("n1.node.consul", 2))
    writer.write_eof()
    assert {(await asyncio.wait_for(read_frame(reader), LIMIT_S)).id for _ in range(2)} == {1, 2}
    assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""
    writer.close()


async def test_a_client_that_does_not_read_is_not_read_from(start: Start) -> None:
    catalog = Catalog()
    catalog.add(*(make_instance(catalog.node(f"n{i}", f"10.0.{i // 256}.{i % 256}"), "web") for i in range(1000)))
    running = await start(catalog)
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, (HOST, running.port))
    reader, writer = await asyncio.open_connection(sock=client)
    for identity in range(600):
        writer.write(frame("web.service.consul", identity))
    connections = running.role._driver._connections.open
    while not connections or next(iter(connections))._is_writable:  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)
    (connection,) = connections
    assert not connection._is_reading
    received = [await asyncio.wait_for(read_raw_frame(reader), LIMIT_S) for _ in range(600)]
    assert sorted(int.from_bytes(response[:2], "big") for response in received) == list(range(600))  # RFC 7766 section 7: in any order
    writer.close()


async def closes(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), LIMIT_S) == b""
    except ConnectionError:
        return True


async def test_a_connection_that_says_nothing_is_closed(start: Start) -> None:
    running = await start(small_catalog(), tcp_idle_s=0.05)
    reader, writer = await asyncio.open_connection(HOST, running.port)
    writer.write(b"\0")
    assert await closes(reader)
    writer.close()


@pytest.mark.parametrize("garbage", [b"\0\0", b"\0\x05hello", b"\0\x0c" + b"\xff" * 12])
async def test_a_connection_that_is_no_dns_is_closed(start: Start, garbage: bytes) -> None:
    running = await start(small_catalog())
    reader, writer = await asyncio.open_connection(HOST, running.port)
    writer.write(garbage)
    assert await closes(reader)
    writer.close()


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_client"])
async def test_connections_beyond_the_limit_are_closed_and_the_others_served(start: Start, limit: str) -> None:
    running = await start(small_catalog(), **{limit: 2})
    pairs = [await asyncio.open_connection(HOST, running.port) for _ in range(2)]
    for reader, writer in pairs:
        writer.write(frame("n1.node.consul", 7))
        assert (await asyncio.wait_for(read_frame(reader), LIMIT_S)).id == 7
    reader, writer = await asyncio.open_connection(HOST, running.port)
    assert await closes(reader)
    for _, open_writer in (*pairs, (reader, writer)):
        open_writer.close()


class Gate:
    """Holds back the reads of a catalog until it is opened."""

    def __init__(self, catalog: Catalog) -> None:
        self._read = catalog.read
        self._opened = asyncio.Event()
        self.open = self._opened.set
        catalog.read = self._slow_read  # type: ignore[assignment,method-assign]

    async def _slow_read(self, *arguments: object, **options: object) -> object:
        await self._opened.wait()
        return await self._read(*arguments, **options)  # type: ignore[arg-type]


async def test_questions_that_wait_are_bounded_and_the_rest_is_dropped(start: Start) -> None:
    running = await start(small_catalog(subscribed=False), max_pending=4)
    gate = Gate(running.catalog)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        await loop.sock_connect(client, (HOST, running.port))

        async def next_id() -> int:
            return int.from_bytes((await asyncio.wait_for(loop.sock_recv(client, 4096), LIMIT_S))[:2], "big")

        for identity in range(10):
            client.send(frame("web.service.consul", identity)[2:])
        client.send(frame("n1.node.consul", 99)[2:])
        assert await next_id() == 99
        gate.open()
        assert sorted([await next_id() for _ in range(4)]) == [0, 1, 2, 3]
        client.send(frame("n1.node.consul", 98)[2:])
        assert await next_id() == 98


async def test_a_connection_whose_questions_wait_is_read_no_further_until_they_are_answered(start: Start) -> None:
    running = await start(small_catalog(subscribed=False))
    gate = Gate(running.catalog)
    reader, writer = await asyncio.open_connection(HOST, running.port)
    writer.write(b"".join(frame("web.service.consul", identity) for identity in range(100)))
    other_reader, other = await asyncio.open_connection(HOST, running.port)
    other.write(frame("n1.node.consul", 7))
    assert (await asyncio.wait_for(read_frame(other_reader), LIMIT_S)).id == 7
    assert sorted(connection._waiting for connection in running.role._driver._connections.open) == [0, MAX_WAITING]
    gate.open()
    assert sorted([(await asyncio.wait_for(read_frame(reader), LIMIT_S)).id for _ in range(100)]) == list(range(100))
    for each in (writer, other):
        each.close()


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's side of a certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dns")])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin, begin.replace(year=2100))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), critical=False)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    (tmp_path / "pem").write_bytes(certificate + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "pem")
    return server, ssl.create_default_context(cadata=certificate.decode())


async def test_with_a_certificate_it_answers_over_tls_too(start: Start, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """RFC 7858."""
    server, client = contexts
    running = await start(small_catalog(), tls=server, tls_port=0)
    ((_, port),) = running.role.tls_endpoints
    reader, writer = await asyncio.open_connection(HOST, port, ssl=client)
    writer.write(frame("n1.node.consul", 1) + frame("web.service.consul", 2))
    assert [(await asyncio.wait_for(read_frame(reader), LIMIT_S)).id for _ in range(2)] == [1, 2]
    writer.close()


async def test_several_processes_may_share_the_port_when_told_to(start: Start) -> None:
    one = await start(small_catalog(), reuse_port=True)
    other = await start(small_catalog(), reuse_port=True, port=one.port)
    assert other.port == one.port
    for _ in range(10):
        assert (await ask(one, "n1.node.consul")).answer
    with pytest.raises(RostraError, match="DNS port"):
        await DnsRole(Catalog(), DnsSettings(port=one.port)).start()


async def test_settings_change_while_it_runs(start: Start) -> None:
    running = await start(small_catalog())
    assert (await ask(running, "n1.node.consul")).answer[0].ttl == 0
    running.role.reload(DnsSettings(node_ttl_s=30))
    assert (await ask(running, "n1.node.consul")).answer[0].ttl == 30


async def test_a_flood_from_one_network_is_limited_and_sent_to_tcp(start: Start) -> None:
    running = await start(small_catalog(), response_rate_limit=5)
    loop, answers = asyncio.get_running_loop(), list[dns.message.Message]()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        await loop.sock_connect(client, (HOST, running.port))
        for identity in range(20):
            client.send(frame("n1.node.consul", identity)[2:])
        assert (await ask(running, "n1.node.consul", tcp=True)).answer, "by then all of them have been looked at"
        with contextlib.suppress(BlockingIOError):
            while True:
                answers.append(dns.message.from_wire(client.recv(4096)))
    truncated = [answer for answer in answers if answer.flags & dns.flags.TC]
    assert len(answers) - len(truncated) >= 5
    assert truncated
    assert len(answers) < 20, "some are dropped"


async def test_each_question_is_a_line_at_level_debug(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    running = await start(small_catalog())
    await ask(running, "n1.node.consul")
    assert not [record for record in caplog.records if record.message == "question answered"]
    caplog.set_level(logging.DEBUG, "rostra.dns")
    await ask(running, "n1.node.consul")
    await ask(running, "nobody.node.consul", "AAAA", tcp=True)
    lines = [vars(record) for record in caplog.records if record.message == "question answered"]
    assert [(line["question"], line["type"], line["rcode"], line["answers"], line["network"]) for line in lines] == [
        ("n1.node.consul.", "A", "NOERROR", 1, "udp"),
        ("nobody.node.consul.", "AAAA", "NXDOMAIN", 0, "tcp"),
    ]
