"""Reports who speaks something else than gRPC to a port, each peer once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from prometheus_client import Counter

from rostra.rpc.hangups import Hangup, hangups

_log = logging.getLogger("rostra.rpc")

_REFUSED = Counter("rostra_server_port_refused", "Connections to the server port that did not speak gRPC, or whose TLS failed")

_LOOK_EVERY_S: Final = 5.0
"""Well within the minute for which the system remembers."""

_NAMED_MAX: Final = 1024
"""So many peers are named; further ones are counted."""


class Strangers:
    """Watches the server port as something a process runs. ``look`` finds the connections to a port (of a
    host) that were closed from here."""

    name = "strangers"
    ready = True

    def __init__(
        self,
        port: int,
        host: str = "",
        look: Callable[[int, str], set[Hangup]] = hangups,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._port = port
        self._host = host
        self._look = look
        self._sleep = sleep
        self._seen: set[Hangup] = set()
        self._named: set[str] = set()

    async def start(self) -> None:
        """It binds nothing. What was closed in a former life of this port is not ours to report."""
        self._seen = await self._found()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._sleep(_LOOK_EVERY_S)
            found = await self._found()
            for hangup in sorted(found - self._seen):
                self._report(hangup)
            self._seen = found

    async def stop(self) -> None:
        """It holds nothing open."""

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        return {}

    async def _found(self) -> set[Hangup]:
        try:
            return await asyncio.to_thread(self._look, self._port, self._host)
        except OSError:  # this system does not tell; they are refused all the same
            return set()

    def _report(self, hangup: Hangup) -> None:
        _REFUSED.inc()
        if hangup.host in self._named or len(self._named) >= _NAMED_MAX:
            return
        self._named.add(hangup.host)
        _log.warning(
            "refused a connection to the server port: what came was not gRPC, or its TLS failed (Consul's agents cannot use this port)",
            extra={"peer": hangup.host},
        )
