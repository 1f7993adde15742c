"""Filters over thousands of records: the same answers, made in slices between which the loop turns."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from rostra.gateway import slices
from rostra.gateway.settings import Limits
from rostra.model.catalog import Node, Registration
from rostra.model.consistency import Consistency

from .conftest import World, until
from .test_ways import by_application

NODES = slices.LARGE * 2


@pytest.fixture
async def large(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """More nodes than are filtered in one go; a turn of the loop after every few of them."""
    monkeypatch.setattr(slices, "SLICE_S", 0.0)
    world.hub.apply_all([Registration(Node(f"n{number:04}", "10.0.0.1", meta={"rack": str(number % 7)})) for number in range(NODES)])
    return world


def names(text: str) -> list[str]:
    return [part.split('"', 1)[0] for part in text.split('"Node":"')[1:]]


async def test_the_loop_turns_while_a_filter_looks_at_thousands(large: World) -> None:
    turns, ended = 0, asyncio.Event()

    async def count() -> None:
        nonlocal turns
        while not ended.is_set():
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    answer = await large.get("/v1/catalog/nodes?filter=Meta.rack==%223%22")
    assert names(answer.text) == [f"n{number:04}" for number in range(3, NODES, 7)]
    ended.set()
    await counting
    assert turns >= NODES // slices.LOOK_EVERY


@pytest.mark.parametrize("knows", [False, True])
async def test_answers_in_slices_are_those_of_one_go(large: World, knows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    large.hub.knows_at_once = knows
    queries = [
        f"{path}?{freshness}{expression}{more}"
        for path in ("/v1/catalog/nodes", "/v1/health/state/any")
        for freshness in ("stale", "leader", "consistent")
        for expression in ("", "&filter=Node+matches+%22n0.[13]%22", "&filter=Node==nobody", "&node-meta=rack:2")
        for more in ("", "&pretty", "&near=_agent")
    ]
    in_slices = [await by_application(large.role.door.application, query) for query in queries]
    fast = []
    connection = await large.connect()
    for query in queries:
        connection.send("GET", query)
        fast.append((await connection.receive()).body)
    monkeypatch.setattr(slices, "LARGE", 10**9)
    in_one_go = [await by_application(large.role.door.application, query) for query in queries]
    assert in_slices == in_one_go
    assert fast == [answer.partition(b"\r\n\r\n")[2] for answer in in_one_go]


async def test_answers_are_whole_where_others_push_their_bytes_out(large: World) -> None:
    """No place for two: what one has made is gone by the time that another is done, or while it waits to be compressed."""
    large.role.reload(Limits(answer_bytes=0))
    targets = [f"/v1/catalog/nodes?filter=Meta.rack{sign}{rack}" for rack in range(7) for sign in ("==", "!=")]
    answers = await asyncio.gather(*(large.get(target, {"Accept-Encoding": coding}) for target in targets for coding in ("", "", "gzip")))
    for target, answer in zip((target for target in targets for _ in range(3)), answers, strict=True):
        body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
        racks = {number for number in range(7) if (number == int(target[-1])) is ("==" in target)}
        assert names(body.decode()) == [f"n{number:04}" for number in range(NODES) if number % 7 in racks], target


async def test_an_answer_that_was_pushed_out_before_it_was_sent_is_made_again(large: World) -> None:
    whole = (await large.get("/v1/catalog/nodes")).body
    (read,) = large.role.door.prepared.values()
    reading = await large.hub.read(read.topics, Consistency.STALE)
    read.results.condense()
    assert (await large.role.door.reads.at_length(read, reading)).body == whole


async def test_who_comes_after_a_change_gets_an_answer_that_was_begun_after_it(large: World) -> None:
    target = "/v1/catalog/nodes?filter=Meta.rack==new"
    early = asyncio.create_task(large.get(target))
    await until(lambda: any(task.get_name() == "gateway request" for task in asyncio.all_tasks()))
    large.hub.apply(Registration(Node("late", "10.0.0.2", meta={"rack": "new"})))
    answers = await asyncio.gather(*(large.get(target) for _ in range(5)))
    assert [names(answer.text) for answer in answers] == [["late"]] * 5
    assert names((await early).text) in ([], ["late"])


async def test_a_blocking_filter_wakes_when_its_own_answer_changed(large: World) -> None:
    target = "/v1/catalog/nodes?filter=Meta.rack==new"
    index = (await large.get(target)).index
    blocked = asyncio.create_task(large.get(f"{target}&index={index}&wait=60s"))
    await until(lambda: large.blocked == 1)
    large.hub.register("other")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not blocked.done()
    large.hub.apply(Registration(Node("late", "10.0.0.2", meta={"rack": "new"})))
    assert names((await blocked).text) == ["late"]
    await until(lambda: large.blocked == 0)
