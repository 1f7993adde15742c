"""Servers killed, stopped and started again at random, by a seed; the journal says what was done."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from .servers import Server, Servers


class Chaos:
    """Leaves every server running at its end."""

    def __init__(self, servers: Servers, seed: int) -> None:
        self._servers = servers
        self._rng = random.Random(seed)
        self.journal: list[str] = []
        self._began = time.monotonic()
        self._actions: Sequence[tuple[int, Callable[[], None]]] = (
            (4, self._kill_one),
            (4, self._kill_leader),
            (3, self._stop_one),
            (3, self._stop_leader),
            (1, self._kill_majority),
            (1, self._kill_all),
        )

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        weights, actions = zip(*self._actions, strict=True)
        while time.monotonic() < until:
            self._wait(0.3, 1.5)
            self._rng.choices(actions, weights)[0]()

    def _kill_one(self) -> None:
        self._kill([self._rng.choice(self._servers.all)])

    def _kill_leader(self) -> None:
        self._kill([self._leader()])

    def _kill_majority(self) -> None:
        count = len(self._servers.all)
        self._kill(self._rng.sample(self._servers.all, count // 2 + 1))

    def _kill_all(self) -> None:
        self._kill(self._servers.all)

    def _stop_one(self) -> None:
        self._stop(self._rng.choice(self._servers.all))

    def _stop_leader(self) -> None:
        self._stop(self._leader())

    def _kill(self, servers: Sequence[Server]) -> None:
        self._note("kill", servers)
        for server in servers:
            server.kill()
        self._wait(0.0, 1.5)
        self._note("start", servers)
        for server in servers:
            server.start()

    def _stop(self, server: Server) -> None:
        self._note("stop", [server])
        server.pause()
        self._wait(0.2, 3.0)
        self._note("continue", [server])
        server.resume()

    def _leader(self) -> Server:
        """The server that leads, or any if nobody knows one."""
        for server in self._servers.all:
            try:
                address = server.leader()
            except Exception:  # it is not there to be asked
                continue
            if address:
                return next(each for each in self._servers.all if address.startswith(f"{each.host}:"))
        return self._rng.choice(self._servers.all)

    def _wait(self, low: float, high: float) -> None:
        time.sleep(self._rng.uniform(low, high))

    def _note(self, what: str, servers: Sequence[Server]) -> None:
        self.journal.append(f"{time.monotonic() - self._began:7.2f} {what} {' '.join(server.name for server in servers)}")
