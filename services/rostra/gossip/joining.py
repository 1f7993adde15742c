"""Addresses to join, as people write them."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rostra.errors import BadRequest, Unavailable
from rostra.gossip.address import Address

_log = logging.getLogger("rostra.gossip")

_FIRST_RETRY_S: Final = 1.0


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


@dataclass(frozen=True, slots=True)
class RetryJoin:
    """Join one of ``addresses`` at start and do not give up, or only after as long as ``attempts`` tries take that are ``interval_s``
    apart (0: never); then the pool ends with an error."""

    addresses: Sequence[str] = ()
    interval_s: float = 30.0
    attempts: int = 0


async def join_persistently(
    retry: RetryJoin,
    join: Callable[[Sequence[str]], Awaitable[list[JoinResult]]],
    pool: str,
    rng: random.Random,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Try until one address is joined: soon at first, then ever more rarely, up to ``interval_s`` apart, with jitter so that a whole
    fleet that starts at once does not come back at once. The early tries are extra: they do not bring the end nearer."""
    attempt, waited_s, pause_s = 0, 0.0, min(_FIRST_RETRY_S, retry.interval_s)
    while True:
        attempt += 1
        results = await join(retry.addresses)
        if any(not result.error for result in results):
            _log.info("joined", extra={"pool": pool, "attempt": attempt})
            return
        problems = "; ".join(f"{result.address}: {result.error}" for result in results)
        if retry.attempts and waited_s >= retry.interval_s * (retry.attempts - 1):
            raise Unavailable(f"could not join the {pool.upper()} pool in {attempt} attempts: {problems}")
        pause = pause_s * rng.uniform(0.75, 1.25)
        _log.warning("join failed", extra={"pool": pool, "attempt": attempt, "retry_in_s": round(pause, 1), "error": problems})
        await sleep(pause)
        waited_s += pause_s
        pause_s = min(pause_s * 2, retry.interval_s)
