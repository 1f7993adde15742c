"""Keeps the catalog in line with what this node offers: at once on a change, and as a whole from time to time."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from prometheus_client import Counter, Gauge

from rostra.errors import RostraError
from rostra.local.core import LocalState, Step
from rostra.local.storage import LocalStore
from rostra.model.catalog import Check, Registration, Service
from rostra.model.consistency import Consistency
from rostra.model.topics import NODES, Topic, TopicKind
from rostra.views.reader import Reader, Writer

log = logging.getLogger("rostra.local")

FULL_SYNC_S: Final = 60.0
"""Consul's interval for up to 128 nodes; it grows by as much with each doubling."""
RETRY_S: Final = 15.0
FIRST_RETRIES_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

_PUSHES = Counter("rostra_local_pushes_total", "Commands sent to the catalog", ["outcome"])
_ENTRIES = Gauge("rostra_local_entries", "Services and checks of this node", ["kind"])

T = TypeVar("T")


class LocalDriver:
    """Owns the state; every change goes through ``change``, which makes it durable before it is acknowledged."""

    def __init__(self, state: LocalState, store: LocalStore, reader: Reader, writer: Writer, rng: random.Random) -> None:
        self.state = state
        self.synced = False
        self._store = store
        self._reader = reader
        self._writer = writer
        self._rng = rng
        self._changed = asyncio.Event()
        self._failures = 0
        self._pushed: set[str] = set()
        self._defined: set[str] = set()
        self._defined_checks: set[str] = set()

    def load(self) -> None:
        """Takes back what was registered before the restart. Checks start critical, or as they were when they have a TTL."""
        services, checks = self._store.load()
        now = asyncio.get_running_loop().time()
        for service in services:
            self.state.register_service(service, now=now)
        for check in checks:
            self.state.register_check(check, now)

    def define_service(self, service: Service, checks: Sequence[Check]) -> None:
        """One from a configuration file: there at every start, so it is not written down."""
        self.change(lambda state, now: state.register_service(service, checks, replace_checks=True, now=now), durable=False)
        self._defined.add(service.id)

    def define_check(self, check: Check) -> None:
        """Likewise."""
        self.change(lambda state, now: state.register_check(check, now), durable=False)
        self._defined_checks.add(check.check_id or check.name)

    def change(self, make: Callable[[LocalState, float], T], *, durable: bool = True) -> T:
        """Runs ``make`` with the state and the time, keeps the outcome on disk, and wakes the push. Raises what ``make`` does."""
        result = make(self.state, asyncio.get_running_loop().time())
        if durable:
            self._keep()
        _ENTRIES.labels("services").set(len(self.state.services()))
        _ENTRIES.labels("checks").set(len(self.state.checks()))
        self._changed.set()
        return result

    def _keep(self) -> None:
        services = [service for service in self.state.services().values() if service.id not in self._defined]
        checks = [
            check
            for check in self.state.checks().values()
            if check.type != "maintenance" and check.check_id not in self._defined_checks and check.service_id not in self._defined
        ]
        self._store.save(services, checks)

    async def run(self) -> None:
        """Pushes for ever."""
        while True:
            self._changed.clear()
            pause = await self._round()
            deadline = self.state.deadline
            now = asyncio.get_running_loop().time()
            if deadline is not None:
                pause = min(pause, max(0.0, deadline - now))
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                self.state.tick(asyncio.get_running_loop().time())

    async def _round(self) -> float:
        """Compares and pushes; returns the seconds until the next whole comparison."""
        try:
            topic = Topic(TopicKind.NODE, self.state.node.name)
            reading = await self._reader.read((topic, NODES), Consistency.DEFAULT)
            node, nodes = reading.views
            count = len(nodes)
            for step in self.state.plan(node.values(), asyncio.get_running_loop().time()):
                await self._push(step)
            self._report_own()
        except RostraError as error:
            self._failures += 1
            level = logging.DEBUG if self._failures <= len(FIRST_RETRIES_S) else logging.WARNING
            log.log(level, "catalog not in line yet", extra={"reason": error})
            pause = FIRST_RETRIES_S[self._failures - 1] if self._failures <= len(FIRST_RETRIES_S) else RETRY_S
            return pause * self._rng.uniform(1.0, 1.5)
        self._failures = 0
        self.synced = True
        return full_sync_interval_s(count) * self._rng.uniform(1.0, 1.5)

    def _report_own(self) -> None:
        """The node's own services are often registered by the leader first; an operator is told that they are there all the same."""
        if not self.synced:
            for service_id in self.state.own_services().keys() - self._pushed:
                log.info("synced service '%s'", service_id)

    async def _push(self, step: Step) -> None:
        try:
            await self._writer.write(step.command)
        except RostraError:
            _PUSHES.labels("failed").inc()
            raise
        _PUSHES.labels("done").inc()
        if isinstance(step.command, Registration) and step.command.service is not None:
            self._pushed.add(step.command.service.id)
        log.info("synced %s", step.action)


def full_sync_interval_s(nodes: int) -> float:
    """A minute for up to 128 nodes, and one more with each doubling (consul-surface section 5.2)."""
    return FULL_SYNC_S * (1 if nodes <= 128 else math.ceil(math.log2(nodes / 128)) + 1)
