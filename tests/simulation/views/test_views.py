"""A topic never lies, and no read misses what was committed before it began: thousands of steps for each seed, on a simulated clock."""

from __future__ import annotations

import pytest

from rostra.views import publisher

from .world import TOPICS, World

SEEDS = range(10)
STEPS = 400


def trouble(world: World) -> None:
    """One thing that happens to it."""
    rng = world.rng
    catalog = rng.choice(world.catalogs)
    match rng.randrange(19):
        case 0 | 1 | 2 | 3 | 4 | 5:
            world.commit(world.random_command())
        case 6:
            for _ in range(10):
                world.commit(world.random_command())
        case 7:
            rng.choice(world.hubs).break_off()
        case 8:
            catalog.is_frozen = True
        case 9 | 10:
            catalog.thaw()
        case 11:
            catalog.take_snapshot_of(rng.choice(world.catalogs))
        case 12:
            world.has_leader = rng.random() < 0.7
        case _:
            rng.choice(world.hubs).read(rng.sample(TOPICS, 2))


RINGS = {"ring": publisher.MAX_RING_DELTAS, "small ring": 4}


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("seed", SEEDS)
def test_views_are_what_the_catalog_was_and_no_read_misses_what_was_committed(
    seed: int, ring: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"ring_deltas": RINGS[ring], "ring_bytes": publisher.MAX_RING_BYTES}
    monkeypatch.setattr(publisher.Publisher.__init__, "__kwdefaults__", limits)
    world = World(seed)
    for _ in range(STEPS):
        trouble(world)
        world.run(world.some(0.05))
    world.has_leader = True
    for catalog in world.catalogs:
        catalog.thaw()
    world.run(10.0)
    for hub in world.hubs:
        assert hub.done > STEPS / 40
        for topic in TOPICS:
            before = hub.done
            hub.read([topic])
            world.run(2.0)
            assert hub.done > before, f"a read of {topic} is not answered"
