"""Ports that are free and stay so: outside the range from which the system takes ports by itself, and of a block that is this process's
alone, so that no test beside it takes one between its choice and its use, or while a process that had it is started again."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

FIRST, LAST, BLOCK = 10_000, 65_000, 100


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which neither TCP nor UDP is in use at ``host``; each is given once."""
    return next(port for port in _ports if _is_free(host, port))


def _own_ports() -> Iterator[int]:
    """Block after block, each ours until this process ends."""
    low, high = _range_of_the_system()
    blocks = list(range(FIRST, LAST, BLOCK))
    blocks = [block for block in blocks if block + BLOCK <= low or block > high] or blocks
    claims: list[socket.socket] = []
    for block in random.sample(blocks, len(blocks)):
        claims.append(socket.socket(socket.AF_UNIX))
        try:
            claims[-1].bind(f"\0rostra-ports-{block}")  # a name of an abstract socket is given once, in the same network as the ports
        except OSError:
            claims.pop().close()
        else:
            yield from range(block, block + BLOCK)
    raise OSError("every port is taken")


def _range_of_the_system() -> tuple[int, int]:
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except OSError:
        return 32_768, 60_999  # Linux' own
    return int(low), int(high)


def _is_free(host: str, port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


_ports = _own_ports()


@dataclass(frozen=True, slots=True)
class Ports:
    """Every port of a node. ``grpc`` is the public one, Consul's 8502; ``server`` is 8300."""

    http: int
    dns: int
    grpc: int
    server: int
    serf_lan: int
    serf_wan: int

    @classmethod
    def free(cls, host: str = "127.0.0.1") -> Ports:
        return cls(*(free_port(host) for _ in fields(cls)))

    def flags(self, *names: str) -> list[str]:
        """The flags that set these ports, all if none is named."""
        wanted = names or [field.name for field in fields(self)]
        return [f"-{name.replace('_', '-')}-port={getattr(self, name)}" for name in wanted]
