"""Addresses to join, as people write them."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from rostra.errors import BadRequest
from rostra.gossip.address import Address


@dataclass(frozen=True, slots=True)
class JoinResult:
    """What became of one address; ``error`` is empty when a member there was joined."""

    address: str
    error: str = ""


def split(text: str, default_port: int) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port``, ``[v6]:port`` or a bare IPv6 address."""
    host, port = text.strip(), ""
    if host.startswith("["):
        host, closed, rest = host[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise BadRequest(f"{text!r} is not an address", field="address")
        port = rest[1:]
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if not host or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        raise BadRequest(f"{text!r} is not an address", field="address")
    return host, int(port) if port else default_port


async def resolve(text: str, default_port: int) -> list[Address]:
    """All addresses that ``text`` stands for. Raises ``BadRequest`` when it stands for none."""
    host, port = split(text, default_port)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise BadRequest(f"cannot resolve {host}: {getattr(error, 'strerror', None) or error}", field="address") from None
    return list(dict.fromkeys(Address.parse(str(where[4][0]), port) for where in found))
