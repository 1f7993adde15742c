"""Cycles that lived long before they died are collected: soon where the process is idle, late where it is not, and those set aside too."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Iterator

import pytest

from rostra.telemetry import garbage, metrics
from rostra.telemetry.garbage import ALL_S, OLD_S, PATIENCE, YOUNG_S, Garbage


class Cycle:
    """One that only a collector finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """Nothing collects but what is under test."""
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


def dead_in_the_oldest_generation() -> weakref.ref[Cycle]:
    cycle = Cycle()
    for _ in range(3):
        gc.collect(1)
    return weakref.ref(cycle)


def dead_among_those_set_aside() -> weakref.ref[Cycle]:
    cycle = Cycle()
    gc.collect()
    gc.freeze()
    return weakref.ref(cycle)


def test_an_idle_process_looks_at_the_oldest_generation_every_minute() -> None:
    minder, dead = Garbage(0.0), dead_in_the_oldest_generation()
    minder.look(YOUNG_S, 0.0)
    assert dead() is not None
    minder.look(OLD_S, 0.0)
    assert dead() is None


def test_a_busy_one_is_not_held_up_but_not_spared_for_ever() -> None:
    minder, dead = Garbage(0.0), dead_in_the_oldest_generation()
    minder.look(OLD_S, 1.0)
    assert dead() is not None
    minder.look(OLD_S * PATIENCE, 1.0)
    assert dead() is None


def test_what_was_set_aside_has_its_turn() -> None:
    minder, dead = Garbage(0.0), dead_among_those_set_aside()
    minder.look(OLD_S, 0.0)
    assert dead() is not None
    minder.look(ALL_S, 0.0)
    assert dead() is None


def test_much_that_lives_is_set_aside_and_little_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    minder = Garbage(0.0)
    monkeypatch.setattr(garbage, "LONG_S", 1e9)
    minder.look(OLD_S, 0.0)
    assert gc.get_freeze_count() == 0
    monkeypatch.setattr(garbage, "LONG_S", 0.0)
    minder.look(2 * OLD_S, 0.0)
    assert gc.get_freeze_count() > 0


async def test_a_running_process_does_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LAG_PERIOD_S", 0.001)
    monkeypatch.setattr(garbage, "OLD_S", 0.0)
    dead = dead_in_the_oldest_generation()
    watching = asyncio.create_task(metrics.watch_loop({}))
    async with asyncio.timeout(20):
        while dead() is not None:  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.01)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
