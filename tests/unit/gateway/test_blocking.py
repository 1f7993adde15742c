"""Blocking queries over the wire: when they wake and when they do not. The index rules alone are in test_resultsets."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref

import pytest

from rostra.gateway.protocol import HttpProtocol
from rostra.model.catalog import Check, Deregistration, HealthStatus, Node, Registration, Service

from .conftest import Connection, World, until


async def block(world: World, target: str) -> Connection:
    """A query that is parked."""
    parked = world.blocked
    connection = await world.connect()
    connection.send("GET", target)
    await until(lambda: world.blocked > parked)
    return connection


async def still_blocked(connection: Connection) -> bool:
    for _ in range(20):
        await asyncio.sleep(0)
    return not connection.reader._buffer  # type: ignore[attr-defined]


async def test_index_zero_and_an_index_below_the_answers_never_block(world: World) -> None:
    world.hub.register("n1")
    world.hub.register("n2")
    for index in ("0", "", "1"):
        assert (await world.get(f"/v1/catalog/nodes?index={index}&wait=10m")).index == 2


@pytest.mark.parametrize("mode", ["", "&stale", "&consistent"])
async def test_a_change_of_the_answer_wakes_it_with_the_new_answer(world: World, mode: str) -> None:
    index = world.hub.register("n1")
    waiting = await block(world, f"/v1/catalog/nodes?index={index}{mode}")
    changed = world.hub.register("n2")
    answer = await waiting.receive()
    assert answer.index == changed
    assert '"n2"' in answer.text


async def test_it_does_not_wake_for_writes_that_leave_its_answer_the_same(world: World) -> None:
    world.hub.register("n1", "web", tags=("x",))
    web = await world.get("/v1/catalog/service/web?tag=x")
    services = await world.get("/v1/catalog/services")
    on_web = await block(world, f"/v1/catalog/service/web?tag=x&index={web.index}")
    on_services = await block(world, f"/v1/catalog/services?index={services.index}")
    on_nothing = await block(world, f"/v1/catalog/service/none?index={(await world.get('/v1/catalog/service/none')).index}")
    for number in range(50):
        world.hub.register(f"m{number}", "other")
        world.hub.register(f"m{number}", "web")
        world.hub.apply(Registration(Node("n1", "127.0.0.1"), checks=(Check("n1", "c", "c", output=str(number)),)))
    assert await still_blocked(on_web)
    assert await still_blocked(on_nothing)
    assert '"other"' in (await on_services.receive()).text
    world.hub.apply(Deregistration("n1", "web"))
    assert (await on_web.receive()).text == "[]"
    world.hub.register("n9", "none")
    assert '"none"' in (await on_nothing.receive()).text


UNTOUCHED = [
    "/v1/catalog/service/web?tag=x",
    "/v1/catalog/service/none",
    "/v1/catalog/node/none",
    "/v1/catalog/nodes?node-meta=rack:7",
    "/v1/catalog/nodes?filter=Node==kept",
    "/v1/health/service/web?passing",
    "/v1/health/service/web?tag=x&stale",
    "/v1/health/service/web?filter=Service.Port==80",
    "/v1/health/checks/web",
    "/v1/health/node/kept",
    "/v1/health/state/critical",
]


async def test_ten_thousand_writes_of_others_wake_nobody(world: World) -> None:
    kept = Registration(Node("kept", "127.0.0.1", meta={"rack": "7"}), service=Service("web", "web", tags=("x",), port=80))
    world.hub.apply(kept)
    waiting = {}
    for target in UNTOUCHED:
        index = (await world.get(target)).index
        waiting[target] = await block(world, f"{target}{'&' if '?' in target else '?'}index={index}")

    def of_another(number: int) -> Registration:
        node = Node(f"m{number % 20}", "127.0.0.2", meta={"rack": str(number)})
        check = Check(node.name, "c", "c", HealthStatus.WARNING if number % 3 else HealthStatus.PASSING, output=str(number))
        return Registration(node, service=Service("other", "other", port=number % 1000), checks=(check,))

    for start in range(0, 10_000, 250):
        world.hub.apply_all([kept, *map(of_another, range(start, start + 250))])
        await asyncio.sleep(0)
    assert [target for target, connection in waiting.items() if not await still_blocked(connection)] == []
    world.hub.apply(
        Registration(Node("kept", "127.0.0.1", meta={"rack": "7", "new": "1"}), service=Service("web", "web", tags=("x",), port=80))
    )
    for target in ("/v1/catalog/service/web?tag=x", "/v1/catalog/nodes?filter=Node==kept", "/v1/health/service/web?passing"):
        assert '"new"' in (await asyncio.wait_for(waiting[target].receive(), 60)).text


async def test_one_that_times_out_answers_after_wait_and_at_most_a_sixteenth_more(world: World) -> None:
    index = world.hub.register("n1")
    loop = asyncio.get_running_loop()
    before = loop.time()
    answer = await world.get(f"/v1/catalog/nodes?index={index}&wait=160ms")
    assert 0.155 <= loop.time() - before < 30.0
    assert (answer.status, answer.index) == (200, index)


async def test_an_index_of_the_future_waits_and_then_tells_the_real_one(world: World) -> None:
    index = world.hub.register("n1")
    assert (await world.get("/v1/catalog/nodes?index=99999&wait=50ms")).index == index


async def test_one_that_times_out_takes_a_barrier_first(world: World) -> None:
    index = world.hub.register("n1")
    waiting = await block(world, f"/v1/catalog/nodes?index={index}&wait=20ms")
    world.hub.leader = False
    answer = await waiting.receive()
    assert (answer.status, answer.text) == (500, "No cluster leader")


async def test_a_client_that_vanishes_gives_its_place_back(world: World) -> None:
    index = world.hub.register("n1")
    waiting = await block(world, f"/v1/catalog/nodes?index={index}")
    waiting.writer.transport.abort()
    await until(lambda: world.blocked == 0 and not world.hub.listeners)


async def test_all_who_wait_for_one_answer_are_woken_by_one_change(world: World) -> None:
    world.hub.register("n1", "web")
    index = (await world.get("/v1/health/service/web")).index
    waiting = [await block(world, f"/v1/health/service/web?index={index}") for _ in range(100)]
    assert len(world.hub.listeners) == 1
    world.hub.apply(Registration(Node("n1", "127.0.0.1"), checks=(Check("n1", "c", "c", HealthStatus.PASSING),)))
    answers = [await each.receive() for each in waiting]
    assert {answer.body for answer in answers} == {answers[0].body}
    assert {answer.index for answer in answers} == {world.hub.state.applied_index}


async def test_requests_behind_a_blocking_query_wait_for_their_turn(world: World) -> None:
    index = world.hub.register("n1")
    waiting = await block(world, f"/v1/catalog/nodes?index={index}")
    waiting.send("GET", "/v1/status/leader")
    waiting.send("GET", "/v1/catalog/services?stale")
    assert await still_blocked(waiting)
    world.hub.apply(Registration(Node("n2", "127.0.0.2"), service=Service("web", "web")))
    assert '"n2"' in (await waiting.receive()).text
    assert (await waiting.receive()).text == '"127.0.0.1:8300"'
    assert (await waiting.receive()).text == '{"web":[]}'


async def test_a_door_that_closes_ends_blocking_queries(world: World) -> None:
    index = world.hub.register("n1")
    waiting = await block(world, f"/v1/catalog/nodes?index={index}")
    await world.role.stop()
    assert await asyncio.wait_for(waiting.closed(), 60)


async def test_a_query_that_was_woken_is_not_ended_a_second_time_when_its_time_is_up(world: World) -> None:
    index = world.hub.register("n1")
    waiting = await block(world, f"/v1/catalog/nodes?index={index}&wait=20ms")
    world.hub.register("n2")
    assert '"n2"' in (await waiting.receive()).text
    assert (await world.get(f"/v1/catalog/nodes?index={world.hub.state.applied_index}&wait=60ms")).status == 200
    assert world.blocked == 0
    assert await still_blocked(waiting)


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
async def test_who_waits_and_goes_leaves_nothing_for_the_garbage_collector(
    world: World, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What lives for some seconds before it goes is in the oldest generation, which is seldom looked at."""
    caplog.set_level(level, "rostra.gateway.http")
    gc.collect()
    gc.disable()
    try:
        for target in ("/v1/catalog/nodes", "/v1/health/service/none", "/v1/health/service/none?stale"):
            index = (await world.get(target)).index
            waiting = await block(world, f"{target}{'&' if '?' in target else '?'}index={index}")
            (protocol,) = (each for each in gc.get_objects() if isinstance(each, HttpProtocol) and each.connections)
            gone = weakref.ref(protocol)
            tasks = weakref.WeakSet(asyncio.all_tasks())
            del protocol
            waiting.writer.transport.abort()
            await until(lambda: world.blocked == 0)
            for _ in range(20):
                await asyncio.sleep(0)
            assert gone() is None
            assert [task for task in tasks if task.done()] == []
    finally:
        gc.enable()
