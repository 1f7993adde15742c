"""UDP: datagrams in, answers out at once, from the address that was asked.

A socket of our own rather than asyncio's endpoint: as fast (measured), and it can answer from the right one of several
addresses when bound to all, which a client insists on (RFC 2181 section 4.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Final

from rostra.dns import metrics
from rostra.dns.desk import Desk
from rostra.dns.rate_limit import Ruling
from rostra.dns.wire import Transport

BURST: Final = 64
"""Datagrams taken in one turn of the loop: others get their turn under a flood."""
MAX_QUESTION: Final = 4096
"""Bytes of a datagram that are read: a longer one is no question that anybody asks, and FORMERR as what is left of it. Room for
64 KiB each time costs 2 µs."""
_BUFFER_BYTES: Final = 4 << 20
_IP_PKTINFO: Final = 8
_WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 - recognised here, not chosen
_ANCILLARY: Final = socket.CMSG_SPACE(20)

Address = tuple[Any, ...]
Ancillary = list[tuple[int, int, bytes]]


class DatagramDoor:
    """One UDP socket. It answers until ``close``."""

    def __init__(self, desk: Desk, udp: socket.socket) -> None:
        self._desk = desk
        self._socket = udp
        self._loop = asyncio.get_running_loop()
        self._crowded = False
        """Whether several messages came together the last time: then one more is not alone either."""
        udp.setblocking(False)
        with contextlib.suppress(OSError):
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        if udp.getsockname()[0] in _WILDCARDS:
            _ask_for_destination(udp)
            self._loop.add_reader(udp, self._read_with_destination)
        else:
            self._loop.add_reader(udp, self._read)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        self._desk.freshness.look()
        receive, taken = self._socket.recvfrom, 0
        with contextlib.suppress(OSError):
            while taken < BURST:
                message, client = receive(MAX_QUESTION)
                taken += 1
                self._take(message, client, None)
        self._crowded = taken > 1

    def _read_with_destination(self) -> None:
        self._desk.freshness.look()
        receive, taken = self._socket.recvmsg, 0
        with contextlib.suppress(OSError):
            while taken < BURST:
                message, ancillary, _, client = receive(MAX_QUESTION, _ANCILLARY)
                taken += 1
                self._take(message, client, [_as_source(*item) for item in ancillary])
        self._crowded = taken > 1

    def _take(self, message: bytes, client: Address, source: Ancillary | None) -> None:
        if self._desk.rate_limit is not None:
            ruling = self._desk.rate_limit.rule(client[0], self._loop.time())
            if ruling is not Ruling.ANSWER:
                return self._limited(ruling, message, client, source)
        outcome = self._desk.at_once(message, Transport.UDP, client[0], alone=not self._crowded)
        if type(outcome) is bytes:
            self._send(outcome, client, source)
        elif outcome is not None and not isinstance(outcome, bytes):
            self._desk.defer(self._later(message, client, source))
        return None

    async def _later(self, message: bytes, client: Address, source: Ancillary | None) -> None:
        response = await self._desk.answer(message, Transport.UDP, client[0])
        if response is not None:
            self._send(response, client, source)

    def _send(self, response: bytes, client: Address, source: Ancillary | None) -> None:
        """A full socket buffer loses the answer, as the network may: the client asks again."""
        try:
            if source is None:
                self._socket.sendto(response, client)
            else:
                self._socket.sendmsg((response,), source, 0, client)
        except OSError:
            metrics.SEND_FAILED.inc()

    def _limited(self, ruling: Ruling, message: bytes, client: Address, source: Ancillary | None) -> None:
        metrics.RATE_LIMITED.inc()
        if ruling is Ruling.SLIP and (response := self._desk.core.truncated(message)) is not None:
            self._send(response, client, source)


def _ask_for_destination(udp: socket.socket) -> None:
    if udp.family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        udp.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


def _as_source(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    """The same control message for the way back. For IPv4 (struct in_pktinfo: interface, local address, destination) the
    route decides the interface; an IPv6 link-local address means nothing without its own."""
    if level == socket.IPPROTO_IP:
        return level, kind, bytes(4) + data[4:8] + bytes(4)
    return level, kind, data
