"""UDP and TCP of one pool, on the same address and port. Bytes only: what they mean is the core's."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from typing import Final, cast

from rostra.errors import Unavailable
from rostra.gossip.address import Address

_BIND_ATTEMPTS: Final = 16
_UDP_BUFFER_BYTES: Final = 2 * 1024 * 1024
_BACKLOG: Final = 128

OnPacket = Callable[[bytes, Address], None]


def bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP socket and a listening TCP socket on one address and port; port 0 finds one that is free for both."""
    for attempt in range(_BIND_ATTEMPTS):
        tcp = _socket(host, socket.SOCK_STREAM)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((host, port))
            tcp.listen(_BACKLOG)
            udp = _socket(host, socket.SOCK_DGRAM)
        except OSError as error:
            tcp.close()
            raise Unavailable(f"gossip port: cannot listen on {host}:{port} (TCP): {error.strerror}") from error
        try:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UDP_BUFFER_BYTES)
            udp.bind((host, tcp.getsockname()[1]))
        except OSError as error:
            tcp.close()
            udp.close()
            if port == 0 and attempt + 1 < _BIND_ATTEMPTS:
                continue
            raise Unavailable(f"gossip port: cannot listen on {host}:{port} (UDP): {error.strerror}") from error
        return udp, tcp
    raise AssertionError("the last attempt returns or raises")


def _socket(host: str, kind: socket.SocketKind) -> socket.socket:
    try:
        family, _, protocol, _, _ = socket.getaddrinfo(host, 0, type=kind, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE)[0]
    except socket.gaierror:
        raise Unavailable(f"gossip port: cannot listen on {host}: not an IP address") from None
    created = socket.socket(family, kind, protocol)
    created.setblocking(False)
    return created


class PacketSocket(asyncio.DatagramProtocol):
    """Datagrams of one pool. A full system buffer on the way out loses the datagram, as a network may: ``send_errors`` in ``counters``."""

    def __init__(self, on_packet: OnPacket, counters: Counter[str]) -> None:
        self._on_packet = on_packet
        self._counters = counters
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def open(cls, udp: socket.socket, on_packet: OnPacket, counters: Counter[str]) -> PacketSocket:
        _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(lambda: cls(on_packet, counters), sock=udp)
        return protocol

    def send(self, address: Address, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        try:
            self._transport.sendto(data, (address.host, address.port))
        except OSError:  # no route, or an address family that this socket does not speak
            self._counters["send_errors"] += 1

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's and asyncio's own do not derive from it

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        self._on_packet(data, Address.parse(source[0], source[1]))

    def error_received(self, error: Exception) -> None:
        """An ICMP error of an earlier datagram: the failure detector will find out by itself."""
        self._counters["send_errors"] += 1
