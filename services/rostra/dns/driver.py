"""The sockets of the role: UDP and TCP on every address, on the same port; and TLS where there are certificates."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import Final

from rostra.dns.datagram import DatagramDoor
from rostra.dns.desk import Desk
from rostra.dns.stream import Connection, Connections
from rostra.errors import RostraError
from rostra.model.addresses import host_port

_BACKLOG: Final = 512
_HANDSHAKE_TIMEOUT_S: Final = 5.0
_ANY_PORT_TRIES: Final = 16


class Driver:
    """Listens from ``start`` to ``stop``. ``endpoints`` are the addresses with the ports that they really have."""

    def __init__(self, desk: Desk) -> None:
        self.endpoints: tuple[tuple[str, int], ...] = ()
        self.tls_endpoints: tuple[tuple[str, int], ...] = ()
        self._desk = desk
        settings = desk.settings
        self._connections = Connections(settings.max_connections, settings.max_connections_per_client)
        self._datagram_doors: list[DatagramDoor] = []
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Raises ``RostraError`` that names the address and port that cannot be had; then nothing is left open."""
        try:
            for address in self._desk.settings.addresses:
                await self._listen(address)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Closes every socket; connections are cut."""
        for door in self._datagram_doors:
            door.close()
        for server in self._servers:
            server.close()
        for connection in tuple(self._connections.open):
            connection.close()
        self._datagram_doors, self._servers = [], []

    async def _listen(self, address: str) -> None:
        settings = self._desk.settings
        udp, tcp = bind_both(address, settings.port, reuse_port=settings.reuse_port)
        self._datagram_doors.append(DatagramDoor(self._desk, udp))
        self.endpoints += ((address, udp.getsockname()[1]),)
        await self._serve(tcp)
        if settings.tls is not None:
            secure = _bind(socket.SOCK_STREAM, address, settings.tls_port, reuse_port=settings.reuse_port, name="DNS over TLS port")
            self.tls_endpoints += ((address, secure.getsockname()[1]),)
            await self._serve(secure, settings.tls)

    async def _serve(self, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        handshake_timeout_s = _HANDSHAKE_TIMEOUT_S if tls is not None else None
        try:
            server = await asyncio.get_running_loop().create_server(
                self._connect, sock=listener, backlog=_BACKLOG, ssl=tls, ssl_handshake_timeout=handshake_timeout_s
            )
        except BaseException:
            listener.close()
            raise
        self._servers.append(server)

    def _connect(self) -> Connection:
        return Connection(self._desk, self._connections)


def bind_both(address: str, port: int, *, reuse_port: bool = False) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on the same port; port 0: any that is free for both."""
    for _ in range(_ANY_PORT_TRIES):
        udp = _bind(socket.SOCK_DGRAM, address, port, reuse_port=reuse_port)
        try:
            return udp, _bind(socket.SOCK_STREAM, address, udp.getsockname()[1], reuse_port=reuse_port)
        except RostraError:
            udp.close()
            if port:
                raise
    raise RostraError(f"DNS port: cannot listen on {address}: no port is free for both UDP and TCP")


def _bind(kind: socket.SocketKind, address: str, port: int, *, reuse_port: bool, name: str = "DNS port") -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    try:
        if kind is socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
    except OSError as error:
        made.close()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise RostraError(f"{name}: cannot listen on {host_port(address, port)}: {reason}") from None
    return made
