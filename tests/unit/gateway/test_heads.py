"""Heads that are refused, what becomes of the requests before them and of the connection. That all ways answer alike is in test_ways."""

from __future__ import annotations

import asyncio

import pytest

from .conftest import World, until
from .small_hub import SmallHub

GET = b"GET /v1/status/leader HTTP/1.1\r\nHost: test\r\n"
PUT = b"PUT /v1/catalog/register HTTP/1.1\r\nHost: test\r\n"
BODY = b'{"Node":"n1","Address":"1.1.1.1"}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
REFUSED = {
    "another expectation": (GET + b"Expect: a-cup-of-tea\r\n\r\n", 417, "Expectation failed"),
    "one expectation too many": (PUT + LENGTH + b"Expect: 100-continue, tea\r\n\r\n", 417, "Expectation failed"),
    "a host that is none": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "malformed Host header"),
    "a user in the host": (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "malformed Host header"),
    "another transfer coding": (PUT + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNK, 501, "Unsupported transfer encoding"),
    "two of them": (PUT + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK, 501, "Unsupported transfer encoding"),
    "chunks of old": (b"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK, 400, "Transfer-Encoding in HTTP/1.0"),
    "a length beside chunks": (PUT + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK, 400, "Content-Length"),
    "chunks beside a length": (PUT + b"Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n" + CHUNK, 400, "Content-Length"),
    "a length twice": (PUT + LENGTH + LENGTH + b"\r\n" + BODY, 400, "Content-Length"),
    "a length with a sign": (PUT + b"Content-Length: +33\r\n\r\n" + BODY, 400, "Content-Length"),
    "line ends without CR": (b"GET /v1/status/leader HTTP/1.1\nHost: test\n\n", 400, "CRLF"),
    "a folded header": (GET + b"X: a\r\n b\r\n\r\n", 400, "header value"),
    "a space before the colon": (PUT + b"Content-Length : 33\r\n\r\n" + BODY, 400, "header"),
    "a control character": (GET + b"X: a\x01\r\n\r\n", 400, "header value"),
    "a URL that is none": (b"GET /v1/status/leader%zz HTTP/1.1\r\nHost: test\r\n\r\n", 400, 'invalid URL escape "%zz"'),
    "no URL": (b"GET * HTTP/1.1\r\nHost: test\r\n\r\n", 400, "a path or a URL"),
    "a method that nobody knows": (b"BREW / HTTP/1.1\r\nHost: test\r\n\r\n", 400, "Invalid method"),
    "a chunk that is no number": (PUT + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\n{\r\n", 400, "chunk size"),
    "a chunk that is too long for a number": (PUT + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n{\r\n", 400, "hunk size"),
    "a chunk that is not over": (PUT + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n0\r\n\r\n", 400, "chunk"),
    "garbage": (b"\x16\x03\x01\x00\r\n\r\n", 400, "400 Bad Request"),
}


@pytest.mark.parametrize("before", ["", "/v1/catalog/nodes", "/v1/catalog/nodes?stale", "/v1/status/leader", "/v1/nope"])
@pytest.mark.parametrize("what", REFUSED)
async def test_it_is_refused_by_name_after_the_requests_before_it_were_answered(world: World, before: str, what: str) -> None:
    head, status, text = REFUSED[what]
    connection = await world.connect()
    if before:
        connection.send("GET", before)
    connection.writer.write(head)
    if before:
        assert (await connection.receive()).status == (404 if before == "/v1/nope" else 200)
    answer = await connection.receive()
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert text in answer.text
    assert await connection.closed()
    assert isinstance(world.hub, SmallHub)
    assert not world.hub.commands


async def test_a_write_before_garbage_is_done_once_and_told_so(world: World) -> None:
    connection = await world.connect()
    connection.writer.write(PUT + LENGTH + b"\r\n" + BODY + b"garbage\r\n\r\n")
    assert (await connection.receive()).text == "true"
    assert (await connection.receive()).status == 400
    assert await connection.closed()
    assert len(world.hub.commands) == 1


async def test_a_request_that_was_answered_before_its_body_went_wrong_is_not_answered_twice(world: World) -> None:
    connection = await world.connect()
    connection.send("GET", "/v1/catalog/nodes?stale", headers={"Transfer-Encoding": "chunked"})
    assert (await connection.receive()).status == 200
    connection.writer.write(b"no chunk\r\n")
    assert await connection.reader.read() == b""


async def test_garbage_behind_a_query_that_blocks_ends_both(world: World) -> None:
    world.hub.register("n1")
    connection = await world.connect()
    connection.send("GET", "/v1/catalog/nodes?index=1&wait=1m")
    await until(lambda: world.blocked == 1)
    connection.writer.write(b"garbage\r\n\r\n")
    assert await connection.reader.read() == b""
    await until(lambda: world.blocked == 0)


@pytest.mark.parametrize("path", ["/v1/catalog/register", "/v1/nope", "/v1/snapshot"])
async def test_who_waits_to_send_a_body_is_told_to_after_earlier_answers(world: World, path: str) -> None:
    connection = await world.connect()
    connection.send("GET", "/v1/status/leader")
    connection.send("PUT", path, headers={"Content-Length": str(len(BODY)), "Expect": "100-continue"})
    assert (await connection.receive()).status == 200
    assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.writer.write(BODY)
    connection.send("GET", "/v1/status/leader")
    assert (await connection.receive()).status == {"/v1/catalog/register": 200, "/v1/nope": 404, "/v1/snapshot": 200}[path]
    assert (await connection.receive()).text == '"127.0.0.1:8300"'


async def test_a_body_that_would_be_too_large_is_refused_before_it_is_sent(world: World) -> None:
    connection = await world.connect()
    connection.send("PUT", "/v1/catalog/register", headers={"Content-Length": "99999999", "Expect": "100-continue"})
    assert (await connection.receive()).status == 413


async def test_options_of_the_server_as_such(world: World) -> None:
    connection = await world.connect()
    connection.writer.write(b"OPTIONS * HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{}" + GET + b"\r\n")
    answer = await connection.receive()
    assert (answer.status, answer.body) == (200, b"")
    assert (await connection.receive()).status == 200


@pytest.mark.parametrize("path", ["/v1/status/leader", "/v1/catalog/nodes", "/v1/catalog/nodes?stale"])
async def test_a_client_of_http_1_0_keeps_its_connection_if_it_asks_to(world: World, path: str) -> None:
    connection = await world.connect()
    head = f"GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode()
    for _ in range(2):
        connection.writer.write(head * 2)
        for _ in range(2):
            answer = await connection.receive()
            assert (answer.status, answer.headers["connection"]) == (200, "keep-alive")
    connection.writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    assert (await connection.receive()).headers["connection"] == "close"
    assert await connection.closed()


async def test_a_stream_to_a_client_of_http_1_0_is_without_chunks_and_ends_with_the_connection(world: World) -> None:
    connection = await world.connect()
    connection.writer.write(b"GET /v1/agent/monitor HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    head = await connection.reader.readuntil(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"Connection: close" in head
    async with asyncio.timeout(10):
        assert not (await connection.reader.readline()).strip().isdigit()


@pytest.mark.parametrize("path", ["/v1/catalog/services", "/v1/health/service/web", "/v1/agent/services", "/v1/agent/service/web"])
async def test_another_namespace_is_refused_by_header_as_by_parameter(world: World, path: str) -> None:
    for _ in range(2):
        answer = await world.get(path, {"X-Consul-Namespace": "other"})
        assert answer.status == 400
        assert answer.text == 'Bad request: Invalid header: "X-Consul-Namespace" - Namespaces are a Consul Enterprise feature'
    assert (await world.get("/v1/catalog/nodes", {"X-Consul-Namespace": "other"})).status == 200


@pytest.mark.parametrize("path", ["/v1/catalog/nodes?near=%zz", "/v1/status/leader?x=%", "/v1/agent/checks?filter=%a"])
async def test_a_query_with_an_escape_that_is_none_is_400(world: World, path: str) -> None:
    answer = await world.get(path)
    assert (answer.status, "invalid URL escape" in answer.text) == (400, True)
