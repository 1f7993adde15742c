"""Keeps the catalog in line with what this node offers: at once on a change, and as a whole from time to time."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client import Counter

from rostra.errors import BadRequest, Conflict, NotFound, RostraError, Unavailable, Unsupported
from rostra.local.anti_entropy import AntiEntropy, Step
from rostra.local.core import LocalState
from rostra.model.catalog import CommandGroup, Registration
from rostra.model.consistency import Consistency
from rostra.model.topics import NODES, Topic, TopicKind
from rostra.views.reader import Reader, Reading, Writer

log = logging.getLogger("rostra.local")

FULL_SYNC_S: Final = 60.0
"""Consul's interval for up to 128 nodes; it grows by as much with each doubling."""
RETRY_S: Final = 15.0
FIRST_RETRIES_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
UNDISTURBED_S: Final = 1.0
"""After a failure, so long at most are news no reason to try again at once: a thousand checks may have some."""
WATCH_S: Final = 600.0
SPREAD_S: Final = 0.001
"""By node of the cluster, over which all agents compare after a restore: a thousand a second."""
AT_ONCE: Final = 32
"""Commands under way at a time, as one write: applying them takes about half a millisecond of every catalog's loop."""

REFUSALS: Final = (BadRequest, Conflict, NotFound, Unsupported)
"""What may be the fault of one command of several."""

_PUSHES = Counter("rostra_local_pushes_total", "Commands sent to the catalog", ["outcome"])


class Push:
    """Brings the catalog in line with ``state``. ``synced`` says whether it has been once, but for what the catalog refuses."""

    def __init__(
        self, state: LocalState, reader: Reader, writer: Writer, rng: random.Random, *, check_update_interval_s: float = 300.0
    ) -> None:
        self.synced = False
        self._state = state
        self._difference = AntiEntropy(state, check_update_interval_s=check_update_interval_s)
        self._reader = reader
        self._writer = writer
        self._rng = rng
        self._news = asyncio.Event()
        self._failures = 0
        self._compare_at = 0.0
        self._pushed: set[str] = set()

    def note(self, keys: Iterable[str]) -> None:
        """These have changed."""
        deadline = self._difference.deadline
        self._difference.note(keys, asyncio.get_running_loop().time())
        if not self._difference.is_even or deadline != self._difference.deadline:
            self._news.set()

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_in_line(), name="local: anti-entropy")
            group.create_task(self._watch_loads(), name="local: loads")

    async def _watch_loads(self) -> None:
        """What the catalog has of this node came anew as a whole: a backup was restored, or another server is asked. Everything is
        compared soon, not by all nodes at once."""
        topic = Topic(TopicKind.NODE, self._state.node.name)
        seen: int | None = None
        while True:
            try:
                reading = await self._reader.wait((topic, NODES), lambda reading: _loads(reading) not in (0, seen), timeout_s=WATCH_S)  # noqa: B023
            except RostraError:
                await asyncio.sleep(RETRY_S)
                continue
            loads, nodes = _loads(reading), len(reading.views[1])
            if seen is not None and loads not in (0, seen):
                loop = asyncio.get_running_loop()
                self._compare_at = min(self._compare_at, loop.time() + nodes * SPREAD_S * self._rng.random())
                self._news.set()
            seen = loads or seen

    async def _keep_in_line(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            pause = await self._round(loop)
            if self._failures:
                undisturbed = min(pause, UNDISTURBED_S)
                await asyncio.sleep(undisturbed)
                pause -= undisturbed
            elif (deadline := self._difference.deadline) is not None:
                pause = min(pause, max(0.0, deadline - loop.time()))
            try:
                async with asyncio.timeout(pause):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _round(self, loop: asyncio.AbstractEventLoop) -> float:
        """Compares when it is time to, and pushes what differs; returns the seconds until it must be called again."""
        try:
            if self._compare_at <= loop.time():
                await self._compare(loop)
            failure = await self._push_all(self._difference.steps(loop.time()))
        except RostraError as error:
            failure = error
        if failure is None or isinstance(failure, BadRequest):
            self._report_own()
            self.synced = True
        if failure is not None:
            self._failures += 1
            self._compare_at = 0.0
            first = self._failures <= len(FIRST_RETRIES_S)
            may_pass = first and isinstance(failure, Unavailable)  # a refusal does not pass by itself
            log.log(logging.DEBUG if may_pass else logging.WARNING, "catalog not in line yet", extra={"reason": failure})
            return (FIRST_RETRIES_S[self._failures - 1] if first else RETRY_S) * self._rng.uniform(1.0, 1.5)
        self._failures = 0
        return self._compare_at - loop.time()

    async def _compare(self, loop: asyncio.AbstractEventLoop) -> None:
        topic = Topic(TopicKind.NODE, self._state.node.name)
        node, nodes = (await self._reader.read((topic, NODES), Consistency.DEFAULT)).views
        self._difference.compare(node.values(), loop.time())
        self._compare_at = loop.time() + full_sync_interval_s(len(nodes)) * self._rng.uniform(1.0, 1.5)

    async def _push_all(self, steps: Sequence[Step]) -> RostraError | None:
        """One that is refused holds up none of the others; returns the failure that weighs most."""
        failures: list[RostraError] = []
        # The node is told alone: everything else would only make it again.
        first = 1 if steps and isinstance(steps[0].command, Registration) and not steps[0].command.skip_node_update else 0
        for lot in (steps[:first], *(steps[start : start + AT_ONCE] for start in range(first, len(steps), AT_ONCE))):
            failures += await self._push_lot(lot)
            if any(isinstance(failure, Unavailable) for failure in failures):
                break
        return max(failures, key=lambda failure: isinstance(failure, Unavailable), default=None)

    async def _push_lot(self, lot: Sequence[Step]) -> list[RostraError]:
        """As one write, so that a backlog keeps the cluster as busy as a few registrations would; if that is refused, each as its own."""
        if len(lot) > 1:
            try:
                await self._push(lot)
            except RostraError as error:
                if not isinstance(error, REFUSALS):
                    return [error]
                log.debug("a group was refused: each is told alone", extra={"commands": len(lot)})
            else:
                return []
        failures: list[RostraError] = []

        async def push(step: Step) -> None:
            try:
                await self._push([step])
            except RostraError as error:
                failures.append(error)

        async with asyncio.TaskGroup() as group:
            for step in lot:
                group.create_task(push(step), name=f"push: {step.action}")
        return failures

    async def _push(self, steps: Sequence[Step]) -> None:
        """All of them or none."""
        loop = asyncio.get_running_loop()
        commands = [step.command for step in steps]
        try:
            await self._writer.write(commands[0] if len(commands) == 1 else CommandGroup(tuple(commands)))
        except BaseException as error:
            for step in steps:
                self._difference.failed(step, loop.time())
            if isinstance(error, RostraError):
                _PUSHES.labels("failed").inc(len(steps))
            raise
        _PUSHES.labels("done").inc(len(steps))
        for step in steps:
            self._difference.done(step, loop.time())
            if isinstance(step.command, Registration) and step.command.service is not None:
                self._pushed.add(step.command.service.id)
            log.info("synced %s", step.action)

    def _report_own(self) -> None:
        """The node's own services are often registered by the leader first; an operator is told that they are there all the same."""
        if not self.synced:
            for service_id in self._state.own_services().keys() - self._pushed:
                log.info("synced service '%s'", service_id)


def _loads(reading: Reading) -> int:
    """Of what the catalog has of this node; 0 where it has nothing."""
    view = reading.views[0]
    return view.loads if len(view) else 0


def full_sync_interval_s(nodes: int) -> float:
    """A minute for up to 128 nodes, and one more with each doubling (https://developer.hashicorp.com/consul/docs/architecture/anti-entropy)."""
    return FULL_SYNC_S * (1 if nodes <= 128 else math.ceil(math.log2(nodes / 128)) + 1)
