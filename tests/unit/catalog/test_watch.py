"""The Watch and Write streams: snapshots, deltas, resumption, barriers in stream order, contact."""

from __future__ import annotations

import asyncio

import pytest

from rostra.clients.catalog_stream import NumberedWrite, WatchStream, prepare_write
from rostra.errors import BadRequest, Conflict, NoLeader, NotReady
from rostra.model.catalog import Node
from rostra.model.consistency import Consistency, Contact
from rostra.model.topics import NODES, SERVICES, Topic, TopicKind
from rostra.views.messages import (
    BarrierAnswer,
    BarrierRequest,
    Delta,
    Ended,
    Resumed,
    SnapshotPart,
    Subscribe,
    Unsubscribe,
    WatchEvent,
    WriteResult,
)

from .conftest import World, stop
from .helpers import ID_1, ID_2, alive, registration, service


async def next_event(watch: WatchStream) -> WatchEvent:
    """The next one but for contact."""
    while True:
        event = await watch.receive()
        if not isinstance(event, Contact):
            return event


async def snapshot(watch: WatchStream) -> tuple[int, list[str]]:
    keys: list[str] = []
    while True:
        part = await next_event(watch)
        assert isinstance(part, SnapshotPart)
        keys += [entry.key for entry in part.entries]
        if not part.more:
            return part.index, keys


async def test_a_topic_is_a_snapshot_and_then_deltas(world: World) -> None:
    await world.client.register(registration("a"))
    async with world.streams.watch() as watch:
        await watch.send(Subscribe(7, NODES, 0, ""))
        assert await snapshot(watch) == (1, ["a"])
        await world.client.register(registration("b"))
        delta = await next_event(watch)
        assert isinstance(delta, Delta)
        assert (delta.subscription, delta.index, [entry.key for entry in delta.entries]) == (7, 2, ["b"])
        value = delta.entries[0].value
        assert isinstance(value, Node)
        assert value.create_index == 2
        await watch.send(Unsubscribe(7))


async def test_a_watcher_that_writes_is_told_behind_the_deltas_how_far_it_has_come(world: World) -> None:
    near = world.streams.is_near
    async with world.streams.watch() as watch, world.streams.write(watch.watch_id) as writes, world.streams.write(7) as others:
        await watch.send(Subscribe(1, NODES, 0, ""))
        await snapshot(watch)
        write = prepare_write(registration("a"), b"1" * 16)
        await writes.send([NumberedWrite(1, write, 5.0)])
        (result,) = await writes.receive()
        assert (result.index, result.watch_told) == (1, not near)
        delta = await next_event(watch)
        assert isinstance(delta, Delta)
        if not near:
            assert await next_event(watch) == BarrierAnswer(0, 1)
        await others.send([NumberedWrite(1, prepare_write(registration("b"), b"2" * 16), 5.0)])
        (result,) = await others.receive()
        assert (result.index, result.watch_told) == (2, False), "of a stream that is not there"
        await writes.send([NumberedWrite(2, write, 5.0)])
        (result,) = await writes.receive()
        assert (result.index, result.watch_told) == (1, not near), "of a write that was done before"


async def test_a_large_topic_comes_in_parts_in_order_of_key(near: World) -> None:
    names = [f"n{number:04}" for number in range(300)]
    for name in names:
        near.consensus.do(registration(name))
    async with near.streams.watch() as watch:
        await near.role.reads.be_fresh(Consistency.DEFAULT)
        await watch.send(Subscribe(1, NODES, 0, ""))
        assert await snapshot(watch) == (300, names)


async def test_a_watcher_that_comes_back_gets_what_it_missed(world: World) -> None:
    await world.client.register(registration("a"))
    async with world.streams.watch() as watch:
        await watch.send(Subscribe(1, NODES, 0, ""))
        await snapshot(watch)
    await world.client.register(registration("b"))
    async with world.streams.watch() as watch:
        await watch.send(Subscribe(1, NODES, 1, watch.cluster_id))
        resumed, delta = await next_event(watch), await next_event(watch)
        assert isinstance(resumed, Resumed)
        assert resumed.index == 2
        assert isinstance(delta, Delta)
        assert delta.index == 2


async def test_a_place_of_another_cluster_is_answered_with_a_snapshot(near: World) -> None:
    await near.client.register(registration("a"))
    async with near.streams.watch() as watch:
        await watch.send(Subscribe(1, NODES, 1, "another"))
        assert await snapshot(watch) == (1, ["a"])


async def test_a_barrier_comes_after_the_deltas_up_to_its_index(world: World) -> None:
    async with world.streams.watch() as watch:
        await watch.send(Subscribe(1, NODES, 0, ""))
        await watch.send(Subscribe(2, Topic(TopicKind.SERVICE, "WEB"), 0, ""))
        await snapshot(watch)
        await snapshot(watch)
        seen: dict[int, int] = {1: 0, 2: 0}
        for number in range(1, 20):
            world.consensus.do(registration(f"n{number}", service=service()))
            last = world.consensus.last_index
            await watch.send(BarrierRequest(number, Consistency.DEFAULT, 5.0))
            while not isinstance(event := await next_event(watch), BarrierAnswer):
                assert isinstance(event, Delta)
                seen[event.subscription] = event.index
            assert (event.number, event.error) == (number, None)
            assert event.index >= last
            assert min(seen.values()) >= last


async def test_a_barrier_without_a_leader_is_answered_so(near: World) -> None:
    near.consensus.lead(0)
    async with near.streams.watch() as watch:
        await watch.send(BarrierRequest(1, Consistency.CONSISTENT, 5.0))
        answer = await next_event(watch)
        assert isinstance(answer, BarrierAnswer)
        assert isinstance(answer.error, NoLeader)


async def test_who_waits_for_a_barrier_hears_that_the_catalog_still_looks_for_a_leader(near: World) -> None:
    near.consensus.lead(0)
    async with near.streams.watch() as watch:
        while (contact := await watch.receive()) and isinstance(contact, Contact) and contact.known_leader:
            pass
        await watch.send(BarrierRequest(1, Consistency.DEFAULT, 5.0))
        assert isinstance(await watch.receive(), Contact), "the barrier itself takes the hold time"


async def test_contact_comes_at_once_and_whenever_it_changes(world: World) -> None:
    async with world.streams.watch() as watch:
        first = await watch.receive()
        assert isinstance(first, Contact)
        assert (first.known_leader, first.leader, first.leader_address) == (True, "n1", "10.0.0.9:8300")
        world.consensus.lead(0)
        while (contact := await watch.receive()) and isinstance(contact, Contact) and contact.known_leader:
            pass
        assert isinstance(contact, Contact)
        assert not contact.known_leader


@pytest.mark.parametrize("topic", [Topic(TopicKind.SERVICE), Topic(TopicKind.NODES, "x")])
async def test_a_topic_that_makes_no_sense_is_refused_and_the_stream_goes_on(near: World, topic: Topic) -> None:
    async with near.streams.watch() as watch:
        await watch.send(Subscribe(1, topic, 0, ""))
        ended = await next_event(watch)
        assert isinstance(ended, Ended)
        assert isinstance(ended.error, BadRequest)
        await watch.send(Subscribe(2, SERVICES, 0, ""))
        assert await snapshot(watch) == (0, [])


async def test_a_catalog_that_never_caught_up_is_not_ready_for_watchers(near: World) -> None:
    near.role.driver.caught_up = near.role.driver.attached = False
    with pytest.raises(NotReady):
        async with near.streams.watch():
            pass


async def test_writes_of_a_stream_are_answered_each_with_its_own_result(world: World) -> None:
    async with world.streams.write() as writes:
        commands = [registration("a", node_id=ID_1, checks=alive()), registration("a", node_id=ID_2), registration("")]
        prepared = [prepare_write(command, bytes([number] * 16)) for number, command in enumerate(commands)]
        await writes.send(NumberedWrite(10 + number, write, 5.0) for number, write in enumerate(prepared))
        results: dict[int, WriteResult] = {}
        while len(results) < 3:
            results |= {result.sequence: result for result in await writes.receive()}
        assert (results[10].index, results[10].error) == (1, None)
        assert isinstance(results[11].error, Conflict)
        assert isinstance(results[12].error, BadRequest)


async def test_leaving_a_stream_lets_go_of_its_subscriptions(near: World) -> None:
    async with near.streams.watch() as watch:
        await watch.send(Subscribe(1, NODES, 0, ""))
        await snapshot(watch)
        assert near.role.driver.publications.open(NODES).watched
    await near.until(lambda: not near.role.driver.publications.open(NODES).watched)
    assert near.role.stream_servicer.watch_count == 0


async def test_a_catalog_whose_streams_break_as_it_is_stopped_stops(near: World) -> None:
    near.consensus.down = True
    near.consensus.break_streams()
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await stop(near.task)
    near.task = asyncio.create_task(asyncio.sleep(0))


async def test_a_barrier_beside_the_stream_holds_for_who_has_taken_all_that_was_sent(near: World) -> None:
    near.consensus.knows_at_once = True
    await near.client.register(registration("a"))
    async with near.streams.watch() as watch:
        await watch.send(Subscribe(7, NODES, 0, ""))
        assert watch.reach(Consistency.DEFAULT) == 0, "the snapshot is still to be sent"
        assert await snapshot(watch) == (1, ["a"])
        assert watch.reach(Consistency.DEFAULT) == 1
        await near.client.register(registration("b"))
        await near.until(lambda: near.role.driver.state.applied_index == 2)
        assert watch.reach(Consistency.DEFAULT) == 0, "the delta is on its way"
        assert isinstance(await next_event(watch), Delta)
        assert watch.reach(Consistency.DEFAULT) == 2
        near.consensus.knows_at_once = False
        assert watch.reach(Consistency.DEFAULT) == 0
