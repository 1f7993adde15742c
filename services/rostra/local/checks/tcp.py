"""TCP: passing when a connection comes about, on any address of the name."""

from __future__ import annotations

import asyncio

from rostra.local.checks.dialing import Dialer, DialError, Tls, split_address
from rostra.local.checks.outcome import DEFAULT_TIMEOUT_S, Outcome, critical, passing
from rostra.model.catalog import CheckDefinition


class TcpCheck:
    """Connects and hangs up."""

    def __init__(self, definition: CheckDefinition, dialer: Dialer) -> None:
        self._address = definition.tcp
        self._tls = Tls(not definition.tls_skip_verify, definition.tls_server_name) if definition.tcp_use_tls else None
        self._timeout_s = definition.timeout_s or DEFAULT_TIMEOUT_S
        self._dialer = dialer

    async def run(self) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                _, writer = await self._dialer.connect(*split_address(self._address), self._tls)
        except DialError as error:
            return critical(str(error))
        except TimeoutError:
            return critical(f"dial tcp {self._address}: i/o timeout")
        writer.transport.abort()
        return passing(f"TCP connect {self._address}: Success")
