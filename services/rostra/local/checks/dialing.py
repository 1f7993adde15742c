"""Connections of checks: names are looked up where a hanging one holds up nobody else, and failures are told in Consul's words."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import Final

from rostra.model.addresses import host_port

NEXT_ADDRESS_S: Final = 0.3
MAX_LOOKUPS: Final = 64
"""Threads that wait for name servers; more names than that hang only when all do."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class DialError(Exception):
    """A connection that did not come about; the text is the check's output."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How a TLS connection is made. The host's name is used where ``server_name`` is empty."""

    verify: bool = True
    server_name: str = ""
    protocols: tuple[str, ...] = ()


@dataclass(slots=True)
class Dialer:
    """What all checks of a node share: look-ups under way, and TLS contexts, which are costly to make."""

    _lookups: dict[str, asyncio.Future[list[str]]] = field(default_factory=dict)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_LOOKUPS))
    _contexts: dict[Tls, ssl.SSLContext] = field(default_factory=dict)

    async def addresses(self, host: str) -> list[str]:
        """The IP addresses of ``host``, which may be one. Raises ``DialError``."""
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return await self._look_up(host)
        return [host]

    async def connect(self, host: str, port: int, tls: Tls | None = None) -> Streams:
        """A connection to the first address that takes one; each has a moment of its own before the next is tried beside it
        (after RFC 8305). Raises ``DialError`` for the first that failed."""
        addresses = await self.addresses(host)
        failures: list[DialError] = []
        attempts: set[asyncio.Task[Streams]] = set()
        try:
            for number, address in enumerate(addresses, start=1):
                attempts.add(asyncio.ensure_future(self._connect(address, port, host, tls)))
                pause = None if number == len(addresses) else NEXT_ADDRESS_S
                while attempts:
                    done, attempts = await asyncio.wait(attempts, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                    for attempt in done:
                        if (error := attempt.exception()) is None:
                            return attempt.result()
                        if not isinstance(error, DialError):
                            raise error
                        failures.append(error)
                    if pause is not None:
                        break
        finally:
            for attempt in attempts:
                attempt.add_done_callback(_hang_up)
                attempt.cancel()
        raise failures[0] if failures else DialError(f"dial tcp: lookup {host}: no such host")

    async def _connect(self, address: str, port: int, host: str, tls: Tls | None) -> Streams:
        try:
            if tls is None:
                return await asyncio.open_connection(address, port)
            return await asyncio.open_connection(address, port, ssl=self.context(tls), server_hostname=tls.server_name or host)
        except ssl.SSLError as error:
            raise DialError(reason(error)) from None
        except (OSError, EOFError) as error:
            raise DialError(f"dial tcp {host_port(address, port)}: {reason(error)}") from None

    def context(self, tls: Tls) -> ssl.SSLContext:
        """A TLS context for ``tls``, made once."""
        key = Tls(tls.verify, "", tls.protocols)
        context = self._contexts.get(key)
        if context is None:
            context = ssl.create_default_context()
            if not tls.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if tls.protocols:
                context.set_alpn_protocols(list(tls.protocols))
            self._contexts[key] = context
        return context

    async def _look_up(self, host: str) -> list[str]:
        """All who ask for one name at a time share one look-up, so that a name that hangs holds one thread."""
        future = self._lookups.get(host)
        if future is None:
            future = self._lookups[host] = asyncio.ensure_future(self._ask_system(host))
            future.add_done_callback(lambda done: self._looked_up(host, done))
        return await asyncio.shield(future)

    def _looked_up(self, host: str, done: asyncio.Future[list[str]]) -> None:
        self._lookups.pop(host, None)
        if not done.cancelled():
            done.exception()  # seen, even if all who asked have gone

    def close(self) -> None:
        """Nobody waits for look-ups any more."""
        for future in list(self._lookups.values()):
            future.cancel()

    async def _ask_system(self, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()

        def settle(found: list[str] | None, problem: str) -> None:
            if not answer.done():
                if found is None:
                    answer.set_exception(DialError(f"dial tcp: lookup {host}: {problem}"))
                else:
                    answer.set_result(found)

        def ask() -> None:
            found: list[str] | None = None
            problem = ""
            try:
                infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                # IPv4 first, as Consul prefers it for names that have both.
                infos.sort(key=lambda info: info[0] != socket.AF_INET)
                found = list(dict.fromkeys(str(info[4][0]) for info in infos))
            except (OSError, UnicodeError) as error:
                none_such = isinstance(error, UnicodeError) or error.errno in (socket.EAI_NONAME, socket.EAI_NODATA)
                problem = "no such host" if none_such else reason(error)
            try:
                loop.call_soon_threadsafe(settle, found, problem)
            except RuntimeError:
                return  # the loop has ended meanwhile, and nobody waits any more

        async with self._places:
            # A thread of its own that does not keep the process from ending: getaddrinfo cannot be cancelled.
            threading.Thread(target=ask, name=f"look-up of {host}", daemon=True).start()
            return await answer


def _hang_up(attempt: asyncio.Task[Streams]) -> None:
    """A connection that came after all is not wanted any more."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result()[1].transport.abort()


def split_address(address: str) -> tuple[str, int]:
    """``HOST:PORT``, with an IPv6 address in brackets. Raises ``DialError``."""
    host, separator, port = address.rpartition(":")
    if not separator or host.endswith(":") or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise DialError(f"dial tcp: address {address}: missing port in address")
    if not port.isdecimal() or int(port) > 65535:
        raise DialError(f"dial tcp: address {address}: invalid port")
    return host.strip("[]") or "localhost", int(port)


def reason(error: Exception) -> str:
    """Why, in the words that Consul's users know: the system's, in small letters."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"tls: {(error.reason or 'handshake failed').lower().replace('_', ' ')}"
    if isinstance(error, asyncio.IncompleteReadError | EOFError):
        return "EOF"
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        call = "connect: " if isinstance(error, ConnectionRefusedError) or error.errno in _WHEN_CONNECTING else ""
        return f"{call}{os.strerror(error.errno).lower()}"
    return str(error) or type(error).__name__


_WHEN_CONNECTING: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENOENT, errno.EACCES})
