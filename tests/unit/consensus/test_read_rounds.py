"""Rounds of a ReadIndex stream: by a callback first, by a task where that brings nothing."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from rostra.consensus.answers import Answers
from rostra.consensus.driver import Consensus
from rostra.consensus.model import ReadMode
from rostra.consensus.read_rounds import ReadRounds
from rostra.errors import Busy, NoLeader
from rostra.v1 import common_pb2, consensus_pb2


class FakeConsensus:
    """``batch`` is the first attempt; later ones go by ``read_index``, which finds ``later`` or no leader."""

    read_attempt_s = 0.02

    def __init__(self) -> None:
        self.batch: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.later = 0
        self.tries: list[tuple[ReadMode, float]] = []
        self.is_busy = False

    def join_read(self, mode: ReadMode) -> asyncio.Future[int]:
        if self.is_busy:
            raise Busy("too many")
        return self.batch

    def forget_read(self, batch: asyncio.Future[int]) -> None:
        batch.set_result(0)

    async def read_index(self, mode: ReadMode, *, timeout_s: float) -> int:
        self.tries.append((mode, timeout_s))
        if not self.later:
            raise NoLeader
        return self.later


class World:
    def __init__(self) -> None:
        self.consensus = FakeConsensus()
        self.answers = Answers[consensus_pb2.ReadIndexResponse](8)
        self.rounds = ReadRounds(cast(Consensus, self.consensus), self.answers)
        self.nothing = self._take_nothing()
        self.stream = self.answers.of(self.nothing)

    async def _take_nothing(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def ask(self, number: int, timeout_ms: int = 5000) -> None:
        await self.answers.begin()
        self.rounds.start(consensus_pb2.ReadRound(round=number, consistency=common_pb2.CONSISTENCY_CONSISTENT, timeout_ms=timeout_ms))

    async def close(self) -> None:
        await self.stream.aclose()
        self.nothing.close()

    async def answer(self) -> Any:
        async with asyncio.timeout(20):
            return (await anext(self.stream)).result


async def test_all_rounds_of_a_batch_are_answered_by_its_index() -> None:
    world = World()
    await world.ask(1)
    await world.ask(2)
    world.consensus.batch.set_result(7)
    assert [(each.round, each.index) for each in (await world.answer(), await world.answer())] == [(1, 7), (2, 7)]
    assert world.consensus.tries == []
    await world.close()


async def test_a_round_whose_first_attempt_brings_nothing_is_tried_again_for_the_rest_of_its_time() -> None:
    world = World()
    world.consensus.later = 9
    await world.ask(1)
    result = await world.answer()  # the batch is forgotten after ``read_attempt_s``
    assert (result.round, result.index) == (1, 9)
    ((mode, timeout_s),) = world.consensus.tries
    assert mode is ReadMode.QUORUM
    assert timeout_s < 5.0 - FakeConsensus.read_attempt_s / 2
    await world.close()


async def test_what_a_round_is_refused_with_is_its_answer() -> None:
    world = World()
    await world.ask(1, timeout_ms=10)
    assert (await world.answer()).error.kind == "NoLeader"
    world.consensus.is_busy = True
    await world.ask(2)
    result = await world.answer()
    assert (result.round, result.index) == (2, 0)
    assert "too many" in result.error.message
    await world.close()


async def test_a_stream_that_has_ended_tries_nothing_again() -> None:
    world = World()
    await world.ask(1)
    await world.ask(2)
    world.rounds.close()
    world.consensus.batch.set_result(0)
    other = World()
    await other.ask(1)
    other.consensus.batch.set_result(7)
    await other.answer()  # by then whoever waited for the first batch has been told
    assert world.consensus.tries == []
    for each in (world, other):
        await each.close()
