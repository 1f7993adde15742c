"""Many deadlines under one timer: each is kept, none is told early, and who is taken away hears nothing."""

from __future__ import annotations

import asyncio

from rostra.rpc.deadlines import COARSE_S, Deadlines


async def until_told(told: list[str], count: int) -> None:
    async with asyncio.timeout(10):
        while len(told) < count:  # noqa: ASYNC110 (what is told is a list)
            await asyncio.sleep(0.001)


async def test_things_are_told_in_the_order_of_their_deadlines_and_never_early() -> None:
    loop, told, times = asyncio.get_running_loop(), list[str](), dict[str, float]()

    def expired(thing: str) -> None:
        told.append(thing)
        times[thing] = loop.time()

    deadlines: Deadlines[str] = Deadlines(expired)
    begin = loop.time()
    due = {"late": begin + 6 * COARSE_S, "early": begin + COARSE_S, "between": begin + 3 * COARSE_S}
    for thing, deadline in due.items():
        deadlines.add(thing, deadline)
    deadlines.add("gone", begin + 2 * COARSE_S)
    deadlines.discard("gone")
    await until_told(told, 3)
    assert told == ["early", "between", "late"]
    assert all(times[thing] >= deadline for thing, deadline in due.items())


async def test_one_that_is_told_may_take_others_away_and_add_more() -> None:
    told: list[str] = []

    def expired(thing: str) -> None:
        told.append(thing)
        if thing == "first":
            deadlines.discard("second")
            deadlines.add("third", 0.0)

    deadlines: Deadlines[str] = Deadlines(expired)
    now = asyncio.get_running_loop().time()
    deadlines.add("first", now)
    deadlines.add("second", now)
    await until_told(told, 2)
    assert told == ["first", "third"]


async def test_nothing_is_told_after_clear() -> None:
    told: list[str] = []
    deadlines: Deadlines[str] = Deadlines(told.append)
    deadlines.add("a", 0.0)
    deadlines.clear()
    deadlines.add("b", 0.0)
    await until_told(told, 1)
    assert told == ["b"]
