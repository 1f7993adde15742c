"""The clockwork of the local role: changes, check runs and time go into the state, and what they change goes to the catalog."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from prometheus_client import Gauge

from rostra.errors import NotFound, RostraError
from rostra.local.changes import Change, Changes
from rostra.local.checks.outcome import Outcome
from rostra.local.core import Definitions, LocalState
from rostra.local.push import Push
from rostra.local.rules import is_script
from rostra.local.runs import CheckRuns
from rostra.local.storage import LocalStore, Record
from rostra.local.ttl_states import TtlStates
from rostra.model.catalog import Check, HealthStatus, Service
from rostra.model.topics import SEPARATOR
from rostra.views.reader import Reader, Writer

log = logging.getLogger("rostra.local")

REAP_S: Final = 30.0
"""How often services whose checks have been critical for too long are looked for, as by Consul."""

LOGGED_OUTPUT: Final = 200
"""Characters of a check's output in the log, of its first line; the whole of it is in the catalog."""

_ENTRIES = Gauge("rostra_local_entries", "Services and checks of this node", ["kind"])


class LocalDriver:
    """Owns the state. ``wall`` is the clock on the wall, which TTL states need to mean the same after a restart."""

    def __init__(
        self,
        state: LocalState,
        store: LocalStore,
        ttl_states: TtlStates,
        reader: Reader,
        writer: Writer,
        rng: random.Random,
        *,
        check_update_interval_s: float = 300.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.state = state
        self._ttl_states = ttl_states
        self._wall = wall
        self._changes = Changes(state, store, self._changed)
        self._push = Push(state, reader, writer, rng, check_update_interval_s=check_update_interval_s)
        self._runs = CheckRuns(state.node.name, reader, rng, observed=self._observed, followed=self._followed)
        self._timed = asyncio.Event()
        self._seen: dict[str, HealthStatus] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    @property
    def synced(self) -> bool:
        """Whether the catalog has been brought in line once."""
        return self._push.synced

    @property
    def running_checks(self) -> int:
        return self._runs.running

    def load(self, definitions: Definitions, *, with_scripts: bool) -> None:
        """Takes what the files define, and what was registered before the restart and no file defines. Kept scripts need leave
        (``with_scripts``) again. Raises ``RostraError``."""

        def take(state: LocalState, kept: dict[str, Record], now: float) -> None:
            state.define(definitions, now)
            checks = [record for record in kept.values() if isinstance(record, Check)]
            for check in checks:
                if is_script(check) and not with_scripts:
                    log.warning("check is not taken back: scripts are disabled on this agent", extra={"check": check.check_id})
            wanted = [check for check in checks if with_scripts or not is_script(check)]
            for error in state.restore([record for record in kept.values() if isinstance(record, Service)], wanted, now):
                log.warning("registration is not taken back", extra={"reason": error})
            for check_id, status, output, left_s in self._ttl_states.load(self._wall()):
                state.restore_ttl(check_id, status, output, left_s, now)

        self._changes.open(take)

    async def change(self, make: Change) -> None:
        """Changes what is registered: durable when it returns, or raises and has changed nothing."""
        await self._changes.make(make)

    async def service_changed(self, service_id: str) -> None:
        """Returns when a service was added, changed or removed after this call."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(service_id, set())
        waiting.add(future)
        try:
            await future
        finally:
            waiting.discard(future)
            if not waiting and self._waiting.get(service_id) is waiting:
                del self._waiting[service_id]

    def update_ttl(self, check_id: str, status: HealthStatus, output: str) -> float:
        """A heartbeat; in how many seconds the next is due. Raises ``NotFound``."""
        now = asyncio.get_running_loop().time()
        self.state.update_ttl(check_id, status, output, now)
        check, left_s = self.state.check(check_id), self.state.ttl_left(check_id, now)
        assert check is not None
        assert left_s is not None
        self._ttl_states.keep(check_id, check.status, check.output, self._wall() + left_s)
        self._changed()
        return left_s

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._changes.run(), name="local: changes")
            group.create_task(self._runs.run(), name="local: checks")
            group.create_task(self._push.run(), name="local: push")
            group.create_task(self._keep_time(), name="local: TTLs")
            group.create_task(self._reap(), name="local: reaper")

    def close(self) -> None:
        """After ``run`` has ended, or where it never began."""
        self._changes.close()

    def _observed(self, check_id: str, outcome: Outcome) -> None:
        self.state.observe(check_id, outcome.status, outcome.output, asyncio.get_running_loop().time())
        self._changed()

    def _followed(self, check_id: str, outcome: Outcome) -> None:
        self.state.follow(check_id, outcome.status, outcome.output, asyncio.get_running_loop().time())
        self._changed()

    def _changed(self) -> None:
        """Whoever needs to know is told, once for all that changed in this turn."""
        keys = self.state.take_changes()
        if not keys:
            return
        for key in keys:
            kind, _, name = key.partition(SEPARATOR)
            if kind == "check":
                check = self.state.check(name)
                self._say_how_it_fares(name, check)
                self._runs.follow(name, check, self.state.output_max_size(check) if check is not None else 0)
                if check is None:
                    self._ttl_states.forget(name)
            for future in self._waiting.pop(name, ()) if kind == "service" else ():
                if not future.done():
                    future.set_result(None)
        self._push.note(keys)
        self._timed.set()
        services, checks = self.state.count()
        _ENTRIES.labels("services").set(services)
        _ENTRIES.labels("checks").set(checks)

    def _say_how_it_fares(self, check_id: str, check: Check | None) -> None:
        """To the operator, in the log: not each run, but each turn for the better or the worse."""
        before = self._seen.pop(check_id, None)
        if check is None:
            return
        self._seen[check_id] = check.status
        if before is None or before is check.status:
            return
        level = logging.INFO if check.status is HealthStatus.PASSING else logging.WARNING
        output = check.output.strip().partition("\n")[0][:LOGGED_OUTPUT]
        about = {"check": check_id, "service": check.service_id, "was": before.value, "output": output}
        log.log(level, "check is now %s", check.status.value, extra={key: value for key, value in about.items() if value})

    async def _keep_time(self) -> None:
        while True:
            self._timed.clear()
            try:
                async with asyncio.timeout_at(self.state.deadline):
                    await self._timed.wait()
            except TimeoutError:
                self.state.tick(asyncio.get_running_loop().time())
                self._changed()

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(REAP_S)
            for service_id in self.state.overdue(asyncio.get_running_loop().time()):
                try:
                    await self.change(partial(_deregister, service_id))
                except NotFound:
                    continue
                except RostraError as error:
                    log.error("critical service is not deregistered", extra={"service": service_id, "reason": error})
                else:
                    log.info("deregistered a service that was critical for too long", extra={"service": service_id})


def _deregister(service_id: str, state: LocalState, now: float) -> None:
    state.deregister_service(service_id, now)
