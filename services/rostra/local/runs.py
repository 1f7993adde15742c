"""Runs the checks: each in a task of its own, so that one that is slow or hangs delays no other."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from prometheus_client import Counter, Gauge

from rostra.errors import RostraError
from rostra.local.checks.alias import alias_outcome
from rostra.local.checks.dialing import Dialer
from rostra.local.checks.kinds import runner_for
from rostra.local.checks.outcome import Outcome, Runner, critical
from rostra.local.schedule import Schedule
from rostra.model.catalog import Check, CheckDefinition, Service
from rostra.model.consistency import Consistency
from rostra.model.topics import Topic, TopicKind
from rostra.views.reader import Reader, Reading

log = logging.getLogger("rostra.local")

WATCH_S: Final = 600.0
"""Longest wait for a change behind an alias before it is looked at all the same."""
RETRY_S: Final = 1.0

_RUNS = Counter("rostra_local_check_runs_total", "Runs of checks that ended", ["type", "status"])
_RUNNING = Gauge("rostra_local_checks_running", "Checks that are running now")

Observe = Callable[[str, Outcome], None]


@dataclass(slots=True)
class _Followed:
    """A check as it is run now."""

    definition: CheckDefinition
    type: str
    runner: Runner | None
    task: asyncio.Task[None] | None = None


class CheckRuns:
    """``observed`` gets the result of each run, ``followed`` that of an alias; never for a check that has been removed or changed since."""

    def __init__(self, node: str, reader: Reader, rng: random.Random, *, observed: Observe, followed: Observe) -> None:
        self._node = node
        self._reader = reader
        self._observed = observed
        self._followed = followed
        self._schedule = Schedule(rng)
        self._dialer = Dialer()
        self._checks: dict[str, _Followed] = {}
        self._group: asyncio.TaskGroup | None = None
        self._changed = asyncio.Event()

    @property
    def running(self) -> int:
        """How many run at this moment."""
        return sum(1 for each in self._checks.values() if each.task is not None)

    def follow(self, check_id: str, check: Check | None, output_max_size: int) -> None:
        """The check has become this, or nothing. One whose definition is the same goes on undisturbed."""
        held = self._checks.get(check_id)
        if held is not None:
            if check is not None and check.definition == held.definition:
                return
            del self._checks[check_id]
            self._schedule.remove(check_id)
            if held.task is not None:
                held.task.cancel()
        if check is None:
            return
        runner = runner_for(check.definition, self._dialer, output_max_size)
        followed = _Followed(check.definition, check.type, runner)
        if runner is not None:
            self._checks[check_id] = followed
            self._schedule.add(check_id, check.definition.interval_s, asyncio.get_running_loop().time())
            self._changed.set()
        elif check.definition.alias_node and check.definition.alias_node.lower() != self._node.lower():
            self._checks[check_id] = followed
            if self._group is not None:
                self._start_watch(check_id, followed)

    async def run(self) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as self._group:
                for check_id, held in self._checks.items():
                    if held.runner is None:
                        self._start_watch(check_id, held)
                while True:
                    self._changed.clear()
                    for check_id in self._schedule.due(loop.time()):
                        held = self._checks[check_id]
                        held.task = self._group.create_task(self._run_one(check_id, held), name=f"check: {check_id}")
                    deadline = self._schedule.deadline
                    try:
                        async with asyncio.timeout_at(deadline):
                            await self._changed.wait()
                    except TimeoutError:
                        continue
        finally:
            self._group = None
            self._dialer.close()

    async def _run_one(self, check_id: str, held: _Followed) -> None:
        assert held.runner is not None
        with _RUNNING.track_inprogress():
            try:
                outcome = await held.runner.run()
            except Exception as error:  # a bug in one kind of check must not take the agent with it
                log.exception("check failed to run", extra={"check": check_id})
                outcome = critical(f"{type(error).__name__}: {error}")
        if self._checks.get(check_id) is not held:
            return
        held.task = None
        self._schedule.ended(check_id, asyncio.get_running_loop().time())
        self._changed.set()
        _RUNS.labels(held.type, outcome.status.value).inc()
        self._observed(check_id, outcome)

    def _start_watch(self, check_id: str, held: _Followed) -> None:
        assert self._group is not None
        held.task = self._group.create_task(self._watch(check_id, held), name=f"alias: {check_id}")

    async def _watch(self, check_id: str, held: _Followed) -> None:
        """Follows a node by the views. While they cannot be had, the alias stays as it is: silence is no evidence."""
        target = held.definition
        topics = (Topic(TopicKind.NODE, target.alias_node),)
        while True:
            try:
                (view,) = (await self._reader.read(topics, Consistency.STALE)).views
                values = view.values()
                exists = any(isinstance(value, Service) and value.id == target.alias_service for value in values)
                checks = [value for value in values if isinstance(value, Check)]
                if self._checks.get(check_id) is held:
                    self._followed(check_id, alias_outcome(target.alias_node, target.alias_service, exists=exists, checks=checks))
                await self._reader.wait(topics, partial(_has_moved, view.index), timeout_s=WATCH_S)
            except RostraError as error:
                log.debug("alias cannot be followed", extra={"check": check_id, "reason": error})
                await asyncio.sleep(RETRY_S)


def _has_moved(index: int, reading: Reading) -> bool:
    return reading.views[0].index != index
