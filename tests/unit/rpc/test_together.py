"""Tasks that end together."""

from __future__ import annotations

import asyncio

import pytest

from rostra.errors import Unavailable
from rostra.rpc.together import run_together


async def fail(error: Exception) -> None:
    raise error


async def wait_for_ever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("ended")


async def test_the_first_that_fails_ends_the_others_and_its_error_is_raised() -> None:
    ended: list[str] = []
    with pytest.raises(Unavailable):
        await run_together(one=wait_for_ever(ended), two=fail(Unavailable("gone")))
    assert ended == ["ended"]


async def test_an_error_that_is_a_fault_of_ours_comes_before_one_of_the_network() -> None:
    with pytest.raises(ZeroDivisionError):
        await run_together(one=fail(Unavailable("gone")), two=fail(ZeroDivisionError()))


@pytest.mark.parametrize("turns", range(8))
async def test_a_cancellation_is_not_lost_whenever_it_comes(turns: int) -> None:
    ended: list[str] = []

    async def for_ever() -> None:
        while True:
            try:
                await run_together(one=wait_for_ever(ended), two=fail(Unavailable("gone")))
            except Unavailable:
                await asyncio.sleep(0)

    task = asyncio.create_task(for_ever())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=30)
    assert task in done
    assert task.cancelled()
