"""A process as a set of roles: start in order, run together, stop in reverse.

An unhandled error in one role ends the process with one line that names it: half an agent is worse than none.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from rostra.errors import RostraError
from rostra.telemetry.garbage import leave_old_generation_alone
from rostra.telemetry.metrics import watch_loop

log = logging.getLogger("rostra.agent")

STOP_LIMIT_S: Final = 5.0
FACING: Final = frozenset({"gateway", "dns", "gRPC port"})
"""Parts that answer clients. They end first, while all is there that their last answers need, the port between servers included."""
EXIT_OK: Final = 0
EXIT_FAILED: Final = 1


class Role(Protocol):
    """What the process asks of a role. A role does not know in which process it lives."""

    @property
    def name(self) -> str: ...

    @property
    def ready(self) -> bool:
        """Readiness, not liveness."""
        ...

    async def start(self) -> None:
        """Binds ports and opens files. Raises ``RostraError`` that names the culprit."""
        ...

    async def run(self) -> None:
        """Until cancelled; returning ends the process in good order."""
        ...

    async def stop(self) -> None:
        """Short and orderly."""
        ...

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        """Groups of numbers for ``rostra info``."""
        ...


class Door(Protocol):
    """Something that listens for as long as the roles run."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Process:
    """Runs ``roles``, given in order of start, and the ``doors`` in front of them."""

    def __init__(self, roles: Sequence[Role], doors: Sequence[Door]) -> None:
        self._roles = roles
        self._doors = doors
        self._started: list[Role | Door] = []
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        self._tasks: dict[Role | Door, asyncio.Task[None]] = {}

    @property
    def readiness(self) -> Mapping[str, Callable[[], bool]]:
        """Role name to whether it is ready."""
        return {role.name: lambda role=role: role.ready for role in self._roles}  # type: ignore[misc]

    def end(self) -> None:
        """Makes ``run`` stop the roles and return."""
        self._stopping.set()

    async def run(self, on_started: Callable[[], object] = lambda: None) -> int:
        """Returns the exit code. Raises ``RostraError`` when something could not start; what had started is stopped."""
        try:
            await self._start()
            on_started()
            leave_old_generation_alone()  # watch_loop looks after it
            await self._run_roles()
        finally:
            await self._stop()
        return EXIT_OK if self._failure is None else EXIT_FAILED

    async def _start(self) -> None:
        for part in (*self._roles, *self._doors):
            self._started.append(part)
            await part.start()

    async def _run_roles(self) -> None:
        self._tasks = {role: asyncio.create_task(role.run(), name=role.name) for role in self._roles}
        end = asyncio.create_task(self._wait_for_end(), name="end")
        watch = asyncio.create_task(watch_loop(self.readiness), name="loop watch")
        try:
            done, _ = await asyncio.wait([*self._tasks.values(), end], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (error := task.exception()) is not None:
                    self._failure = innermost(error)
                    # One line for people; the traceback only where it is a bug.
                    bug = None if isinstance(self._failure, RostraError) else error
                    log.error("role failed, so the process ends", extra={"role": task.get_name(), "error": self._failure}, exc_info=bug)
        finally:
            await _end(end)
            await _end(watch)

    async def _wait_for_end(self) -> None:
        await self._stopping.wait()

    async def _stop(self) -> None:
        """Those that face clients, then the others, in reverse, each part whole before the next: nothing ends that is still leant on."""
        facing = [part for part in self._started if getattr(part, "name", "") in FACING]
        for part in (*reversed(facing), *(part for part in reversed(self._started) if part not in facing)):
            if (task := self._tasks.get(part)) is not None:
                await _end(task)
            try:
                async with asyncio.timeout(STOP_LIMIT_S):
                    await part.stop()
            except TimeoutError:
                log.warning("did not stop in time", extra={"part": getattr(part, "name", "door")})
        self._started.clear()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=STOP_LIMIT_S)


def innermost(error: BaseException) -> BaseException:
    """The first real error within groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def on_signals(
    interrupt: Callable[[], Awaitable[None]],
    terminate: Callable[[], Awaitable[None]],
    hangup: Callable[[], None],
    owner: set[asyncio.Future[None]],
) -> None:
    """SIGINT and SIGTERM start their coroutine once, owned by ``owner``; a second of either ends the process at once. SIGHUP reloads."""
    loop = asyncio.get_running_loop()
    seen: list[str] = []

    def first(name: str, act: Callable[[], Awaitable[None]]) -> None:
        if seen:
            log.warning("second signal: ending at once")
            os._exit(EXIT_FAILED)
        seen.append(name)
        log.info("caught signal", extra={"signal": name})
        owner.add(asyncio.ensure_future(act()))

    loop.add_signal_handler(signal.SIGINT, first, "interrupt", interrupt)
    loop.add_signal_handler(signal.SIGTERM, first, "terminated", terminate)
    loop.add_signal_handler(signal.SIGHUP, hangup)


def ignore_signals() -> None:
    """All is done and only the interpreter ends: a signal that comes now must not make a failure of it."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
