"""UDP: critical when the host says that nobody is at the port. Any answer is passing, and so is none: a service may well be silent."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from rostra.local.checks.dialing import Dialer, DialError, reason, split_address
from rostra.local.checks.outcome import DEFAULT_TIMEOUT_S, Outcome, critical, passing
from rostra.model.addresses import host_port
from rostra.model.catalog import CheckDefinition

PROBE: Final = b"rostra health check"
"""What is sent. No protocol has an empty probe that every service answers, so this says at least where it comes from."""


class UdpCheck:
    """Sends one datagram, and waits for what comes back."""

    def __init__(self, definition: CheckDefinition, dialer: Dialer) -> None:
        self._address = definition.udp
        self._timeout_s = definition.timeout_s or DEFAULT_TIMEOUT_S
        self._dialer = dialer

    async def run(self) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_s):
                host, port = split_address(self._address)
                address = (await self._dialer.addresses(host))[0]
                await _exchange(address, port)
        except DialError as error:
            return critical(str(error).replace("dial tcp", "dial udp"))
        except TimeoutError:
            pass
        except OSError as error:
            return critical(f"read udp {host_port(address, port)}: {reason(error)}")
        return passing(f"UDP connect {self._address}: Success")


class _Waiter(asyncio.DatagramProtocol):
    """``answer`` is set by the first datagram or error."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(None)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _exchange(address: str, port: int) -> None:
    transport, waiter = await asyncio.get_running_loop().create_datagram_endpoint(_Waiter, remote_addr=(address, port))
    try:
        transport.sendto(PROBE)
        await waiter.answer
    finally:
        transport.abort()
