"""A hub whose catalogs die, lag, fall silent or lose the leader."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from rostra.errors import NoServers
from rostra.model.catalog import Deregistration
from rostra.model.consistency import Consistency
from rostra.model.topics import NODES, SERVICES
from rostra.views.hub import Hub
from rostra.views.limits import HubLimits
from rostra.views.silence import LOOK_S
from rostra.views.upstreams import Upstream

from .conftest import World
from .fake_catalog import IDENTITY, FakeCluster, service_topic, until

WEB = service_topic("web")
LONG_BEFORE_S = 20.0
DEFAULT, STALE = Consistency.DEFAULT, Consistency.STALE


async def settled(hub: Hub) -> None:
    """On a stream, every topic live."""
    await until(lambda: hub.stats()["views"]["topics"] == hub.stats()["views"]["live_topics"])


async def test_after_a_break_the_views_are_resumed_without_a_new_snapshot(world: World) -> None:
    catalog = await world.add_catalog()
    world.cluster.register("n1", "web")
    hub = await world.add_hub()
    view = (await hub.read([WEB], DEFAULT)).views[0]
    catalog.die()
    await until(lambda: not catalog.watched)
    index = world.cluster.register("n2", "web")
    assert len(view) == 1
    snapshots = catalog.snapshots
    catalog.revive()
    reading = await hub.read([WEB], DEFAULT)
    assert reading.views[0] is view
    assert (len(view), view.index, catalog.snapshots) == (2, index, snapshots)


async def test_a_gap_that_the_ring_does_not_bridge_is_closed_by_a_snapshot(world: World) -> None:
    catalog = await world.add_catalog()
    world.cluster.register("n1", "web")
    hub = await world.add_hub()
    view = (await hub.read([WEB], DEFAULT)).views[0]
    catalog.die()
    await until(lambda: not catalog.watched)
    world.cluster.deregister("n1", "web")
    world.cluster.register("n2", "web")
    catalog.ring_floor = 1000
    catalog.revive()
    await hub.read([WEB], DEFAULT)
    assert [entry.key for entry in view.entries()] == ["n2\0web"]


async def test_a_hub_whose_catalog_dies_moves_to_another_at_once(world: World) -> None:
    await world.add_catalog()
    await world.add_catalog()
    world.cluster.register("n1", "web")
    hub = await world.add_hub(limits=HubLimits(patience_s=60.0, silence_s=60.0))
    view = (await hub.read([WEB], DEFAULT)).views[0]
    first, second = world.serving(), world.other()
    await first.stop()
    index = world.cluster.register("n2", "web")
    async with asyncio.timeout(LONG_BEFORE_S):
        assert (await hub.read([WEB], DEFAULT)).views[0] is view
    assert view.index == index
    assert second.watched
    assert second.snapshots == 0, "resumed on the other catalog too"


async def test_a_view_never_goes_back_on_a_catalog_that_lags_and_a_default_read_waits_for_it(world: World) -> None:
    await world.add_catalog()
    await world.add_catalog()
    world.cluster.register("n1", "web")
    hub = await world.add_hub()
    lagging = world.other()
    lagging.frozen = True
    index = world.cluster.register("n2", "web")
    view = (await hub.read([WEB], DEFAULT)).views[0]
    assert view.index == index
    lagging.ring_floor = 1000
    world.serving().die()
    await until(lambda: lagging.watched)
    await settled(hub)
    assert (await hub.read([WEB], STALE)).views[0].index == index
    last = world.cluster.register("n3", "web")
    read = asyncio.create_task(hub.read([WEB], DEFAULT))
    await until(lambda: bool(lagging.barriers))
    assert not read.done()
    lagging.thaw()
    assert (await read).views[0].index == last
    assert len(view) == 3


async def test_a_barrier_of_the_old_stream_does_not_vouch_for_the_new_one(world: World) -> None:
    catalog = await world.add_catalog()
    await world.add_catalog()
    world.cluster.register("n1", "web")
    hub = await world.add_hub()
    barrier = await asyncio.shield(hub.barrier(DEFAULT))
    assert hub.peek([NODES], barrier) is not None
    catalog = world.serving()
    catalog.die()
    await until(lambda: not catalog.watched)
    await until(lambda: hub.stats()["views"]["upstream"] not in ("", catalog.name))
    await settled(hub)
    assert hub.peek([NODES], barrier) is None


async def test_reads_under_way_are_asked_again_of_the_next_catalog(world: World) -> None:
    await world.add_catalog()
    await world.add_catalog()
    hub = await world.add_hub()
    first, second = world.serving(), world.other()
    first.barrier_gate.clear()
    read = asyncio.create_task(hub.read([NODES], DEFAULT))
    await until(lambda: bool(first.barriers))
    first.die()
    await read
    assert len(second.barriers) == 1


async def test_a_catalog_that_is_cut_off_from_the_leader_is_left_for_one_that_is_not(world: World) -> None:
    await world.add_catalog()
    await world.add_catalog()
    hub = await world.add_hub(limits=HubLimits(patience_s=0.1))
    first, second = world.serving(), world.other()
    first.cut_off = True
    await hub.read([NODES], DEFAULT)
    assert second.watched


async def test_a_catalog_that_falls_silent_is_taken_for_dead(world: World) -> None:
    await world.add_catalog()
    await world.add_catalog()
    await world.add_hub(limits=HubLimits(silence_s=0.2))
    first, second = world.serving(), world.other()
    first.silent = True
    await until(lambda: second.watched)
    await until(lambda: not first.watched)


async def test_a_catalog_that_falls_silent_is_asked_although_nobody_does_and_left(world: World) -> None:
    await world.add_catalog()
    await world.add_catalog()
    await world.add_hub(hold_s=60.0, limits=HubLimits(patience_s=60.0, silence_s=60.0))
    first, second = world.serving(), world.other()
    first.silent = True
    first.barrier_gate.clear()
    await until(lambda: second.watched)
    assert first.barriers


async def test_who_waits_for_a_catalog_that_hangs_has_the_answer_of_another(world: World) -> None:
    """It breaks no connection and refuses nothing; the other limits are far away. How soon, ``test_silence`` says."""
    await world.add_catalog()
    await world.add_catalog()
    hub = await world.add_hub(hold_s=60.0, limits=HubLimits(patience_s=60.0, silence_s=60.0))
    first, second = world.serving(), world.other()
    first.silent = True
    first.barrier_gate.clear()
    async with asyncio.timeout(LONG_BEFORE_S):
        await hub.read([NODES], DEFAULT)
    assert second.watched


async def test_a_write_that_a_hanging_catalog_took_is_done_by_another_and_once(world: World) -> None:
    await world.add_catalog()
    await world.add_catalog()
    hub = await world.add_hub(hold_s=60.0, limits=HubLimits(patience_s=60.0, silence_s=60.0))
    await hub.write(Deregistration("none"))
    first, second = world.serving(), world.other()
    first.silent = True
    for gate in (first.barrier_gate, first.write_gate):
        gate.clear()
    async with asyncio.timeout(LONG_BEFORE_S):
        await hub.write(Deregistration("n1", "web"))
    assert second.watched
    assert len(second.request_ids) == 1


async def test_a_catalog_that_says_it_still_looks_for_a_leader_keeps_those_who_wait(world: World) -> None:
    await world.add_catalog()
    await world.add_catalog()
    hub = await world.add_hub(limits=HubLimits(patience_s=60.0))
    first = world.serving()
    first.barrier_gate.clear()
    read = asyncio.create_task(hub.read([NODES], DEFAULT))
    await until(lambda: bool(first.barriers))
    await asyncio.sleep(1.0)
    first.barrier_gate.set()
    await read
    assert first.watched
    assert hub.stats()["views"]["reconnects"] == "0"


async def test_without_a_stream_no_leader_is_known_and_the_last_contact_grows(world: World) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    connected = hub.contact
    assert (connected.known_leader, connected.last_contact_ms) == (True, 0)
    catalog.die()
    await until(lambda: hub.contact.last_contact_ms > 20)
    assert not hub.contact.known_leader
    assert len((await hub.read([NODES, SERVICES], STALE)).views) == 2


async def test_a_new_cluster_replaces_the_views_whatever_their_index(world: World) -> None:
    catalog = await world.add_catalog()
    world.cluster.register("n1", "web")
    hub = await world.add_hub()
    view = (await hub.read([WEB], DEFAULT)).views[0]
    fresh = FakeCluster(cluster_id="0c6a3b1e-0000-4000-8000-000000000002", index=1, catalogs=[catalog])
    fresh.register("n9", "web")
    catalog.cluster, catalog.applied = fresh, fresh.index
    catalog.break_streams()
    await until(lambda: view.cluster_id == fresh.cluster_id)
    assert (await hub.read([WEB], DEFAULT)).views[0] is view
    assert [entry.key for entry in view.entries()] == ["n9\0web"]
    assert view.index == 2


@pytest.mark.parametrize("turns", range(12))
async def test_a_hub_that_is_stopped_at_the_moment_its_stream_breaks_does_stop(world: World, turns: int) -> None:
    catalog = await world.add_catalog()
    hub = await world.add_hub()
    await hub.write(Deregistration("n1", "web"))
    catalog.break_streams()
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(LONG_BEFORE_S):
        await world.close_hubs()


class Listed:
    """Upstreams that come and go, as gossip shows them."""

    def __init__(self, world: World, population: int) -> None:
        self._world = world
        self._population = population

    def candidates(self) -> Sequence[Upstream]:
        return tuple(self._world.upstreams)

    def sought(self) -> Sequence[str]:
        return ("10.0.0.1:8301",)

    def population(self) -> int:
        return self._population


@asynccontextmanager
async def hub_on(world: World, hold_s: float = 60.0, population: int = 0) -> AsyncIterator[Hub]:
    """One that follows the world's catalogs, and moves to newcomers at once."""
    hub = Hub(Listed(world, population), IDENTITY, hold_s=hold_s, limits=HubLimits(rebalance_s=0.01), rng=random.Random(1))
    running = asyncio.create_task(hub.run())
    try:
        yield hub
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_a_hub_moves_to_a_catalog_that_came_with_its_views_resumed_and_its_writes(world: World) -> None:
    first = await world.add_catalog()
    world.cluster.register("n1", "web")
    async with hub_on(world) as hub:
        view = (await hub.read([WEB], DEFAULT)).views[0]
        await hub.write(Deregistration("none"))
        for _ in range(6):  # it may stay where it is; that is what shares are
            await world.add_catalog()
        await until(lambda: not first.watched)
        index = world.cluster.register("n2", "web")
        assert (await hub.read([WEB], DEFAULT)).views[0] is view
        assert view.index == index
        assert all(catalog.snapshots == 0 for catalog in world.catalogs[1:]), "resumed"
        await until(lambda: hub.stats()["views"]["upstream"] != "")
        await hub.write(Deregistration("none"))


async def test_a_hub_of_a_small_fleet_lives_on_the_catalog_that_leads_and_follows_it_without_a_gap(world: World) -> None:
    for _ in range(3):
        await world.add_catalog()
    world.cluster.register("n1", "web")
    knew: list[bool] = []

    async def look_at(hub: Hub) -> None:
        while True:
            knew.append(hub.contact.known_leader)
            await asyncio.sleep(0)

    async with hub_on(world, population=1) as hub:
        view = (await hub.read([WEB], DEFAULT)).views[0]
        await until(lambda: hub.contact.known_leader)
        looking = asyncio.create_task(look_at(hub))
        for leader in (world.other(), *world.catalogs):
            world.cluster.leader_at = leader.name
            while not leader.watched:
                assert (await hub.read([WEB], DEFAULT)).views[0] is view
                await asyncio.sleep(0)
            index = world.cluster.register("n1", "web")
            assert (await hub.read([WEB], DEFAULT)).views[0].index == index
        looking.cancel()
    assert all(knew), "a move of its own is no loss of the leader"
    assert sum(catalog.snapshots for catalog in world.catalogs) == 3, "one of each topic, then resumed"


async def test_a_hub_of_a_large_fleet_stays_where_it_is_and_one_whose_leader_dies_goes_on_without(world: World) -> None:
    for _ in range(2):
        await world.add_catalog()
    async with hub_on(world, population=1_000_000) as hub:
        await hub.read([NODES], DEFAULT)
        home = world.serving()
        world.cluster.leader_at = world.other().name
        await until(lambda: hub.contact.leader_address != "")
        await asyncio.sleep(2 * LOOK_S)
        assert home.watched
    async with hub_on(world, population=1) as hub:
        leader = next(catalog for catalog in world.catalogs if catalog.name == world.cluster.leader_at)
        await until(lambda: leader.watched)
        leader.die()
        assert (await hub.read([NODES], DEFAULT)).contact.known_leader
        await until(lambda: not leader.watched)


async def test_a_hub_that_finds_no_server_says_where_it_looked(world: World) -> None:
    async with hub_on(world, hold_s=0.1) as hub:
        with pytest.raises(NoServers) as refused:
            await hub.read([NODES], DEFAULT)
        assert refused.value.tried == ("10.0.0.1:8301",)
        assert str(refused.value) == "No known servers (tried 10.0.0.1:8301)"
