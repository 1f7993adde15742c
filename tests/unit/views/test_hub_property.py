"""A topic never lies: whatever changes, reads, breaks and lags there are, views end equal to what the catalog holds, never
go back on the way, and no default read misses a change that was acknowledged before it began."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from rostra.errors import Busy
from rostra.model.consistency import Consistency
from rostra.model.topics import NODES, SERVICES
from rostra.views.hub import Hub
from rostra.views.limits import HubLimits
from rostra.views.view import View

from .conftest import World
from .fake_catalog import service_topic

SERVICE_NAMES = ("a", "b", "c", "d")
TOPICS = (NODES, SERVICES, *map(service_topic, SERVICE_NAMES))
STEPS = 120


class Run:
    """One seed: a hub with room for few topics, two catalogs, and everything that can happen to them."""

    def __init__(self, world: World, hub: Hub, rng: random.Random) -> None:
        self.world = world
        self.hub = hub
        self.rng = rng
        self.watched: dict[View, int] = {}
        self.reads: list[asyncio.Task[None]] = []
        self.read_count = 0

    async def step(self) -> None:
        catalog = self.rng.choice(self.world.catalogs)
        match self.rng.randrange(12):
            case 0 | 1 | 2:
                self.world.cluster.register(f"n{self.rng.randrange(6)}", self.rng.choice(SERVICE_NAMES))
            case 3 | 4:
                self.world.cluster.deregister(f"n{self.rng.randrange(6)}", self.rng.choice(SERVICE_NAMES))
            case 5 | 6 | 7:
                self.reads.append(asyncio.create_task(self.read_default()))
            case 8:
                self.peek()
            case 9:
                catalog.break_streams()
            case 10:
                catalog.die() if self.rng.random() < 0.5 else catalog.revive()
                catalog.ring_floor = self.rng.choice((0, self.world.cluster.index))
            case 11:
                if self.rng.random() < 0.5:
                    catalog.frozen = True
                else:
                    catalog.thaw()
        await asyncio.sleep(self.rng.choice((0, 0, 0, 0.001, 0.005)))

    async def read_default(self) -> None:
        topics = self.rng.sample(TOPICS, 2)
        expected = [self.world.cluster.last_change(topic) for topic in topics]
        try:
            reading = await self.hub.read(topics, Consistency.DEFAULT)
        except Busy:
            return  # an honest answer where all places are taken by reads under way
        for topic, view, index in zip(topics, reading.views, expected, strict=True):
            assert view.index >= index, f"a default read of {topic} missed a change that was acknowledged before"
        self.read_count += 1
        self.follow(reading.views)

    def peek(self) -> None:
        with contextlib.suppress(Busy):
            self.peek_or_busy()

    def peek_or_busy(self) -> None:
        reading = self.hub.peek([self.rng.choice(TOPICS)])
        if reading is not None:
            self.follow(reading.views)

    def follow(self, views: tuple[View, ...]) -> None:
        for view in views:
            if view not in self.watched:
                view.listen(lambda view=view: self.check(view))  # type: ignore[misc]
            self.check(view)

    def check(self, view: View) -> None:
        assert view.index >= self.watched.get(view, 0), f"{view.topic} went back"
        self.watched[view] = view.index
        held = self.world.cluster.contents(view.topic, view.index)
        assert {entry.key: entry for entry in view.entries()} == held, f"{view.topic} is not what it was at {view.index}"


@pytest.mark.parametrize("seed", range(12))
async def test_views_end_equal_to_the_catalog_and_no_read_goes_behind_an_acknowledged_write(world: World, seed: int) -> None:
    for number in range(2):
        catalog = await world.add_catalog()
        catalog.knows_at_once = (seed + number) % 3 > 0  # within the process; over a socket nobody asks
    # Four services in three places: one always gives way.
    hub = await world.add_hub(hold_s=30.0, limits=HubLimits(max_topics=5, patience_s=0.05))
    run = Run(world, hub, random.Random(seed))
    for _ in range(STEPS):
        await run.step()
    for catalog in world.catalogs:
        catalog.revive()
        catalog.thaw()
    await asyncio.gather(*run.reads)
    assert run.read_count > 5
    for topic in TOPICS:
        view = (await hub.read([topic], Consistency.DEFAULT)).views[0]
        assert {entry.key: entry for entry in view.entries()} == world.cluster.contents(topic)
