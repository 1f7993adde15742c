"""What a process tells the service manager that started it: ready, reloading, stopping, alive.

The protocol is systemd's (https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html): datagrams of ``NAME=value`` lines to
the socket that ``NOTIFY_SOCKET`` names. Without one nothing is told. Ready means joined and serving: every role of the process is. The
watchdog is told from the event loop, so it hears nothing once that hangs; whether there is a leader does not matter to it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final

from rostra.agent.process import Role

log = logging.getLogger("rostra.agent")

LOOK_S: Final = 0.1
"""How often the roles are asked whether they are ready, until they are."""
ABSTRACT: Final = "@"


class Manager:
    """The service manager, as this process was told of it. ``watchdog_s``: it wants to hear of us at least so often; 0: it does not."""

    def __init__(self, path: str, watchdog_s: float = 0.0) -> None:
        self.watchdog_s = watchdog_s
        self._address = "\0" + path[1:] if path.startswith(ABSTRACT) else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if path else None
        self._is_ready = False
        self._failed = False
        if self._socket is not None:
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Manager:
        """Takes the variables out of it: they are for this process, not for those that it starts."""
        path = environ.pop("NOTIFY_SOCKET", "")
        usec, pid = environ.pop("WATCHDOG_USEC", "0"), environ.pop("WATCHDOG_PID", "")
        is_ours = path != "" and usec.isdigit() and pid in ("", str(os.getpid()))
        return cls(path, int(usec) / 1e6 if is_ours else 0.0)

    @property
    def listens(self) -> bool:
        return self._socket is not None

    def waiting(self, roles: Sequence[str]) -> None:
        """Not ready yet: a line for a person."""
        self._tell(f"STATUS=Waiting for {', '.join(roles)}")

    def ready(self, status: str) -> None:
        self._is_ready = True
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """To be followed by ``reloaded``."""
        if self._is_ready:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def reloaded(self) -> None:
        if self._is_ready:
            self._tell("READY=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1", "STATUS=Stopping")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._failed:
                log.warning("the service manager cannot be told", extra={"socket": self._address, "reason": error.strerror})
            self._failed = True


class SupervisionPart:
    """Tells the manager how the other parts of this process do. It stands last, so it is the first to hear that all stop."""

    name = "supervision"

    def __init__(self, manager: Manager, parts: Sequence[Role], status: str) -> None:
        self._manager = manager
        self._parts = tuple(parts)
        self._status = status

    @property
    def ready(self) -> bool:
        return True

    async def start(self) -> None:
        """There is nothing to tell yet."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_ready(), name="supervision: ready")
            tasks.create_task(self._tell_alive(), name="supervision: watchdog")

    async def _tell_ready(self) -> None:
        told: Sequence[str] = ()
        while missing := [part.name for part in self._parts if not part.ready]:
            if missing != told:
                self._manager.waiting(missing)
                told = missing
            await asyncio.sleep(LOOK_S)
        self._manager.ready(self._status)

    async def _tell_alive(self) -> None:
        """For ever, twice in the time that the manager waits."""
        period_s = self._manager.watchdog_s / 2
        while period_s:
            self._manager.alive()
            await asyncio.sleep(period_s)
        await asyncio.get_running_loop().create_future()

    async def stop(self) -> None:
        self._manager.stopping()

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        return {}
