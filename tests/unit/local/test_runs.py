"""Checks are run when they should be, beside each other, and their results arrive."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from rostra.errors import NotReady
from rostra.local import runs
from rostra.local.checks.outcome import Outcome, passing
from rostra.local.runs import CheckRuns
from rostra.model.catalog import Check, CheckDefinition, HealthStatus, Service
from rostra.model.consistency import Consistency
from rostra.model.topics import Topic, Value
from rostra.views.reader import Reader


class Runner:
    """Runs as its name says."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.bench = bench
        self.name = name

    async def run(self) -> Outcome:
        self.bench.begun.append(self.name)
        if self.name.startswith("hangs"):
            try:
                await asyncio.Event().wait()
            finally:
                self.bench.stopped.append(self.name)
        if self.name.startswith("broken"):
            raise ZeroDivisionError("a bug")
        return passing(self.name)


class Views:
    """A reader of one node's entries, which change."""

    def __init__(self) -> None:
        self.entries: list[Value] = []
        self.index = 0
        self.ready = True
        self.moved = asyncio.Event()

    def set(self, *entries: Value) -> None:
        self.entries, self.index = list(entries), self.index + 1
        self.moved.set()

    async def read(self, topics: Sequence[Topic], consistency: Consistency) -> Any:
        if not self.ready:
            raise NotReady("no snapshot yet")
        entries = list(self.entries)
        return SimpleNamespace(views=(SimpleNamespace(values=lambda: entries, index=self.index),))

    async def wait(self, topics: Sequence[Topic], changed: Callable[[Any], bool], *, timeout_s: float) -> Any:
        while not changed(SimpleNamespace(views=(SimpleNamespace(index=self.index),))):
            self.moved.clear()
            await self.moved.wait()


class Bench:
    def __init__(self) -> None:
        self.begun: list[str] = []
        self.stopped: list[str] = []
        self.results: list[tuple[str, Outcome]] = []
        self.views = Views()
        reader: Reader = self.views  # type: ignore[assignment]
        self.runs = CheckRuns("n1", reader, random.Random(1), observed=self.see, followed=self.see)
        self.news = asyncio.Event()

    def see(self, check_id: str, outcome: Outcome) -> None:
        self.results.append((check_id, outcome))
        self.news.set()

    def follow(self, name: str, interval_s: float = 0.001) -> None:
        self.runs.follow(name, check(name, CheckDefinition(http=name, interval_s=interval_s)), 4096)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60.0):
            while not condition():
                self.news.clear()
                await self.news.wait()

    def count(self, name: str) -> int:
        return sum(1 for each, _ in self.results if each == name)


def check(name: str, definition: CheckDefinition) -> Check:
    return Check("n1", name, name, definition=definition, type="http")


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    bench = Bench()

    def make(definition: CheckDefinition, dialer: object, limit: int) -> Runner | None:
        return Runner(bench, definition.http) if definition.http else None

    monkeypatch.setattr(runs, "runner_for", make)
    monkeypatch.setattr(runs, "RETRY_S", 0.001)
    task = asyncio.create_task(bench.runs.run())
    yield bench
    task.cancel()
    await asyncio.wait([task])


async def test_checks_run_again_and_again(bench: Bench) -> None:
    bench.follow("a")
    await bench.until(lambda: bench.count("a") >= 3)


async def test_checks_that_hang_delay_no_other(bench: Bench) -> None:
    for number in range(200):
        bench.follow(f"hangs {number}")
    bench.follow("quick")
    await bench.until(lambda: bench.count("quick") >= 20 and len(set(bench.begun)) == 201)
    assert bench.runs.running >= 200
    assert all(bench.begun.count(name) == 1 for name in bench.begun if name.startswith("hangs"))


async def test_a_bug_in_a_check_is_a_critical_result_and_the_rest_goes_on(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "rostra.local"):
        bench.follow("broken")
        bench.follow("a")
        await bench.until(lambda: bench.count("broken") >= 2 and bench.count("a") >= 2)
    outcome = next(outcome for name, outcome in bench.results if name == "broken")
    assert outcome == Outcome(HealthStatus.CRITICAL, "ZeroDivisionError: a bug")
    assert caplog.records


async def test_a_check_that_is_removed_is_stopped_and_not_heard_of_again(bench: Bench) -> None:
    bench.follow("hangs")
    bench.follow("a")
    await bench.until(lambda: "hangs" in bench.begun and bench.count("a") >= 1)
    bench.runs.follow("hangs", None, 0)
    bench.runs.follow("a", None, 0)
    seen = len(bench.results)
    bench.follow("b")
    await bench.until(lambda: bench.count("b") >= 5)
    assert ({name for name, _ in bench.results[seen:]}, bench.stopped) == ({"b"}, ["hangs"])
    assert bench.runs.running <= 1


async def test_a_check_whose_definition_is_the_same_goes_on_undisturbed_and_one_that_changes_begins_anew(bench: Bench) -> None:
    bench.follow("hangs")
    bench.follow("a")
    await bench.until(lambda: "hangs" in bench.begun and bench.count("a") >= 1)
    bench.follow("hangs")
    await bench.until(lambda: bench.count("a") >= 5)
    assert bench.begun.count("hangs") == 1
    bench.follow("hangs", 0.002)
    await bench.until(lambda: bench.begun.count("hangs") == 2)


async def test_an_alias_follows_another_node_by_the_views(bench: Bench) -> None:
    bench.views.ready = False
    bench.runs.follow("al", check("al", CheckDefinition(alias_node="n2", alias_service="web")), 4096)
    bench.follow("a")
    await bench.until(lambda: bench.count("a") >= 3)
    assert bench.count("al") == 0
    bench.views.ready = True
    await bench.until(lambda: bench.count("al") == 1)
    web = Service("web", "web")
    bench.views.set(web, Check("n2", "w", "w", HealthStatus.WARNING, output="hmm", service_id="web"))
    await bench.until(lambda: bench.count("al") == 2)
    bench.views.set(web, Check("n2", "other", "other", service_id="other"))
    await bench.until(lambda: bench.count("al") == 3)
    assert [outcome.output for name, outcome in bench.results if name == "al"] == [
        "Service web could not be found on node n2",
        'Aliased check "w" failing: hmm',
        "No checks found.",
    ]


async def test_an_alias_that_is_removed_is_not_followed_any_more(bench: Bench) -> None:
    bench.runs.follow("al", check("al", CheckDefinition(alias_node="n2")), 4096)
    await bench.until(lambda: bench.count("al") == 1)
    bench.runs.follow("al", None, 0)
    bench.views.set(Check("n2", "n", "n"))
    bench.follow("a")
    await bench.until(lambda: bench.count("a") >= 3)
    assert bench.count("al") == 1
