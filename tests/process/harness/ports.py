"""Ports that are free, and that nobody is given by chance: below the range from which the system takes ports for outgoing connections."""

from __future__ import annotations

import os
import random
import socket
from dataclasses import dataclass, fields

FIRST, LAST = 12_000, 30_000

_given: set[int] = set()
_random = random.Random(os.getpid())


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which neither TCP nor UDP is in use at ``host``; each is given once."""
    while True:
        port = _random.randrange(FIRST, LAST)
        if port not in _given and _is_free(host, port):
            _given.add(port)
            return port


def _is_free(host: str, port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


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
