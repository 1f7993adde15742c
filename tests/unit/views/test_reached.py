"""Waiting for a log index."""

from __future__ import annotations

import asyncio

import pytest

from rostra.views.reached import ReachedIndex


async def test_each_is_woken_when_its_index_is_reached_and_not_before() -> None:
    reached = ReachedIndex()
    waiting = {index: asyncio.create_task(reached.reached(index)) for index in (3, 1, 2)}
    await asyncio.sleep(0)
    reached.advance(2)
    await asyncio.sleep(0)
    assert {index for index, task in waiting.items() if task.done()} == {1, 2}
    reached.restart(1)
    reached.advance(3)
    await asyncio.sleep(0)
    assert waiting[3].done()
    assert not len(reached)


async def test_those_who_gave_up_are_forgotten_though_nothing_is_applied() -> None:
    """As where the catalog has lost its log and is asked on and on."""
    reached = ReachedIndex()
    patient = asyncio.create_task(reached.reached(1))
    for _ in range(1000):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await reached.reached(2)
    assert len(reached) < 50
    reached.advance(1)
    await patient
