"""Reads of a hub that lives on real streams: views, freshness, absence, waiting."""

from __future__ import annotations

import asyncio
import time

import pytest

from rostra.errors import Busy, NoLeader, NoServers, NotReady
from rostra.model.catalog import Node
from rostra.model.consistency import Consistency
from rostra.model.topics import NODES, SERVICES, Topic, TopicKind
from rostra.views.hub import Hub
from rostra.views.limits import HubLimits
from rostra.views.reader import BarrierReader, Reader, Reading, Writer
from rostra.views.view import View

from .conftest import World
from .fake_catalog import service_topic, until

WEB = service_topic("web")
DEFAULT, CONSISTENT, STALE = Consistency.DEFAULT, Consistency.CONSISTENT, Consistency.STALE


def names(view: View) -> list[str]:
    return [entry.key.partition("\0")[0] for entry in view.entries()]


async def test_a_hub_is_the_reader_and_writer_of_dns_and_gateway(world: World) -> None:
    await world.add_catalog()
    hub = await world.add_hub()
    reader: Reader = hub
    barrier_reader: BarrierReader = hub
    writer: Writer = hub
    for role in (reader, barrier_reader, writer):
        assert role is not None


async def test_the_views_are_a_snapshot_and_then_follow_the_changes(world: World) -> None:
    await world.add_catalog()
    for number in range(5):
        world.cluster.register(f"n{number}", "web")
    hub = await world.add_hub()
    view = (await hub.read([WEB], STALE)).views[0]
    assert names(view) == ["n0", "n1", "n2", "n3", "n4"]
    index = world.cluster.register("n5", "web")
    assert (await hub.read([WEB], DEFAULT)).views[0] is view
    assert (view.index, len(view)) == (index, 6)
    world.cluster.deregister("n0", "web")
    await hub.read([WEB], CONSISTENT)
    assert names(view) == ["n1", "n2", "n3", "n4", "n5"]
    assert world.serving().snapshots == 3, "nodes, services and web, once each"


async def test_a_stale_read_of_what_is_here_is_answered_at_once_by_peek(world: World) -> None:
    await world.add_catalog()
    world.cluster.register("n1", "web")
    hub = await world.add_hub()
    assert hub.peek([WEB]) is None, "subscribed from here on"
    await hub.read([WEB], STALE)
    reading = hub.peek([NODES, SERVICES, WEB])
    assert reading is not None
    assert [len(view) for view in reading.views] == [1, 1, 1]
    assert reading.consistency is STALE
    assert world.serving().barriers == []


async def test_stale_reads_are_refused_while_nothing_ever_came(world: World) -> None:
    hub = await world.add_hub()
    with pytest.raises(NotReady):
        await hub.read([NODES], STALE, timeout_s=0.05)
    assert not hub.ready


@pytest.mark.parametrize("world", ["in-process"], indirect=True)
async def test_a_catalog_in_this_process_that_knows_is_asked_beside_the_stream(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    world.cluster.register("n0", "web")
    await hub.read([WEB], DEFAULT)
    asked = len(catalog.barriers)
    catalog.knows_at_once = True
    for number in range(1, 30):
        index = world.cluster.register(f"n{number}", "web")
        assert (await hub.read([WEB], DEFAULT)).views[0].index == index
        await hub.read([WEB], DEFAULT)
    assert catalog.reached_at_once >= 29
    assert len(catalog.barriers) - asked <= 30, "only where a delta was still under way"


@pytest.mark.parametrize("world", ["in-process"], indirect=True)
async def test_what_was_sent_and_not_received_yet_makes_a_barrier_go_by_the_stream(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    world.cluster.register("n0", "web")
    await hub.read([WEB], DEFAULT)
    catalog.knows_at_once = True
    reads = []
    for number in range(1, 40):
        index = world.cluster.register(f"n{number}", "web")
        reads.append((index, asyncio.create_task(hub.read([WEB], DEFAULT))))
        for _ in range(number % 7):
            await asyncio.sleep(0)
    for index, read in reads:
        assert (await read).views[0].index >= index


async def test_a_default_read_shows_every_write_acknowledged_before_it(world: World) -> None:
    catalog = await world.add_catalog()
    world.cluster.register("n0", "web")
    hub = await world.add_hub()
    await hub.read([WEB], DEFAULT)
    catalog.frozen = True
    index = world.cluster.register("n1", "web")
    read = asyncio.create_task(hub.read([WEB], DEFAULT))
    await until(lambda: len(catalog.barriers) == 2)
    assert len((await hub.read([WEB], STALE)).views[0]) == 1, "stale answers with what is here"
    assert not read.done()
    catalog.thaw()
    assert (await read).views[0].index == index


async def test_a_read_that_arrives_after_the_barrier_was_sent_waits_for_the_next(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    catalog.barrier_gate.clear()
    early = asyncio.create_task(hub.read([NODES], DEFAULT))
    await until(lambda: len(catalog.barriers) == 1)
    late = [asyncio.create_task(hub.read([NODES], DEFAULT)) for _ in range(50)]
    await asyncio.sleep(0)
    catalog.frozen = True
    index = world.cluster.register("n1", "web")
    catalog.barrier_gate.set()
    await asyncio.sleep(0.05)
    assert not any(read.done() for read in (early, *late)), "the barrier itself is held by the catalog that lags"
    catalog.thaw()
    await early
    assert {reading.views[0].index for reading in await asyncio.gather(*late)} == {index}
    assert len(catalog.barriers) == 2, "fifty reads shared the second"


async def test_default_and_consistent_reads_have_barriers_of_their_own(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    default, consistent = await asyncio.gather(hub.read([NODES], DEFAULT), hub.read([NODES], CONSISTENT))
    assert (default.consistency, consistent.consistency) == (DEFAULT, CONSISTENT)
    assert sorted(barrier.consistency for barrier in catalog.barriers) == [DEFAULT.value, CONSISTENT.value]


async def test_a_topic_whose_snapshot_is_under_way_is_not_covered_by_a_barrier_reached_meanwhile(world: World) -> None:
    catalog = await world.add_catalog()
    world.cluster.register("n1", "web")
    hub = await world.add_hub()
    catalog.snapshot_gate.clear()
    assert hub.peek([WEB]) is None
    await until(lambda: len(catalog.subscribes) == 3)
    index = world.cluster.register("n2", "web")
    read = asyncio.create_task(hub.read([WEB], DEFAULT))
    await until(lambda: len(catalog.barriers) == 1)
    await hub.read([NODES], DEFAULT)
    assert not read.done()
    catalog.snapshot_gate.set()
    assert (await read).views[0].index == index
    assert len(catalog.barriers) == 3, "one that did not cover it, one of the other read, one that did"


async def test_the_first_read_of_a_service_needs_one_barrier_only(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    world.cluster.register("n1", "web")
    assert names((await hub.read([WEB], DEFAULT)).views[0]) == ["n1"]
    assert len(catalog.barriers) == 1


async def test_a_reader_that_gives_up_does_not_disturb_those_of_its_batch(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    catalog.barrier_gate.clear()
    reads = [asyncio.create_task(hub.read([NODES], DEFAULT)) for _ in range(3)]
    await until(lambda: len(catalog.barriers) == 1)
    reads[0].cancel()
    catalog.barrier_gate.set()
    assert len(await asyncio.gather(*reads[1:])) == 2


async def test_absence_is_answered_from_the_list_and_random_names_are_not_subscribed(world: World) -> None:
    catalog = await world.add_catalog()
    index = world.cluster.register("n1", "web")
    hub = await world.add_hub()
    for consistency in Consistency:
        for number in range(10):
            view = (await hub.read([service_topic(f"no-{number}")], consistency)).views[0]
            assert (len(view), view.index) == (0, index)
    assert len(catalog.subscribes) == 2
    world.cluster.register("n1", "no-1")
    assert len((await hub.read([service_topic("no-1")], DEFAULT)).views[0]) == 1


async def test_a_node_is_read_by_name_in_any_case_or_by_id(world: World) -> None:
    catalog = await world.add_catalog()
    world.cluster.register("Node-A", "web")
    hub = await world.add_hub()
    node = (await hub.read([NODES], STALE)).views[0].values()[0]
    assert isinstance(node, Node)
    for asked in ("node-a", "NODE-A", node.id):
        await hub.read([Topic(TopicKind.NODE, asked)], DEFAULT)
    assert [request.topic.name for request in catalog.subscribes[2:]] == ["Node-A"]


async def test_without_a_leader_reads_wait_for_the_hold_time_and_are_then_refused_at_once_until_one_is_back(world: World) -> None:
    await world.add_catalog()
    hub = await world.add_hub(hold_s=1.0)
    world.cluster.leader = False
    started = time.monotonic()
    with pytest.raises(NoLeader):
        await hub.read([NODES], DEFAULT)
    assert 0.9 < time.monotonic() - started < 30.0
    for consistency in (DEFAULT, CONSISTENT):
        with pytest.raises(NoLeader):
            hub.barrier(consistency)
    assert len((await hub.read([NODES], STALE)).views) == 1
    assert not hub.contact.known_leader
    world.cluster.leader = True
    await until(lambda: hub.contact.known_leader)
    await hub.read([NODES], DEFAULT)


async def test_a_read_that_waits_is_answered_when_a_leader_comes_back_in_time(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub(hold_s=5.0)
    world.cluster.leader = False
    read = asyncio.create_task(hub.read([NODES], DEFAULT))
    await until(lambda: len(catalog.barriers) == 1)
    world.cluster.leader = True
    assert (await read).contact.known_leader


async def test_a_read_may_give_up_before_the_hold_time(world: World) -> None:
    await world.add_catalog()
    hub = await world.add_hub(hold_s=60.0)
    world.cluster.leader = False
    with pytest.raises(NoLeader):
        await hub.read([NODES], DEFAULT, timeout_s=0.05)


async def test_without_any_server_reads_and_writes_say_so(world: World) -> None:
    hub = await world.add_hub(hold_s=0.1)
    for _ in range(2):
        with pytest.raises(NoServers):
            await hub.read([NODES], DEFAULT)


async def test_a_barrier_and_a_peek_are_a_default_read_in_two_halves(world: World) -> None:
    await world.add_catalog()
    index = world.cluster.register("n1", "web")
    hub = await world.add_hub()
    future = hub.barrier(DEFAULT)
    assert hub.barrier(DEFAULT) is future, "one for the whole batch"
    barrier = await asyncio.shield(future)
    assert barrier.index == index
    reading = hub.peek([NODES], barrier)
    assert reading is not None
    assert reading.consistency is DEFAULT
    assert hub.peek([NODES, WEB], barrier) is None, "web is not subscribed yet"
    assert len((await hub.read([NODES, WEB], DEFAULT)).views[1]) == 1


async def test_waiters_are_woken_once_by_their_own_change_and_never_by_others(world: World) -> None:
    await world.add_catalog()
    world.cluster.register("n1", "web")
    world.cluster.register("n1", "api")
    hub = await world.add_hub()
    await hub.read([WEB], DEFAULT)
    asked = 0

    def two(reading: Reading) -> bool:
        nonlocal asked
        asked += 1
        return len(reading.views[0]) == 2

    waiters = [asyncio.create_task(hub.wait([WEB], two, timeout_s=30)) for _ in range(1000)]
    await asyncio.sleep(0)
    assert asked == 1000, "once at the start"
    world.cluster.register("n2", "api")
    await hub.read([WEB], DEFAULT)
    assert asked == 1000, "not by a change of something else"
    world.cluster.register("n2", "web")
    readings = await asyncio.gather(*waiters)
    assert asked == 2000, "once by their own"
    assert all(len(reading.views[0]) == 2 for reading in readings)


async def test_a_wait_that_times_out_gives_the_views_as_they_are(world: World) -> None:
    await world.add_catalog()
    hub = await world.add_hub()
    reading = await hub.wait([NODES], lambda _: False, timeout_s=0.02)
    assert len(reading.views[0]) == 0


async def test_absence_is_awaited_on_the_list(world: World) -> None:
    await world.add_catalog()
    hub = await world.add_hub()
    waiter = asyncio.create_task(hub.wait([WEB], lambda reading: len(reading.views[0]) > 0, timeout_s=30))
    await asyncio.sleep(0)
    assert not waiter.done()
    world.cluster.register("n1", "web")
    assert names((await waiter).views[0]) == ["n1"]


async def test_a_wait_sees_a_service_vanish_and_come_back(world: World) -> None:
    await world.add_catalog()
    world.cluster.register("n1", "web")
    hub = await world.add_hub()
    await hub.read([WEB], DEFAULT)
    gone = asyncio.create_task(hub.wait([WEB], lambda reading: not reading.views[0].values(), timeout_s=30))
    await asyncio.sleep(0)
    world.cluster.deregister("n1", "web")
    await gone
    back = asyncio.create_task(hub.wait([WEB], lambda reading: bool(reading.views[0].values()), timeout_s=30))
    await asyncio.sleep(0)
    world.cluster.register("n1", "web")
    await back


async def test_what_a_waiter_raises_is_its_own_trouble(world: World) -> None:
    await world.add_catalog()
    hub = await world.add_hub()
    with pytest.raises(ZeroDivisionError):
        await hub.wait([NODES], lambda _: bool(1 // 0), timeout_s=30)
    await hub.read([NODES], DEFAULT)


async def test_topics_are_bounded_and_the_least_recently_used_gives_way(world: World) -> None:
    catalog = await world.add_catalog()
    for name in ("a", "b", "c"):
        world.cluster.register("n1", name)
    hub = await world.add_hub(limits=HubLimits(max_topics=4))
    for name in ("a", "b", "c", "a", "b", "c"):
        assert len((await hub.read([service_topic(name)], DEFAULT)).views[0]) == 1
    await until(lambda: len(catalog.unsubscribes) == 4)
    assert hub.stats()["views"]["topics"] == "4"


async def test_topics_that_are_waited_on_do_not_give_way(world: World) -> None:
    await world.add_catalog()
    for name in ("a", "b"):
        world.cluster.register("n1", name)
    hub = await world.add_hub(limits=HubLimits(max_topics=3))
    waiter = asyncio.create_task(hub.wait([service_topic("a")], lambda reading: len(reading.views[0]) == 2, timeout_s=30))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await hub.read([service_topic("b")], DEFAULT)
    world.cluster.register("n2", "a")
    await waiter
    await hub.read([service_topic("b")], DEFAULT)


async def test_idle_topics_are_let_go(world: World) -> None:
    catalog = await world.add_catalog()
    world.cluster.register("n1", "web")
    hub = await world.add_hub(limits=HubLimits(idle_s=0.1))
    await hub.read([WEB], DEFAULT)
    await until(lambda: len(catalog.unsubscribes) == 1)
    assert len((await hub.read([WEB], DEFAULT)).views[0]) == 1


async def test_a_hub_that_stops_refuses_all_who_wait(world: World) -> None:
    catalog = await world.add_catalog()
    hub: Hub = await world.add_hub()
    catalog.barrier_gate.clear()
    read = asyncio.create_task(hub.read([NODES], DEFAULT))
    wait = asyncio.create_task(hub.wait([NODES], lambda _: False, timeout_s=30))
    await until(lambda: len(catalog.barriers) == 1)
    await world.close_hubs()
    for waiting in (read, wait):
        with pytest.raises(NotReady):
            await waiting
    with pytest.raises(NotReady):
        await hub.read([NODES], DEFAULT)
