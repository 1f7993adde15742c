"""The HTTP door itself: methods, paths that are not served, limits, rules, and bytes that are no HTTP."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path

import pytest

from rostra.errors import Unavailable
from rostra.gateway.role import GatewayRole
from rostra.gateway.settings import GatewaySettings, Limits

from .conftest import Connection, World, until
from .small_hub import SmallDns, SmallRaft


async def started(**settings: object) -> World:
    world = World()
    await world.start(GatewaySettings(**settings))  # type: ignore[arg-type]
    return world


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/catalog/nodes", "OPTIONS,GET"),
        ("HEAD", "/v1/catalog/nodes", "OPTIONS,GET"),
        ("DELETE", "/v1/catalog/register", "OPTIONS,PUT"),
        ("GET", "/v1/agent/leave", "OPTIONS,PUT"),
        ("PATCH", "/v1/health/service/web", "OPTIONS,GET"),
    ],
)
async def test_a_wrong_method_is_405_and_says_which_are_right(world: World, method: str, path: str, allow: str) -> None:
    answer = await world.ask(method, path, head_only=method == "HEAD")
    assert (answer.status, answer.headers["allow"]) == (405, allow)
    assert method == "HEAD" or answer.text == f"method {method} not allowed"


async def test_options_is_answered_with_the_methods(world: World) -> None:
    answer = await world.ask("OPTIONS", "/v1/catalog/register")
    assert (answer.status, answer.headers["allow"], answer.body) == (200, "OPTIONS,PUT", b"")
    assert (await world.ask("OPTIONS", "/v1/nope")).status == 404


@pytest.mark.parametrize("path", ["/v1/nope", "/nope", "/v1", "/v1/", "/v1/catalog/nodes/", "/V1/catalog/nodes", "/v1/catalog/nodes%0A"])
async def test_unknown_paths_are_404_without_a_word(world: World, path: str) -> None:
    answer = await world.get(path)
    assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize(
    "path", ["kv/a", "kv", "session/list", "txn", "event/list", "query", "query/x/execute", "config/a/b", "connect/ca/roots"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_paths_that_are_not_served_yet_are_501_and_never_404(world: World, method: str, path: str) -> None:
    answer = await world.ask(method, f"/v1/{path}")
    assert answer.status == 501
    assert f"/v1/{path} is not served" in answer.text


@pytest.mark.parametrize("path", ["/v1/acl/tokens", "/v1/acl/token/self", "/v1/acl/bootstrap"])
async def test_acl_paths_say_that_there_is_no_acl(world: World, path: str) -> None:
    answer = await world.get(path)
    assert (answer.status, answer.text) == (401, "ACL support disabled")


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/v1/catalog/service", "/v1/catalog/service/"),
        ("/v1/catalog/service?stale", "/v1/catalog/service/?stale"),
        ("//v1/catalog/nodes", "/v1/catalog/nodes"),
        ("/v1/./catalog/nodes", "/v1/catalog/nodes"),
        ("/v1/catalog/x/../nodes?a=b", "/v1/catalog/nodes?a=b"),
    ],
)
async def test_paths_are_sent_to_where_they_mean(world: World, path: str, location: str) -> None:
    answer = await world.get(path)
    assert (answer.status, answer.headers["location"]) == (301, location)


async def test_a_token_is_taken_and_changes_nothing(world: World) -> None:
    assert (await world.get("/v1/catalog/nodes", {"X-Consul-Token": "abc"})).status == 200
    assert (await world.get("/v1/catalog/nodes?token=abc")).status == 200


async def test_response_headers_come_with_every_answer() -> None:
    world = await started(response_headers={"X-Site": "here"})
    for path in ("/v1/catalog/nodes", "/v1/status/leader", "/v1/nope", "/v1/catalog/nodes?index=x"):
        assert (await world.get(path)).headers["x-site"] == "here"
    await world.stop()


async def test_blocked_endpoints_are_403() -> None:
    world = await started(block_endpoints=("/v1/catalog/service", "/v1/agent/self"))
    for path in ("/v1/catalog/service/web", "/v1/catalog/services", "/v1/agent/self"):
        assert (await world.get(path)).status == 403
    assert (await world.get("/v1/catalog/nodes")).status == 200
    await world.stop()


async def test_writes_are_taken_only_from_the_networks_that_may() -> None:
    world = await started(allow_write_http_from=("10.0.0.0/8",))
    assert (await world.put("/v1/catalog/register", '{"Node":"n1","Address":"1.1.1.1"}')).status == 403
    assert (await world.get("/v1/catalog/nodes")).text == "[]"
    await world.stop()


async def test_a_write_that_a_foreign_web_page_makes_a_browser_send_is_403(world: World) -> None:
    body = '{"Node":"n1","Address":"1.1.1.1"}'
    assert (await world.put("/v1/catalog/register", body, {"Origin": "http://evil.example"})).status == 403
    assert (await world.put("/v1/catalog/register", body, {"Origin": "null"})).status == 403
    assert (await world.put("/v1/catalog/register", body, {"Origin": "http://test"})).status == 200


async def test_a_development_agent_answers_pretty_without_being_asked() -> None:
    world = await started(pretty=True)
    assert (await world.get("/v1/catalog/nodes")).text == "[]\n"
    assert (await world.get("/v1/catalog/datacenters")).text == '[\n    "dc1",\n    "dc2"\n]\n'
    await world.stop()


# Limits


async def test_one_connection_more_than_a_client_may_have_is_429_and_closed() -> None:
    world = await started(limits=Limits(connections_per_client=2))
    kept = [await world.connect(), await world.connect()]
    for connection in kept:
        connection.send("GET", "/v1/status/leader")
        assert (await connection.receive()).status == 200
    refused = await world.connect()
    assert (await refused.receive()).status == 429
    assert await refused.closed()
    kept[0].writer.close()
    await until(lambda: world.role.door.connections == 1)
    assert (await world.get("/v1/status/leader")).status == 200
    await world.stop()


async def test_a_head_over_the_limit_is_431_and_one_at_it_is_served() -> None:
    world = await started(limits=Limits(header_bytes=4096))
    frame = len("GET /v1/status/leader HTTP/1.1\r\nHost: test\r\nX: \r\n\r\n")
    assert (await world.get("/v1/status/leader", {"X": "a" * (4096 - frame)})).status == 200
    connection = await world.connect()
    connection.writer.write(b"GET /v1/status/leader HTTP/1.1\r\nHost: test\r\nX: " + b"a" * 4096)
    assert (await connection.receive()).status == 431
    assert await connection.closed()
    await world.stop()


async def test_a_body_over_the_limit_is_413_announced_or_in_chunks() -> None:
    world = await started(limits=Limits(body_bytes=1000))
    assert (await world.put("/v1/catalog/register", " " * 1000)).status == 400
    connection = await world.connect()
    connection.writer.write(b"PUT /v1/catalog/register HTTP/1.1\r\nHost: test\r\nContent-Length: 1001\r\n\r\n")
    assert (await connection.receive()).status == 413
    connection = await world.connect()
    connection.writer.write(b"PUT /v1/catalog/register HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.writer.write(b"3e9\r\n" + b" " * 1001 + b"\r\n")
    assert (await connection.receive()).status == 413
    assert await connection.closed()
    await world.stop()


@pytest.mark.parametrize(
    ("limits", "begun", "status"),
    [
        (Limits(header_timeout_s=0.0), b"GET /v1/sta", 408),
        (Limits(body_timeout_s=0.0), b"PUT /v1/catalog/register HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n{", 408),
        (Limits(idle_timeout_s=0.0), b"", 0),
    ],
)
async def test_a_connection_that_stays_in_one_state_too_long_is_ended(limits: Limits, begun: bytes, status: int) -> None:
    world = await started(limits=limits)
    connection = await world.connect()
    connection.writer.write(begun)
    await until(lambda: world.role.door.connections == 1)
    for _ in range(10):
        await asyncio.sleep(0.001)
        world.role.door.sweep()
    if status:
        assert (await connection.receive()).status == status
    assert await connection.closed()
    await world.stop()


async def test_a_client_that_does_not_read_gets_no_further_requests_begun_and_is_cut_off() -> None:
    world = await started(limits=Limits(write_timeout_s=0.0, write_buffer_bytes=1024))
    for number in range(2000):
        world.hub.register(f"node-{number:04}")
    connection = await world.connect()
    sock = connection.writer.transport.get_extra_info("socket")
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.writer.write(b"GET /v1/catalog/nodes?stale HTTP/1.1\r\nHost: test\r\n\r\n" * 200)
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert world.answered_from("memo") + world.answered_from("view") < 100
    for _ in range(5):
        await asyncio.sleep(0.001)
        world.role.door.sweep()
    await until(lambda: not world.role.door.connections)
    await world.stop()


# Hostile bytes


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /v1/status/leader HTTP/1.1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PUT /v1/catalog/register HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PUT /v1/catalog/register HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"PUT /v1/catalog/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded: header\r\nA\x00B: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        bytes(range(256)) * 16,
    ],
)
async def test_bytes_that_are_no_http_are_400_and_the_next_client_is_served(world: World, data: bytes) -> None:
    connection = await world.connect()
    connection.writer.write(data)
    assert (await connection.receive()).status == 400
    assert await connection.closed()
    assert (await world.get("/v1/status/leader")).status == 200


UPGRADE = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAAB"}


@pytest.mark.parametrize("path", ["/v1/status/leader", "/v1/catalog/nodes", "/v1/catalog/nodes?stale"])
async def test_who_would_rather_speak_another_protocol_is_answered_in_this_one(world: World, path: str) -> None:
    """As Java's client asks each time, until it is answered so. One chunk, and one byte at a time."""
    connection = await world.connect()
    for _ in range(2):
        connection.send("GET", path, headers=UPGRADE)
        connection.send("GET", "/v1/agent/self")
        assert (await connection.receive()).status == 200
        assert (await connection.receive()).json
    head = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
    for byte in f"GET {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode():
        connection.writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await connection.receive()).status == 200


async def test_what_such_a_client_sends_along_is_taken(world: World) -> None:
    connection = await world.connect()
    body = b'{"Node": "upgraded", "Address": "10.0.0.9"}'
    connection.send("PUT", "/v1/catalog/register", body, headers=UPGRADE)
    connection.send("GET", "/v1/catalog/nodes")
    assert (await connection.receive()).body == b"true"
    assert "upgraded" in (await connection.receive()).text


async def test_a_tunnel_is_not_made(world: World) -> None:
    connection = await world.connect()
    connection.writer.write(b"CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n\r\n")
    assert (await connection.receive()).status >= 400
    assert await connection.closed()


async def test_whoever_sends_no_more_is_still_answered_but_for_what_waits(world: World) -> None:
    for path in ("/v1/status/leader", "/v1/catalog/nodes", "/v1/catalog/nodes?stale", "/v1/agent/self"):
        connection = await world.connect()
        connection.send("GET", path)
        connection.send("GET", path)
        connection.writer.write_eof()
        assert (await connection.receive()).status == 200
        assert (await connection.receive()).status == 200
        assert await connection.closed()
    index = (await world.get("/v1/catalog/nodes")).index
    connection = await world.connect()
    connection.send("GET", f"/v1/catalog/nodes?index={index}&wait=60s")
    await until(lambda: world.blocked == 1)
    connection.writer.write_eof()
    await until(lambda: world.blocked == 0)


async def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    world = await started(limits=Limits(body_bytes=1000))
    connection = await world.connect()
    connection.writer.write(b"PUT /v1/catalog/register HTTP/1.1\r\nHost: test\r\nContent-Length: 9000000\r\n\r\n")
    await until(lambda: connection.reader._buffer)  # type: ignore[attr-defined]  # it is refused, and goes on all the same
    for _ in range(90):
        connection.writer.write(b" " * 100_000)
        await connection.writer.drain()
    assert (await connection.receive()).status == 413
    connection.writer.close()
    await world.stop()


async def test_http_1_0_and_connection_close_are_answered_and_closed(world: World) -> None:
    for path in (b"/v1/status/leader", b"/v1/catalog/nodes", b"/v1/catalog/nodes?stale"):
        for head in (b"GET " + path + b" HTTP/1.0\r\n\r\n", b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
            connection = await world.connect()
            connection.writer.write(head)
            answer = await connection.receive()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await connection.closed()


async def test_who_asks_on_a_kept_connection_while_the_door_closes_is_answered_and_told_to_come_no_more() -> None:
    world = World()
    world.drain_s = 60.0
    await world.start()
    body = b'{"Node": "late", "Address": "10.0.0.9"}'
    asked = [("GET", "/v1/catalog/nodes?stale", b""), ("GET", "/v1/agent/self", b""), ("PUT", "/v1/catalog/register", body)]
    connections = [await world.connect() for _ in asked]
    for connection, (method, path, data) in zip(connections, asked, strict=True):
        connection.send(method, path, data)
        assert "connection" not in (await connection.receive()).headers
    stopping = asyncio.create_task(world.role.stop())
    await until(lambda: world.role.door.is_closing)
    for connection, (method, path, data) in zip(connections, asked, strict=True):
        connection.send(method, path, data)
        answer = await connection.receive()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await connection.closed()
        connection.writer.close()
    await asyncio.wait_for(stopping, 50)


async def test_a_client_that_vanishes_in_the_middle_leaves_nothing_behind(world: World) -> None:
    for begun in (b"GET /v1/ca", b"PUT /v1/catalog/register HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"):
        connection = await world.connect()
        connection.writer.write(begun)
        await asyncio.sleep(0.001)
        connection.writer.transport.abort()
    await until(lambda: not world.role.door.connections)


# Where it listens


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        world = World()
        settings = GatewaySettings(http_port=port)
        role = GatewayRole(world.hub, world.hub, world.agent, world.gossip, SmallRaft(world.hub), SmallDns(), settings)
        with pytest.raises(Unavailable, match=rf"HTTP port: cannot listen on 127\.0\.0\.1:{port}: {os.strerror(errno.EADDRINUSE)}"):
            await role.start()
        assert role.addresses == []


async def test_a_unix_socket_is_served_replaced_when_dead_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    world = await started(http_addresses=(f"unix://{path}",))
    connection = Connection(*await asyncio.open_unix_connection(str(path)))
    connection.send("GET", "/v1/status/leader")
    assert (await connection.receive()).text == '"127.0.0.1:8300"'
    connection.writer.close()
    second = World()
    with pytest.raises(Exception, match="another process listens on it"):
        await second.start(GatewaySettings(http_addresses=(f"unix://{path}",)))
    await world.stop()
    assert not path.exists()
