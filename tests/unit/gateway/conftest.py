"""The gateway on a real socket, in front of small real services."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec
import pytest
from prometheus_client import REGISTRY

from rostra.errors import NoPath
from rostra.gateway.role import GatewayRole
from rostra.gateway.settings import GatewaySettings

from .small_hub import SmallAgent, SmallAutopilot, SmallDatacenters, SmallDns, SmallGossip, SmallHub, SmallRaft, SmallSnapshots


@dataclass
class Response:
    """An answer as it came; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> object:
        return msgspec.json.decode(self.body)

    @property
    def index(self) -> int:
        return int(self.headers["x-consul-index"])


class Connection:
    """A kept-alive HTTP connection, spoken by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        lines = [f"{method} {target} HTTP/1.1", "Host: test", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    async def receive(self, *, head_only: bool = False) -> Response:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        if not head_only and headers.get("transfer-encoding") == "chunked":
            body = b"".join([chunk async for chunk in self._chunks()])
        else:
            body = b"" if head_only else await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Response(int(head[0].split()[1]), headers, body)

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)

    async def closed(self) -> bool:
        """Whether the other side ends the connection; what it still says is dropped."""
        with contextlib.suppress(ConnectionError):
            await self.reader.read()
        return True


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop turn until it is so."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (the condition is the gateway's state, not an event)
            await asyncio.sleep(0)


def requests_shown(way: str) -> float:
    """By all gateways of this process so far."""
    return REGISTRY.get_sample_value("rostra_gateway_requests_total", {"way": way}) or 0.0


class World:
    """A gateway and what is behind it."""

    def __init__(self) -> None:
        self.hub = SmallHub()
        self.agent = SmallAgent()
        self.gossip = SmallGossip()
        self.dns = SmallDns()
        self.raft = SmallRaft(self.hub)
        self.raft_of_dc2 = SmallRaft(self.hub)
        self.datacenters = SmallDatacenters()
        self.autopilot = SmallAutopilot()
        self.snapshots = SmallSnapshots()
        self.drain_s = 0.0
        self._connections: list[Connection] = []
        self._shown = {way: requests_shown(way) for way in ("memo", "view")}
        self.role: GatewayRole

    @property
    def blocked(self) -> int:
        """How many queries are parked."""
        return int(self.role.stats()["gateway"]["blocked_queries"])

    def answered_from(self, way: str) -> int:
        """Requests answered from the memo or from a view since this was made: what the door has counted, and has shown already."""
        shown = requests_shown(way) - self._shown[way]
        return int(shown) + {"memo": self.role.door.from_memo, "view": self.role.door.from_view}[way]

    async def start(self, settings: GatewaySettings | None = None) -> None:
        settings = settings or GatewaySettings()
        settings = msgspec.structs.replace(settings, http_port=0, node_name="n1", drain_s=self.drain_s)
        self.role = GatewayRole(
            self.hub,
            self.hub,
            self.agent,
            self.gossip,
            self.raft,
            self.dns,
            settings,
            datacenters=self.datacenters,
            autopilot=self.autopilot,
            snapshots=self.snapshots,
            servers_elsewhere=self._servers_of,
        )
        await self.role.start()

    def _servers_of(self, datacenter: str) -> SmallRaft:
        if datacenter != "dc2":
            raise NoPath
        return self.raft_of_dc2

    async def connect(self) -> Connection:
        host, _, port = self.role.addresses[0].rpartition(":")
        connection = Connection(*await asyncio.open_connection(host, int(port)))
        self._connections.append(connection)
        return connection

    async def ask(
        self, method: str, target: str, body: bytes | str = b"", headers: dict[str, str] | None = None, *, head_only: bool = False
    ) -> Response:
        """One request on a connection of its own."""
        connection = await self.connect()
        connection.send(method, target, body.encode() if isinstance(body, str) else body, headers)
        response = await asyncio.wait_for(connection.receive(head_only=head_only), 60)
        connection.writer.close()
        return response

    async def get(self, target: str, headers: dict[str, str] | None = None) -> Response:
        return await self.ask("GET", target, headers=headers)

    async def put(self, target: str, body: bytes | str = b"", headers: dict[str, str] | None = None) -> Response:
        return await self.ask("PUT", target, body, headers)

    async def stop(self) -> None:
        for connection in self._connections:
            connection.writer.close()
        await self.role.stop()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Started, with nothing in the catalog."""
    world = World()
    await world.start()
    yield world
    await world.stop()
