"""A batch of default reads: closed when the turn is over, then served by one barrier."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from rostra.gateway.batches import Batch
from rostra.model.consistency import Consistency
from rostra.views.barriers import Barrier

from .conftest import World
from .test_ways import fill


class Reader:
    """Numbers its barriers; ``arrived`` is what the test says has come by then."""

    def __init__(self, *, knows: bool = True) -> None:
        self.knows = knows
        self.arrived: list[str] = []
        self.served: list[list[str]] = []

    def barrier_at_once(self, consistency: Consistency, requests: int) -> Barrier | None:
        self.served.append(list(self.arrived))
        assert consistency is Consistency.DEFAULT
        assert requests == len(self.arrived) - sum(map(len, self.served[:-1]))
        return Barrier(consistency, 1, 2 * len(self.served), 2 * len(self.served) + 1) if self.knows else None


class Cycle:
    """A request. ``read`` is what it asks, ``got`` how it was answered."""

    def __init__(self, read: str | None) -> None:
        self.shared_read = read
        self.got: list[object] = []

    def write(self, encoded: bytes) -> None:
        self.got.append(encoded)

    def answer_from_views(self, barrier: Barrier) -> None:
        self.got.append(barrier)

    def await_barrier(self) -> None:
        self.got.append("waits")

    def fail(self, error: Exception) -> None:
        self.got.append(error)


class Bench:
    """A batch, and what was encoded for it."""

    def __init__(self, *, knows: bool = True) -> None:
        self.reader = Reader(knows=knows)
        self.encoded: list[str] = []
        self.batch = Batch(cast("Any", self.reader), cast("Any", self.at_hand), Consistency.DEFAULT)

    def at_hand(self, read: str, barrier: Barrier) -> bytes:
        self.encoded.append(read)
        if read == "broken":
            raise ZeroDivisionError
        return b"" if read == "long" else f"{read} {barrier.sent_at}".encode()

    def arrive(self, name: str, read: str | None) -> Cycle:
        cycle = Cycle(read)
        self.reader.arrived.append(name)
        self.batch.join(cast("Any", cycle))
        return cycle


async def test_a_barrier_serves_all_who_came_in_the_turn_and_nobody_who_came_later() -> None:
    bench = Bench()
    first, second = bench.arrive("a", "nodes"), bench.arrive("b", "nodes")
    assert not bench.reader.served, "others may still come in this turn"
    await asyncio.sleep(0)
    assert bench.reader.served == [["a", "b"]]
    assert first.got == second.got == [b"nodes 2"]
    later = bench.arrive("c", "nodes")
    await asyncio.sleep(0)
    assert later.got == [b"nodes 4"], "a barrier of its own"


async def test_who_ask_the_same_get_the_same_bytes_and_others_go_their_way() -> None:
    bench = Bench()
    cycles = [bench.arrive(str(number), read) for number, read in enumerate(["web", "web", "long", None, "db"])]
    await asyncio.sleep(0)
    assert bench.encoded == ["web", "long", "db"]
    assert cycles[0].got[0] is cycles[1].got[0]
    assert isinstance(cycles[2].got[0], Barrier)
    assert isinstance(cycles[3].got[0], Barrier)
    assert cycles[4].got == [b"db 2"]


async def test_a_defect_is_the_answer_of_who_met_it_alone() -> None:
    bench = Bench()
    cycles = [bench.arrive(str(number), read) for number, read in enumerate(["web", "broken", "db"])]
    await asyncio.sleep(0)
    assert isinstance(cycles[1].got[0], ZeroDivisionError)
    assert [each.got for each in (cycles[0], cycles[2])] == [[b"web 2"], [b"db 2"]]


async def test_where_nobody_knows_at_once_each_waits_for_the_hub() -> None:
    bench = Bench(knows=False)
    cycles = [bench.arrive("a", "nodes"), bench.arrive("b", None)]
    await asyncio.sleep(0)
    assert [each.got for each in cycles] == [["waits"], ["waits"]]


@pytest.mark.parametrize("knows", [False, True])
async def test_a_change_is_in_the_next_answer_of_every_consistency(world: World, knows: bool) -> None:
    world.hub.knows_at_once = knows
    fill(world)
    connection = await world.connect()
    for number in range(20):
        world.hub.register(f"new-{number}")
        for query in ("", "?stale", "?consistent", "?stale"):
            connection.send("GET", f"/v1/catalog/nodes{query}")
            assert f'"new-{number}"' in (await connection.receive()).text
