"""The ways through the gateway cannot be told apart: the memo, the full parse in the protocol, and the application answer the same bytes,
however the requests arrive."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from rostra.gateway.answer import KEEPS, KEEPS_OLD, Answer, encode
from rostra.gateway.app import Application
from rostra.gateway.heads import CONTINUE
from rostra.model.catalog import Check, HealthStatus, Node, Registration, Service

from .conftest import World

PATHS = [
    *(f"/v1/catalog/{each}" for each in ("nodes", "services", "datacenters", "service/web", "service/none", "service/", "service")),
    *(f"/v1/catalog/{each}" for each in ("node/n1", "node/N2", "node/nope", "node-services/n1", "nodes/", "nodes%0A", "se%72vice/w%65b")),
    *(f"/v1/health/{each}" for each in ("node/n1", "checks/web", "service/web", "service/db", "state/any", "state/critical", "state/odd")),
    *("/v1/status/leader", "/v1/agent/members", "/v1/agent/services", "/v1/kv/a", "/v1/acl/tokens", "/nope", "//v1/catalog/nodes"),
    *("/v1/health/service//web", "/v1/health/service/../state/any", "/v1/catalog/service/a%2F%2Fb", "/v1/catalog/node/%FF%FE"),
]
PARAMETERS = [
    *("stale", "consistent", "leader", "pretty", "pretty=false", "cached", "passing", "passing=0", "passing=maybe", "tag=a", "tag=zz"),
    *(
        "node-meta=rack:1",
        "node-meta=x",
        "dc=dc1",
        "dc=dc9",
        "index=0",
        "index=1&wait=1ms",  # an answer that never changed may be at 1: then it blocks
        "index=x",
        "wait=1s",
        "wait=1",
        "near=_agent",
        "token=t",
    ),
    *("ns=x", "stale=%zz", "%", "tag=a&tag=b", "node-meta=rack:1&node-meta=zone", "max_stale=1s", "x=" + "a" * 3000),
    *("filter=Node==n1", "filter=", "filter=%28", "filter=CheckID+contains+%22c%22", "%00=%FF", "=", "&&"),
]
DATE = re.compile(rb"Date: [^\r]*\r\n")


def fill(world: World) -> None:
    hub = world.hub
    hub.apply(Registration(Node("n1", "127.0.0.1", meta={"rack": "1"}), service=Service("web", "web", tags=("a", "b"), port=80)))
    hub.apply(Registration(Node("n2", "127.0.0.2"), service=Service("db", "db", meta={"k": "v"})))
    hub.apply(Registration(Node("n1", "127.0.0.1", meta={"rack": "1"}), checks=(Check("n1", "c", "c", HealthStatus.WARNING),)))


def random_target(rng: random.Random) -> str:
    parameters = "&".join(rng.sample(PARAMETERS, rng.choice([0, 0, 1, 1, 2, 3])))
    return rng.choice(PATHS) + (f"?{parameters}" if parameters else "")


@dataclass(frozen=True)
class Dialect:
    """One way to say a request, and what it changes in the answer: what comes before it, and what it says of its connection."""

    line: str = "{method} {target} HTTP/1.1"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    before: bytes = b""
    connection: bytes = KEEPS

    def says(self, method: str, target: str, headers: Sequence[tuple[str, str]]) -> bytes:
        lines = [self.line.format(method=method, target=target), *(f"{name}: {value}" for name, value in (*headers, *self.headers))]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


CHUNKS = b'1;extension="a b"\r\n{\r\n0001\r\n}\r\n0\r\nX-Trailer: a\r\n\r\n'
DIALECTS = [
    Dialect(),
    Dialect("{method} http://elsewhere:99{target} HTTP/1.1"),
    Dialect("\r\n{method} {target} HTTP/1.1"),
    Dialect("{method} {target} HTTP/1.0", (("Connection", "Keep-Alive"),), connection=KEEPS_OLD),
    Dialect(headers=(("Connection", "keep-alive"),)),
    Dialect(headers=(("X-Consul-Namespace", "x"),)),
    Dialect(headers=(("X-Consul-Namespace", ""), ("Expect", "100-continue"))),
    Dialect(headers=(("Content-Length", "2"),), body=b"{}"),
    Dialect(headers=(("Content-Length", "2"), ("Expect", "100-Continue")), body=b"{}", before=CONTINUE),
    Dialect(headers=(("Transfer-Encoding", "Chunked"),), body=CHUNKS),
    Dialect(headers=(("Transfer-Encoding", "chunked"), ("Expect", "100-continue")), body=CHUNKS, before=CONTINUE),
    Dialect("{method} {target} HTTP/1.0", (("Connection", "keep-alive"), ("Content-Length", "2"), ("Expect", "100-continue")), b"{}",
            connection=KEEPS_OLD),
]  # fmt: skip


async def expected(application: Application, dialect: Dialect, method: str, target: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """What the application answers to a request in that dialect."""
    body = b"{}" if dialect.body else b""
    answer = await by_application(application, target, method, (*headers, *dialect.headers), body, dialect.connection)
    return dialect.before + answer


def request_bytes(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


async def read_responses(reader: asyncio.StreamReader, count: int) -> list[bytes]:
    """Whole responses, dates masked."""
    responses = []
    for _ in range(count):
        before = b""
        while (head := await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)) == CONTINUE:
            before += head
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length is not None, head
        responses.append(before + DATE.sub(b"", head) + await reader.readexactly(int(length[1])))
    return responses


async def by_application(
    application: Application,
    target: str,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (("host", "test"),),
    body: bytes = b"",
    connection: bytes = KEEPS,
) -> bytes:
    """What the ASGI application answers, encoded."""
    path, _, query = target.partition("?")
    scope: dict[str, Any] = {
        "type": "http", "method": method, "raw_path": path.encode(), "path": path, "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers], "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await application(scope, receive, send)
    return DATE.sub(b"", encode(Answer(sent[0]["status"], sent[0]["headers"], sent[1]["body"]), b"now", connection))


@pytest.mark.parametrize("seed", range(8))
async def test_every_way_answers_the_same_bytes(world: World, seed: int) -> None:
    fill(world)
    rng = random.Random(seed)
    application = world.role.door.application
    connection = await world.connect()
    for _ in range(60):
        target, dialect = random_target(rng), rng.choice([DIALECTS[0], rng.choice(DIALECTS)])
        request = dialect.says("GET", target, [("Host", "test")])
        connection.writer.write(request)
        (parsed,) = await read_responses(connection.reader, 1)
        connection.writer.write(request)
        (again,) = await read_responses(connection.reader, 1)
        assert parsed == again, request
        assert parsed == await expected(application, dialect, "GET", target, [("Host", "test")]), request
    assert world.answered_from("memo") > 5
    assert world.answered_from("view") > 5


WRITES = [
    *(("/v1/catalog/register", body) for body in (b'{"Node":"n3","Address":"127.0.0.3"}', b'{"Node":"n3"}', b"", b"{", b"null", b"[]")),
    ("/v1/catalog/register?pretty", b'{"node":"n3","address":"127.0.0.3","service":{"service":"web","port":70000}}'),
    ("/v1/catalog/register?dc=dc9", b'{"Node":"n3","Address":"127.0.0.3","Color":"red"}'),
    ("/v1/catalog/deregister", b'{"Node":"none"}'),
    ("/v1/agent/service/register", b'{"Name":"web","Port":80}'),
    ("/v1/agent/service/deregister/none%2Fsuch?x=y", b""),
    ("/v1/agent/check/pass/", b""),
    *((path, b"{}") for path in ("/v1/catalog/nodes", "/v1/catalog//register", "/v1/catalog/register/", "/v1/catalog/register%0A", "/no")),
]
SENDERS = [
    (),
    (("Origin", "http://elsewhere"),),
    (("Origin", "http://test"), ("Origin", "http://elsewhere")),
    (("Accept-Encoding", "gzip"),),
]


async def test_a_write_is_answered_by_the_protocol_as_by_the_application(world: World) -> None:
    fill(world)
    connection = await world.connect()
    for target, body in WRITES:
        for dialect in DIALECTS:
            if body in (b"", b"{}") and bool(dialect.body) is bool(body):
                request = dialect.says("PUT", target, [("Host", "test")])
                connection.writer.write(request)
                (answer,) = await read_responses(connection.reader, 1)
                assert answer == await expected(world.role.door.application, dialect, "PUT", target, [("Host", "test")]), request
        for more in SENDERS:
            headers = [("Host", "test"), *more]
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            request = f"PUT {target} HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body
            connection.writer.write(request)
            (answer,) = await read_responses(connection.reader, 1)
            assert answer == await by_application(world.role.door.application, target, "PUT", headers, body), request
            for byte in request:  # torn, and behind another that is under way
                connection.writer.write(bytes((byte,)))
                await asyncio.sleep(0)
            connection.writer.write(request)
            assert await read_responses(connection.reader, 2) == [answer, answer], request


@pytest.mark.parametrize("seed", range(8))
async def test_requests_answer_the_same_one_by_one_pipelined_or_in_pieces(world: World, seed: int) -> None:
    fill(world)
    rng = random.Random(seed)
    targets = [random_target(rng) for _ in range(30)]
    alone = await world.connect()
    expected = []
    for target in targets:
        alone.writer.write(request_bytes(target))
        expected += await read_responses(alone.reader, 1)
    stream = b"".join(map(request_bytes, targets))
    pipelined = await world.connect()
    pipelined.writer.write(stream)
    assert await read_responses(pipelined.reader, len(targets)) == expected
    torn = await world.connect()

    async def tear() -> None:
        place = 0
        while place < len(stream):
            size = rng.choice([1, 2, 7, 40, 200])
            torn.writer.write(stream[place : place + size])
            place += size
            await asyncio.sleep(0)

    torn.writer.transport.get_extra_info("socket").setsockopt(6, 1, 1)  # TCP_NODELAY
    tearing = asyncio.create_task(tear())
    assert await read_responses(torn.reader, len(targets)) == expected
    await tearing


async def test_thousands_of_requests_in_one_chunk_are_answered_in_order(world: World) -> None:
    fill(world)
    connection = await world.connect()
    targets = ["/v1/catalog/nodes", "/v1/catalog/services?stale", "/v1/status/leader"] * 1000
    connection.writer.write(b"".join(map(request_bytes, targets)))
    responses = await read_responses(connection.reader, len(targets))
    assert len(set(responses)) == 3
    assert responses[:3] * 1000 == responses


async def test_a_known_head_answers_what_is_true_now(world: World) -> None:
    fill(world)
    connection = await world.connect()
    for number in range(3):
        world.hub.register(f"more-{number}")
        connection.writer.write(request_bytes("/v1/catalog/nodes?stale"))
        (response,) = await read_responses(connection.reader, 1)
        assert f"more-{number}".encode() in response
    world.hub.leader = False
    connection.writer.write(request_bytes("/v1/catalog/nodes?stale"))
    (response,) = await read_responses(connection.reader, 1)
    assert b"X-Consul-Knownleader: false" in response


async def test_heads_with_a_body_or_an_index_are_not_remembered(world: World) -> None:
    fill(world)
    connection = await world.connect()
    for _ in range(2):
        connection.writer.write(b"GET /v1/catalog/nodes HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{}")
        connection.writer.write(request_bytes("/v1/catalog/nodes?index=1"))
        await read_responses(connection.reader, 2)
    assert not world.role.door.memo


async def test_the_memo_is_bounded(world: World) -> None:
    connection = await world.connect()
    for number in range(1100):
        connection.writer.write(request_bytes(f"/v1/catalog/service/s{number}?stale"))
        await read_responses(connection.reader, 1)
    assert 0 < len(world.role.door.memo) <= 1024


async def test_a_chunk_of_two_requests_is_never_taken_for_one(world: World) -> None:
    fill(world)
    connection = await world.connect()
    for _ in range(3):
        connection.writer.write(request_bytes("/v1/catalog/nodes?stale") + request_bytes("/v1/catalog/services?stale"))
        nodes, services = await read_responses(connection.reader, 2)
        assert b'"Node":"n1"' in nodes
        assert services.endswith(b'{"db":[],"web":["a","b"]}')
