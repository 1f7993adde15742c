"""A change is durable before it is in force, or it has never been."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial

import pytest

from rostra.errors import BadRequest, Busy, NotFound, RostraError
from rostra.local.changes import MAX_WAITING, Change, Changes
from rostra.local.core import LocalState
from rostra.local.storage import LocalStore, Record
from rostra.model.catalog import Node, Service


class Disk(LocalStore):
    """Keeps records in memory; can be held up, and can fail."""

    def __init__(self, records: Mapping[str, Record] | None = None) -> None:
        super().__init__(None)
        self.records = dict(records or {})
        self.begun = 0
        self.writes = 0
        self.failure = ""
        self.free = threading.Event()
        self.free.set()

    @property
    def keeps(self) -> bool:
        return True

    def open(self) -> dict[str, Record]:
        return dict(self.records)

    def write(self, changes: Mapping[str, Record | None]) -> None:
        self.begun += 1
        assert self.free.wait(60.0)
        self.writes += 1
        if self.failure:
            raise RostraError(self.failure)
        for key, record in changes.items():
            if record is None:
                del self.records[key]
            else:
                self.records[key] = record


class Bench:
    """A state, a disk, and the changes between them."""

    def __init__(self) -> None:
        self.state = LocalState(Node("n1", "127.0.0.1"))
        self.disk = Disk()
        self.applied: list[list[str]] = []
        self.changes = Changes(self.state, self.disk, lambda: self.applied.append(list(self.state.services())))
        self.changes.open(lambda state, kept, now: None)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    runner = asyncio.create_task(bench.changes.run())
    yield bench
    bench.disk.free.set()
    runner.cancel()
    await asyncio.wait([runner])
    bench.changes.close()


def add(name: str, port: int = 0) -> Change:
    return lambda state, now: state.register_service(Service(name, name, port=port), now=now)


def remove(name: str) -> Change:
    return lambda state, now: state.deregister_service(name, now)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60.0):
        while not condition():  # noqa: ASYNC110 - a thread is what is waited for
            await asyncio.sleep(0)


async def test_a_change_is_on_disk_when_it_is_acknowledged(bench: Bench) -> None:
    await bench.changes.make(add("web"))
    assert list(bench.disk.records) == ["service\0web"]
    await bench.changes.make(remove("web"))
    assert (bench.disk.records, bench.state.services()) == ({}, {})


async def test_a_change_is_not_in_force_before_it_is_on_disk(bench: Bench) -> None:
    bench.disk.free.clear()
    change = asyncio.create_task(bench.changes.make(add("web")))
    for _ in range(20):
        await asyncio.sleep(0)
    assert (bench.state.services(), change.done()) == ({}, False)
    bench.disk.free.set()
    await change
    assert list(bench.state.services()) == ["web"]


async def test_a_change_that_cannot_be_kept_has_never_been(bench: Bench) -> None:
    await bench.changes.make(add("web"))
    applied = len(bench.applied)
    bench.disk.failure = "the disk is full"
    for change in (add("new"), add("web", 81), remove("web")):
        with pytest.raises(RostraError, match="the disk is full"):
            await bench.changes.make(change)
    assert (list(bench.state.services()), bench.state.services()["web"].port, len(bench.applied)) == (["web"], 0, applied)
    bench.disk.failure = ""
    await bench.changes.make(add("new"))
    assert sorted(bench.disk.records) == ["service\0new", "service\0web"]


async def test_a_change_that_is_refused_touches_neither_disk_nor_state(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.changes.make(remove("web"))
    with pytest.raises(BadRequest):
        await bench.changes.make(add(""))
    assert (bench.disk.writes, bench.state.services()) == (0, {})


async def test_those_that_wait_go_to_disk_together_and_one_that_is_refused_holds_up_none(bench: Bench) -> None:
    bench.disk.free.clear()
    first = asyncio.create_task(bench.changes.make(add("first")))
    await until(lambda: bench.disk.begun == 1)
    rest = [asyncio.create_task(bench.changes.make(change)) for change in (add("a"), remove("nothing"), add("b"), add("a", 7))]
    await until(lambda: len(bench.changes._waiting) == 4)
    bench.disk.free.set()
    results = await asyncio.gather(first, *rest, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), type(None), NotFound, type(None), type(None)]
    assert bench.disk.writes == 2
    assert (sorted(bench.disk.records), bench.state.services()["a"].port) == (["service\0a", "service\0b", "service\0first"], 7)


async def test_more_than_may_wait_are_refused(bench: Bench) -> None:
    bench.disk.free.clear()
    first = asyncio.create_task(bench.changes.make(add("first")))
    await until(lambda: bench.disk.begun == 1)
    waiting = [asyncio.create_task(bench.changes.make(add(f"s{number}"))) for number in range(MAX_WAITING)]
    await until(lambda: len(bench.changes._waiting) == MAX_WAITING)
    with pytest.raises(Busy):
        await bench.changes.make(add("one too many"))
    bench.disk.free.set()
    await asyncio.gather(first, *waiting)
    assert len(bench.state.services()) == MAX_WAITING + 1


async def test_a_caller_who_has_gone_disturbs_nobody(bench: Bench) -> None:
    bench.disk.free.clear()
    gone = asyncio.create_task(bench.changes.make(add("gone")))
    await until(lambda: bench.disk.begun == 1)
    gone.cancel()
    other = asyncio.create_task(bench.changes.make(add("other")))
    bench.disk.free.set()
    await other
    assert list(bench.state.services()) == ["gone", "other"]


async def test_what_was_kept_and_is_not_wanted_any_more_is_removed_at_the_start() -> None:
    state = LocalState(Node("n1", "127.0.0.1"))
    disk = Disk({"service\0a": Service("a", "a"), "service\0b": Service("b", "b")})

    def take(state: LocalState, kept: dict[str, Record], now: float) -> None:
        state.restore([record for record in kept.values() if isinstance(record, Service) and record.id == "a"], [], now)

    Changes(state, disk, partial(lambda: None)).open(take)
    assert (list(disk.records), list(state.services()), disk.writes) == (["service\0a"], ["a"], 1)
