"""Clients of every temper at once, over raw sockets: whatever the others do, each gets byte for byte what the application says.

Some send one request at a time, some many at once, some in pieces; some read slowly, with small buffers on both sides; some vanish in the
middle of a request or of an answer. Requests are random: reads of the catalog on both ways, blocking ones that time out, other methods,
what is refused. Everything follows from the seed.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from rostra.gateway.heads import CONTINUE
from rostra.gateway.settings import GatewaySettings, Limits

from .conftest import World, until
from .test_ways import DATE, DIALECTS, expected, fill, random_target

CLIENTS = 14
LENGTH = re.compile(rb"Content-Length: (\d+)\r\n")


@dataclass(frozen=True)
class Request:
    """One request, and what the application answers."""

    sent: bytes
    answer: bytes


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """With little room for answers that are not taken: a slow reader is felt soon."""
    world = World()
    await world.start(GatewaySettings(limits=Limits(write_buffer_bytes=2048)))
    fill(world)
    for number in range(150):
        world.hub.register(f"many-{number:03}", "big")
    yield world
    await world.stop()


async def random_request(world: World, rng: random.Random) -> Request:
    method = rng.choice(["GET"] * 12 + ["HEAD", "OPTIONS", "DELETE", "POST"])
    target = rng.choice([random_target(rng), random_target(rng), "/v1/health/service/big?stale", "/v1/catalog/nodes"])
    if rng.random() < 0.15:
        target = f"/v1/catalog/services?index={world.hub.state.applied_index}&wait=2ms"
    headers = [("Host", "test")] + ([("Accept-Encoding", "gzip")] if rng.random() < 0.3 else [])
    dialect = rng.choice([DIALECTS[0], rng.choice(DIALECTS)])
    answer = await expected(world.role.door.application, dialect, method, target, headers)
    return Request(dialect.says(method, target, headers), answer)


async def read_answer(reader: asyncio.StreamReader, *, is_head: bool) -> bytes:
    before = b""
    while (head := await reader.readuntil(b"\r\n\r\n")) == CONTINUE:
        before += head
    length = LENGTH.search(head)
    assert length is not None, head
    return before + DATE.sub(b"", head) + (b"" if is_head else await reader.readexactly(int(length[1])))


class Client:
    """``run`` sends all requests its way, and compares every answer."""

    def __init__(self, world: World, rng: random.Random, requests: list[Request]) -> None:
        self._world = world
        self._rng = rng
        self._requests = requests
        self.compared = 0

    async def connect(self, *, slowly: bool = False) -> None:
        host, _, port = self._world.role.addresses[0].rpartition(":")
        sock = socket.socket()
        if slowly:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader, self._writer = await asyncio.open_connection(sock=sock, limit=4096 if slowly else 2**16)

    async def compare(self, *, slowly: bool = False) -> None:
        """Answers come in the order of the requests."""
        for request in self._requests:
            if slowly:
                for _ in range(self._rng.randrange(30)):
                    await asyncio.sleep(0)
            assert await read_answer(self._reader, is_head=request.sent.startswith(b"HEAD")) == request.answer, request.sent
            self.compared += 1
        self._writer.close()

    async def run(self, temper: str) -> None:
        stream = b"".join(request.sent for request in self._requests)
        await self.connect(slowly=temper == "slow")
        match temper:
            case "patient":
                for request in self._requests:
                    self._writer.write(request.sent)
                    answer = await read_answer(self._reader, is_head=request.sent.startswith(b"HEAD"))
                    assert answer == request.answer, request.sent
                    self.compared += 1
                self._writer.close()
            case "pipelined" | "slow":
                self._writer.write(stream)
                await self.compare(slowly=temper == "slow")
            case "torn":
                await asyncio.gather(self._tear(stream), self.compare())
            case _:
                cut = self._rng.randrange(len(stream))
                self._writer.write(stream[:cut])
                for _ in range(self._rng.randrange(60)):
                    await asyncio.sleep(0)
                self._writer.transport.abort()

    async def _tear(self, stream: bytes) -> None:
        place = 0
        while place < len(stream):
            size = self._rng.choice([1, 3, 20, 90, 400])
            self._writer.write(stream[place : place + size])
            place += size
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(6))
async def test_each_client_gets_its_answers_byte_for_byte_whatever_the_others_do(world: World, seed: int) -> None:
    rng = random.Random(seed)
    world.hub.knows_at_once = seed % 2 == 1
    clients, tempers = [], []
    for number in range(CLIENTS):
        requests = [await random_request(world, rng) for _ in range(rng.randrange(5, 30))]
        clients.append(Client(world, random.Random(f"{seed}/{number}"), requests))
        tempers.append(["patient", "pipelined", "torn", "slow", "vanishing"][number % 5])
    async with asyncio.timeout(60):
        await asyncio.gather(*(client.run(temper) for client, temper in zip(clients, tempers, strict=True)))
    for client, temper in zip(clients, tempers, strict=True):
        assert temper == "vanishing" or client.compared == len(client._requests)
    await until(lambda: not world.role.door.connections and not world.blocked and not world.role.door._tasks)
