"""The sockets of the HTTP door: where its connections come from."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import stat
from typing import Final

from rostra.errors import RostraError, Unavailable
from rostra.gateway.door import Door
from rostra.gateway.protocol import HttpProtocol
from rostra.gateway.settings import GatewaySettings
from rostra.model.addresses import host_port

BACKLOG: Final = 2048
UNIX: Final = "unix://"


class Sockets:
    """``start`` binds, ``stop`` closes them and with them the door."""

    def __init__(self, door: Door, settings: GatewaySettings, tls: ssl.SSLContext | None = None) -> None:
        self.addresses: list[str] = []
        """``HOST:PORT`` or ``unix://PATH`` of each socket that is open."""
        self.secure_addresses: list[str] = []
        """``HOST:PORT`` of each socket that speaks HTTPS."""
        self._door = door
        self._settings = settings
        self._tls = tls
        self._servers: list[asyncio.Server] = []
        self._paths: list[str] = []

    async def start(self) -> None:
        """Binds every address; raises an error that names the one that is taken, and then keeps none."""
        try:
            for address in self._settings.http_addresses:
                await self._bind(address)
            for address in self._settings.https_addresses if self._tls is not None and self._settings.https_port >= 0 else ():
                self.secure_addresses.append(await self._bind_ip("HTTPS", address, self._settings.https_port, self._tls))
        except BaseException:
            await self.stop()
            raise

    async def _bind(self, address: str) -> None:
        loop = asyncio.get_running_loop()
        if address.startswith(UNIX):
            path = address.removeprefix(UNIX)
            _remove_dead_socket(path)
            try:
                self._servers.append(await loop.create_unix_server(lambda: HttpProtocol(self._door), path, backlog=BACKLOG))
            except OSError as error:
                raise Unavailable(f"HTTP socket: cannot listen on {path}: {error.strerror or error}") from error
            self._paths.append(path)
            self.addresses.append(address)
        elif self._settings.http_port >= 0:
            self.addresses.append(await self._bind_ip("HTTP", address, self._settings.http_port))

    async def _bind_ip(self, kind: str, address: str, port: int, tls: ssl.SSLContext | None = None) -> str:
        limit_s = self._door.limits.tls_handshake_timeout_s if tls is not None else None
        try:
            server = await asyncio.get_running_loop().create_server(
                lambda: HttpProtocol(self._door), sock=_listen(address, port), ssl=tls, ssl_handshake_timeout=limit_s
            )
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else error
            raise Unavailable(f"{kind} port: cannot listen on {host_port(address, port)}: {reason}") from error
        self._servers.append(server)
        host, bound = server.sockets[0].getsockname()[:2]
        return host_port(host, bound)

    async def stop(self) -> None:
        """Takes no more connections, and lets those there are end well."""
        for server in self._servers:
            server.close()
        await self._door.stop()
        for path in self._paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        self._servers.clear()
        self._paths.clear()
        self.addresses.clear()
        self.secure_addresses.clear()


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _remove_dead_socket(path: str) -> None:
    """A socket file that nobody listens on is what a killed process left behind."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise Unavailable(f"HTTP socket {path}: a file that is no socket is there")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise RostraError(f"HTTP socket {path}: another process listens on it")
