"""Connections on which nothing is said: one whose network swallows what is sent has to be given up from this side, any other stays."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from grpc import aio

from rostra.rpc import channels, doors
from rostra.rpc.doors import Door
from rostra.rpc.handlers import Handlers
from rostra.v1 import gossip_pb2, gossip_pb2_grpc

OFTENER = {"grpc.keepalive_time_ms": 10}
TAKEN_OFTENER = {"grpc.http2.min_ping_interval_without_data_ms": 100}
GIVEN_UP_SOONER = {"grpc.keepalive_timeout_ms": 20, "grpc.http2.ping_timeout_ms": 20}
PINGS = 7
"""A door that finds them too many takes three; gRPC sends one a second at most."""


class Quiet(gossip_pb2_grpc.GossipServiceServicer):
    """Says one thing, and nothing for ever after."""

    async def WatchUserEvents(self, request: Any, context: Any) -> AsyncIterator[gossip_pb2.WatchUserEventsResponse]:  # noqa: N802
        yield gossip_pb2.WatchUserEventsResponse(lost=1)
        await asyncio.Event().wait()


class Wire:
    """Carries bytes to a unix socket and back, until it is cut: then it takes them and does nothing with them."""

    def __init__(self, target: str) -> None:
        self.connections = 0
        self.is_cut = False
        self._target = target

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.close()
            return
        self.connections += 1
        theirs, ours = await asyncio.open_unix_connection(self._target)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, ours))
                both.create_task(self._pump(theirs, writer))
        finally:
            writer.close()
            ours.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if not self.is_cut:
                    sink.write(data)
        sink.close()


async def heard(stub: Any) -> bool:
    """Whether a new stream brings anything."""
    again = stub.WatchUserEvents(gossip_pb2.WatchUserEventsRequest(), wait_for_ready=True)
    try:
        return bool((await again.read()).lost)
    except aio.AioRpcError:
        return False
    finally:
        again.cancel()


@contextlib.asynccontextmanager
async def quiet_door(tmp_path: Path) -> AsyncIterator[str]:
    """The path of its socket."""
    handlers = Handlers()
    quiet: Any = Quiet
    handlers.add(gossip_pb2_grpc.add_GossipServiceServicer_to_server, quiet())
    door = Door("door", [f"unix:{tmp_path}/door.sock"], handlers, {})
    await door.start()
    try:
        yield f"{tmp_path}/door.sock"
    finally:
        await door.stop()


def shorten(patch: pytest.MonkeyPatch, module: ModuleType, name: str, parts: Mapping[str, int]) -> None:
    options = getattr(module, name)
    assert all(0 < dict(options)[each] <= 10_000 for each in parts)
    patch.setattr(module, name, tuple((each, value // parts.get(each, 1)) for each, value in options))


@pytest.fixture(autouse=True)
def in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, channels, "OPTIONS", OFTENER)
    shorten(monkeypatch, doors, "_OPTIONS", TAKEN_OFTENER)


async def test_a_stream_on_which_nothing_is_said_stays(tmp_path: Path) -> None:
    async with quiet_door(tmp_path) as path, channels.connect(f"unix:{path}") as channel:
        stub: Any = gossip_pb2_grpc.GossipServiceStub(channel)
        watch = stub.WatchUserEvents(gossip_pb2.WatchUserEventsRequest())
        assert (await watch.read()).lost == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(PINGS * dict(channels.OPTIONS)["grpc.keepalive_time_ms"] / 1000):
                await watch.read()


async def test_a_stream_over_a_dead_connection_breaks_and_the_next_has_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, channels, "OPTIONS", GIVEN_UP_SOONER)
    async with quiet_door(tmp_path) as path:
        wire = Wire(path)
        server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with channels.connect(f"127.0.0.1:{port}") as channel, asyncio.timeout(60):
                stub: Any = gossip_pb2_grpc.GossipServiceStub(channel)
                while not await heard(stub):  # noqa: ASYNC110 - a busy machine may break the first connection, too
                    await asyncio.sleep(0.01)
                watch = stub.WatchUserEvents(gossip_pb2.WatchUserEventsRequest(), wait_for_ready=True)
                assert (await watch.read()).lost == 1
                wire.is_cut = True
                with pytest.raises(aio.AioRpcError):
                    await watch.read()
                wire.is_cut = False
                while not await heard(stub):  # noqa: ASYNC110 - the old connection may take a moment to be gone
                    await asyncio.sleep(0.01)
                assert wire.connections >= 2
        finally:
            server.close()
