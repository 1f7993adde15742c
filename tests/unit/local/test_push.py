"""The catalog is brought in line, whatever becomes of its leader meanwhile."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from rostra.errors import BadRequest, NoLeader, RostraError, UnknownOutcome
from rostra.local import push
from rostra.local.core import LocalState
from rostra.local.push import Push, full_sync_interval_s
from rostra.model.catalog import Command, CommandGroup, Deregistration, HealthStatus, Node, Registration, Service
from rostra.model.consistency import Consistency
from rostra.model.topics import Topic, Value
from rostra.views.reader import Reader, Writer

from .small_catalog import SmallCatalog


class View:
    """What the catalog has of the node."""

    def __init__(self, values: Sequence[Value], loads: int) -> None:
        self.loads = loads
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def values(self) -> Sequence[Value]:
        return self._values


class Cluster:
    """Reader and Writer of a small catalog, which can lose its leader: before it takes a command, or after; what it was about to take it
    may take late, when it has just been read."""

    def __init__(self) -> None:
        self.catalog = SmallCatalog()
        self.failure: RostraError | None = None
        self.takes_before_it_fails = False
        self.refuses: set[str] = set()
        self.takes_late = False
        self.late: list[Registration | Deregistration] = []
        self.writes = 0
        self.written: list[Command] = []
        self.reads = 0
        self.loads = 1
        self.watched = 0
        self.news = asyncio.Event()

    def load(self, catalog: SmallCatalog) -> None:
        """Another catalog is in its place, as after a restore."""
        self.catalog = catalog
        self.loads += 1
        self.news.set()

    async def wait(self, topics: Sequence[Topic], changed: Callable[[Any], bool], *, timeout_s: float) -> Any:
        while not changed(reading := SimpleNamespace(views=(View(self.catalog.values(), self.loads), [None]))):
            self.watched = self.loads
            self.news.clear()
            await self.news.wait()
        return reading

    async def read(self, topics: Sequence[Topic], consistency: Consistency, *, timeout_s: float | None = None) -> Any:
        if self.failure is not None:
            raise self.failure
        self.reads += 1
        values = self.catalog.values()
        for command in self.late:
            self.catalog.take(command)
        self.late = []
        return SimpleNamespace(views=(View(values, self.loads), [None]))

    async def write(self, command: Command, **_: object) -> int:
        assert isinstance(command, Registration | Deregistration | CommandGroup)
        commands = command.commands if isinstance(command, CommandGroup) else (command,)
        self.writes += 1
        self.written += commands
        if any(isinstance(each, Registration) and each.service is not None and each.service.name in self.refuses for each in commands):
            raise BadRequest("no")
        if self.failure is None or self.takes_before_it_fails:
            for each in commands:
                self.catalog.take(each)
        if self.failure is not None:
            self.late += commands if self.takes_late else ()
            raise self.failure
        return self.catalog.index


class Bench:
    """A state whose push runs."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.state = LocalState(Node("n1", "127.0.0.1"), own=[Service("consul", "consul")])
        reader: Reader = cluster  # type: ignore[assignment]
        writer: Writer = cluster  # type: ignore[assignment]
        self.push = Push(self.state, reader, writer, random.Random(1))

    def add(self, name: str, port: int = 0) -> None:
        self.state.register_service(Service(name, name, port=port), now=0.0)
        self.push.note(self.state.take_changes())

    def remove(self, name: str) -> None:
        self.state.deregister_service(name, 0.0)
        self.push.note(self.state.take_changes())

    async def until(self, condition: Callable[[], bool]) -> None:
        task = asyncio.create_task(self.push.run())
        try:
            async with asyncio.timeout(60.0):
                while not condition():
                    assert not task.done() or task.result()
                    await asyncio.sleep(0.001)
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(push, "FIRST_RETRIES_S", (0.001,) * 1000)
    return Bench(Cluster())


def names(bench: Bench) -> list[str]:
    return sorted(bench.cluster.catalog.services)


async def test_the_catalog_is_brought_in_line_at_the_start(bench: Bench) -> None:
    bench.add("web")
    bench.cluster.catalog.services["stray"] = Service("stray", "stray")
    assert not bench.push.synced
    await bench.until(lambda: bench.push.synced)
    assert names(bench) == ["consul", "web"]


async def test_a_change_is_told_at_once_without_another_comparison(bench: Bench) -> None:
    await bench.until(lambda: bench.push.synced)
    reads = bench.cluster.reads
    bench.add("web")
    await bench.until(lambda: "web" in bench.cluster.catalog.services)
    assert bench.cluster.reads == reads


async def test_what_a_restored_catalog_lacks_is_told_at_once(bench: Bench) -> None:
    bench.add("web")
    await bench.until(lambda: bench.push.synced)
    backup = SmallCatalog()
    backup.node = bench.cluster.catalog.node
    bench.cluster.watched = 0

    def is_back() -> bool:
        if bench.cluster.watched and bench.cluster.catalog is not backup:
            bench.cluster.load(backup)
        return bench.cluster.catalog is backup and names(bench) == ["consul", "web"]

    await bench.until(is_back)


@pytest.mark.parametrize("takes_before_it_fails", [False, True])
@pytest.mark.parametrize("failure", [NoLeader(), UnknownOutcome("perhaps")])
async def test_no_change_is_lost_while_there_is_no_leader(bench: Bench, failure: RostraError, takes_before_it_fails: bool) -> None:
    bench.add("old")
    await bench.until(lambda: bench.push.synced)
    bench.cluster.failure, bench.cluster.takes_before_it_fails = failure, takes_before_it_fails
    written = len(bench.cluster.written)
    bench.add("new")
    bench.remove("old")
    await bench.until(lambda: len(bench.cluster.written) > written)
    bench.add("brief")
    bench.remove("brief")
    bench.add("new", 99)
    bench.cluster.failure = None
    await bench.until(lambda: names(bench) == ["consul", "new"] and bench.cluster.catalog.services["new"].port == 99)


async def test_a_command_that_takes_effect_late_does_not_outlast_what_was_said_since(bench: Bench) -> None:
    bench.add("web", 1)
    await bench.until(lambda: bench.push.synced)
    bench.cluster.failure, bench.cluster.takes_late = UnknownOutcome("perhaps"), True
    written = len(bench.cluster.written)
    bench.add("web", 2)
    bench.add("brief")
    await bench.until(lambda: len(bench.cluster.written) >= written + 2)
    bench.add("web", 1)
    bench.remove("brief")
    bench.cluster.failure = None
    reads = bench.cluster.reads
    await bench.until(lambda: bench.cluster.reads > reads and not bench.cluster.late and bench.push.synced)
    await bench.until(lambda: names(bench) == ["consul", "web"] and bench.cluster.catalog.services["web"].port == 1)


async def test_after_a_failure_the_whole_is_compared(bench: Bench) -> None:
    await bench.until(lambda: bench.push.synced)
    bench.cluster.failure = NoLeader()
    written = len(bench.cluster.written)
    bench.add("web")
    await bench.until(lambda: len(bench.cluster.written) > written)
    bench.cluster.failure = None
    bench.cluster.catalog.services["stray"] = Service("stray", "stray")
    await bench.until(lambda: names(bench) == ["consul", "web"])


async def test_a_service_that_the_catalog_refuses_holds_up_no_other(bench: Bench) -> None:
    bench.cluster.refuses = {"a bad"}
    good = [f"s{number}" for number in range(3 * push.AT_ONCE)]
    for name in ("a bad", *good):
        bench.add(name)
    await bench.until(lambda: names(bench) == sorted(["consul", *good]))
    assert bench.cluster.reads == 1
    await bench.until(lambda: bench.push.synced)
    refused = len(bench.cluster.written)
    bench.cluster.refuses = set()
    await bench.until(lambda: "a bad" in names(bench))
    assert len(bench.cluster.written) == refused + 1


async def test_a_backlog_is_told_in_few_writes(bench: Bench) -> None:
    """A thousand writes of their own kept every other write of the process waiting behind them."""
    await bench.until(lambda: bench.push.synced)
    before = bench.cluster.writes
    for number in range(1000):
        bench.add(f"s{number}")
    await bench.until(lambda: len(bench.cluster.catalog.services) == 1001)
    assert bench.cluster.writes - before == math.ceil(1000 / push.AT_ONCE)


async def test_maintenance_and_its_end_reach_the_catalog(bench: Bench) -> None:
    bench.state.set_maintenance("", enable=True, reason="why", now=0.0)
    await bench.until(lambda: "_node_maintenance" in bench.cluster.catalog.checks)
    assert bench.cluster.catalog.checks["_node_maintenance"].status is HealthStatus.CRITICAL
    bench.state.set_maintenance("", enable=False, reason="", now=0.0)
    bench.push.note(bench.state.take_changes())
    await bench.until(lambda: not bench.cluster.catalog.checks)


@pytest.mark.parametrize(("nodes", "seconds"), [(1, 60), (128, 60), (129, 120), (256, 120), (257, 180), (1024, 240), (8192, 420)])
def test_the_whole_is_compared_at_an_interval_that_grows_with_the_cluster(nodes: int, seconds: float) -> None:
    assert full_sync_interval_s(nodes) == seconds
