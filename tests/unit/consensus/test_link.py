"""What waits in front of a peer's stream, and what leaves together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from rostra.consensus.link import ExchangeStream, Link, Way
from rostra.consensus.messages import NO_ANSWER, AppendRequest, Message, ReadIndexReply
from rostra.consensus.model import Entry, PeerId
from rostra.errors import RostraError

LEADER, PEER = PeerId("n1", "s1"), PeerId("n2", "s2")
DEADLINE_S = 20.0


class Stream:
    """Keeps what is sent, batch by batch."""

    def __init__(self) -> None:
        self.batches: list[list[Message]] = []
        self.sent = asyncio.Event()

    async def send(self, batch: Sequence[Message]) -> None:
        self.batches.append(list(batch))
        self.sent.set()

    async def refusal(self) -> RostraError:
        return cast(RostraError, await asyncio.get_running_loop().create_future())


def notice(commit_index: int) -> AppendRequest:
    return AppendRequest("c", LEADER, PEER, 3, NO_ANSWER, 9, 3, commit_index)


def append(commit_index: int) -> AppendRequest:
    return AppendRequest("c", LEADER, PEER, 3, 7, 9, 3, commit_index, [Entry(10, 3, 2, 0, b"x")])


@asynccontextmanager
async def open_link() -> AsyncIterator[tuple[Link, Stream]]:
    link, stream = Link(cast(Way, None), PEER), Stream()
    async with asyncio.timeout(DEADLINE_S):
        pump = asyncio.create_task(link._pump(cast(ExchangeStream, stream)))
        await asyncio.sleep(0)
        yield link, stream
        pump.cancel()


async def first_batch(puts: Callable[[Link], Any]) -> list[Message]:
    async with open_link() as (link, stream):
        puts(link)
        await stream.sent.wait()
        return stream.batches[0]


async def test_a_notice_that_nobody_waits_for_rides_on_the_next_append() -> None:
    def puts(link: Link) -> None:
        link.put([notice(9)], unhurried=True)
        link.put([append(9)])

    assert await first_batch(puts) == [append(9)]


async def test_a_notice_leaves_by_itself_when_nothing_follows() -> None:
    assert await first_batch(lambda link: link.put([notice(9)], unhurried=True)) == [notice(9)]


async def test_only_the_latest_notice_is_sent() -> None:
    def puts(link: Link) -> None:
        for index in (7, 8, 9):
            link.put([notice(index)], unhurried=True)

    assert await first_batch(puts) == [notice(9)]


async def test_an_append_that_knows_less_does_not_stand_for_a_notice() -> None:
    def puts(link: Link) -> None:
        link.put([notice(9)], unhurried=True)
        link.put([append(8)])

    assert await first_batch(puts) == [notice(9), append(8)]


async def test_a_reader_s_answer_takes_the_notice_along_and_comes_after_it() -> None:
    answer = ReadIndexReply("c", LEADER, PEER, 3, context=1, index=9)

    def puts(link: Link) -> None:
        link.put([notice(9)], unhurried=True)
        link.put([answer])

    assert await first_batch(puts) == [notice(9), answer]


async def test_a_notice_in_a_hurry_does_not_wait() -> None:
    async with open_link() as (link, stream):
        link.put([notice(9)])
        for _ in range(5):  # turns of the loop, no time
            await asyncio.sleep(0)
        assert stream.batches == [[notice(9)]]
