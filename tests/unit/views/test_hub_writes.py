"""Writes through a hub: batches, retries with the same request ID, and honest fates."""

from __future__ import annotations

import asyncio

import pytest

from rostra.errors import BadRequest, Busy, NoLeader, NoServers, NotReady, RostraError, UnknownOutcome
from rostra.model.catalog import Deregistration, Node, Registration, Service
from rostra.model.consistency import Consistency
from rostra.model.topics import NODES
from rostra.views import hub as hub_module
from rostra.views.limits import HubLimits

from .conftest import World
from .fake_catalog import NOT_READY, service_topic, until

WEB = service_topic("web")


@pytest.fixture(autouse=True)
def _views_have_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write waits for its views for 50 ms at most, which a busy machine may take."""
    monkeypatch.setattr(hub_module, "CATCH_UP_S", 60.0)


def registration(node: str, service: str = "web") -> Registration:
    return Registration(Node(node, "127.0.0.1"), service=Service(service, service))


async def test_a_write_that_returned_is_in_this_process_s_views(world: World) -> None:
    await world.add_catalog()
    hub = await world.add_hub()
    for number in range(5):
        index = await hub.write(registration(f"n{number}"))
        reading = hub.peek([NODES])
        assert reading is not None
        assert reading.views[0].index == index
    assert await hub.caught_up(index, timeout_s=0.0)
    await hub.write(Deregistration("n0", "web"))
    assert len((await hub.read([WEB], Consistency.DEFAULT)).views[0]) == 4


async def test_after_a_write_no_barrier_is_asked_for_where_the_catalog_says_by_itself_how_far_the_views_have_come(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    await hub.write(registration("n1"))  # opens the stream
    asked = len(catalog.barriers)
    for _ in range(3):
        await hub.write(registration("n1"))
    assert len(catalog.barriers) - asked == (0 if world.transport == "socket" else 3)
    catalog.break_watches()
    await until(lambda: not catalog.watched)
    await until(lambda: catalog.watched)
    await hub.read([NODES], Consistency.DEFAULT)
    asked = -1
    async with asyncio.timeout(60):
        while world.transport == "socket" and len(catalog.barriers) != asked:  # until the Write stream knows the new Watch stream
            await asyncio.sleep(0.01)
            asked = len(catalog.barriers)
            await hub.write(registration("n1"))
    catalog.tells_watches = False
    asked = len(catalog.barriers)
    await hub.write(registration("n1"))
    assert len(catalog.barriers) == asked + 1, "an older catalog is asked"


async def test_a_write_waits_for_the_word_that_the_views_show_it_but_not_for_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    if world.transport != "socket":
        pytest.skip("a catalog in the process is asked")
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    await hub.write(registration("n1"))
    catalog.told_gate.clear()
    begun = catalog.writes_begun
    write = asyncio.create_task(hub.write(registration("n2")))
    await until(lambda: catalog.writes_begun > begun and world.cluster.index > 11)
    await asyncio.sleep(0)
    assert not write.done()
    catalog.told_gate.set()
    index = await write
    assert await hub.caught_up(index, timeout_s=0.0)
    catalog.told_gate.clear()
    monkeypatch.setattr(hub_module, "CATCH_UP_S", 0.05)
    index = await hub.write(registration("n3"))
    assert not await hub.caught_up(index + 1, timeout_s=0.0)


async def test_writes_of_one_turn_go_out_together_and_in_order(world: World) -> None:
    await world.add_catalog()
    hub = await world.add_hub()
    indexes = await asyncio.gather(*(hub.write(registration(f"n{number}")) for number in range(300)))
    assert indexes == sorted(indexes)
    assert len(set(indexes)) == 300


async def test_a_write_is_done_though_its_views_lag_for_good(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    catalog.frozen = True
    monkeypatch.setattr(hub_module, "CATCH_UP_S", 0.05)
    index = await hub.write(registration("n1"))
    assert not await hub.caught_up(index, timeout_s=0.01)


async def test_a_write_whose_stream_breaks_is_sent_again_with_its_request_id_and_done_once(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    catalog.lose_results = 2
    before = world.cluster.index
    index = await hub.write(registration("n1"), request_id=b"0123456789abcdef")
    assert catalog.request_ids == [b"0123456789abcdef"] * 3
    assert index == world.cluster.index == before + 1


async def test_a_write_moves_to_another_catalog_when_its_own_dies(world: World) -> None:
    await world.add_catalog()
    await world.add_catalog()
    hub = await world.add_hub()
    first = world.serving()
    first.write_gate.clear()
    write = asyncio.create_task(hub.write(registration("n1")))
    await until(lambda: bool(first.writes_begun))
    await first.stop()
    assert await write == world.cluster.index


async def test_request_ids_are_drawn_at_random(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    await hub.write(registration("n1"))
    await hub.write(registration("n1"))
    assert len(set(catalog.request_ids)) == 2
    assert {len(request_id) for request_id in catalog.request_ids} == {16}


async def test_a_refusal_is_the_catalog_s_own_error(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    with pytest.raises(BadRequest) as caught:
        await hub.write(Registration(Node("n1", "127.0.0.1")))
    assert caught.value.field == "registration.service"
    catalog.write_error = Busy("full", retry_after_s=0.5)
    with pytest.raises(Busy) as busy:
        await hub.write(registration("n1"))
    assert busy.value.retry_after_s == 0.5


async def test_a_write_that_no_catalog_took_says_no_leader(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub(hold_s=0.2)
    catalog.write_error = NOT_READY
    fates: list[RostraError] = []
    while not any(isinstance(fate, NoLeader) for fate in fates):
        try:
            await hub.write(registration("n1"))
        except RostraError as fate:
            fates.append(fate)
    assert all(isinstance(fate, UnknownOutcome) for fate in fates[:-1]), "its time was up just while it was being tried"
    assert len(catalog.request_ids) > 1, "it was tried again meanwhile"


async def test_a_write_that_waits_for_a_leader_is_done_when_one_comes(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    world.cluster.leader = False
    write = asyncio.create_task(hub.write(registration("n1")))
    await until(lambda: bool(catalog.request_ids))
    world.cluster.leader = True
    assert await write == world.cluster.index


async def test_a_write_whose_fate_was_not_learned_in_time_is_never_reported_as_done(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub(hold_s=1.0)
    catalog.write_gate.clear()
    with pytest.raises(UnknownOutcome):
        await hub.write(registration("n1"))


async def test_a_write_without_any_server_says_so(world: World) -> None:
    hub = await world.add_hub(hold_s=0.05)
    with pytest.raises(NoServers):
        await hub.write(registration("n1"))


async def test_writes_under_way_are_bounded(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub(limits=HubLimits(max_pending_writes=2))
    catalog.write_gate.clear()
    writes = [asyncio.create_task(hub.write(registration(f"n{number}"))) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await hub.write(registration("n3"))
    catalog.write_gate.set()
    await asyncio.gather(*writes)
    await hub.write(registration("n3"))


async def test_a_write_over_the_message_limit_is_refused_here(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    with pytest.raises(BadRequest):
        await hub.write(Registration(Node("n1", "127.0.0.1", meta={"key": "x" * (1 << 20)})))
    assert catalog.request_ids == []
    await hub.write(registration("n1"))


async def test_a_hub_that_stops_tells_its_writers_what_is_known(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    catalog.write_gate.clear()
    write = asyncio.create_task(hub.write(registration("n1")))
    await until(lambda: catalog.writes_begun == 1)
    await world.close_hubs()
    with pytest.raises(UnknownOutcome):
        await write
    with pytest.raises(NotReady):
        await hub.write(registration("n1"))
