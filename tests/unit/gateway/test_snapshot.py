"""``/v1/snapshot``: files of any length in both directions, and never held as a whole."""

from __future__ import annotations

import asyncio
import random

import pytest

from rostra.backup.archive import BadSnapshot
from rostra.errors import Unavailable
from rostra.gateway.settings import GatewaySettings, Limits
from rostra.model.consistency import Consistency

from .conftest import World, until

LARGE = random.Random(1).randbytes(5 << 20)


async def test_a_file_comes_with_its_index_as_consuls_does(world: World) -> None:
    world.snapshots.file = LARGE
    answer = await world.get("/v1/snapshot")
    assert answer.status == 200
    assert answer.body == LARGE
    assert answer.headers["content-type"] == "application/x-gzip"
    assert (answer.index, answer.headers["x-consul-knownleader"], answer.headers["x-consul-lastcontact"]) == (7, "true", "0")


@pytest.mark.parametrize(
    ("query", "consistency"), [("", Consistency.DEFAULT), ("?stale", Consistency.STALE), ("?consistent", Consistency.CONSISTENT)]
)
async def test_it_is_as_fresh_as_asked(world: World, query: str, consistency: Consistency) -> None:
    assert (await world.get(f"/v1/snapshot{query}")).status == 200
    assert world.snapshots.consistency is consistency


async def test_a_file_that_is_cut_short_does_not_look_whole(world: World) -> None:
    world.snapshots.error = Unavailable("the catalog stops")
    with pytest.raises(asyncio.IncompleteReadError):
        await world.get("/v1/snapshot")


async def test_a_body_is_taken_beyond_the_limit_of_others(world: World) -> None:
    assert len(LARGE) > 2 * Limits().body_bytes
    answer = await world.put("/v1/snapshot", LARGE)
    assert (answer.status, answer.body) == (200, b"")
    assert world.snapshots.restored == LARGE


async def test_a_body_in_chunks_is_taken_too_and_the_connection_goes_on(world: World) -> None:
    connection = await world.connect()
    connection.send("PUT", "/v1/snapshot", headers={"Transfer-Encoding": "chunked"})
    for start in range(0, len(LARGE), 1 << 20):
        piece = LARGE[start : start + (1 << 20)]
        connection.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    connection.writer.write(b"0\r\n\r\n")
    assert (await connection.receive()).status == 200
    assert world.snapshots.restored == LARGE
    connection.send("GET", "/v1/status/leader")
    assert (await connection.receive()).status == 200


async def test_a_client_that_goes_in_the_middle_restores_nothing(world: World) -> None:
    connection = await world.connect()
    connection.writer.write(b"PUT /v1/snapshot HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n" + LARGE[:1000])
    await until(lambda: world.role.door.connections == 1)
    connection.writer.close()
    await until(lambda: world.role.door.connections == 0)
    assert world.snapshots.restored == b""


async def test_a_refusal_is_told_and_the_other_limits_stand(world: World) -> None:
    world.snapshots.error = BadSnapshot("the snapshot is damaged: it cannot be decompressed")
    answer = await world.put("/v1/snapshot", b"hello")
    assert (answer.status, answer.text) == (400, "the snapshot is damaged: it cannot be decompressed")
    assert (await world.put("/v1/catalog/register", bytes(2 << 20))).status == 413


async def test_another_datacenter_is_out_of_reach(world: World) -> None:
    for answer in (await world.get("/v1/snapshot?dc=dc2"), await world.put("/v1/snapshot?dc=dc2", b"x")):
        assert (answer.status, answer.text) == (500, "No path to datacenter")


async def test_a_body_that_stops_coming_is_given_up() -> None:
    world = World()
    await world.start(GatewaySettings(limits=Limits(body_timeout_s=0.0)))
    connection = await world.connect()
    connection.send("PUT", "/v1/snapshot", headers={"Content-Length": "1000000"})
    await until(lambda: world.role.door.connections == 1)
    while not connection.reader.at_eof():
        world.role.door.sweep()
        await asyncio.sleep(0)
        if connection.reader._buffer:  # type: ignore[attr-defined]
            break
    assert (await connection.receive()).status == 408
    await world.stop()
