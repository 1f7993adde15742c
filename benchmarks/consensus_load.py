"""What ``consensus.py`` and its peer share: how a load is described and what is measured of it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

SIZE = 256
"""Bytes of a proposal."""
LIMIT_S = 30.0


def free_addresses(count: int) -> list[str]:
    """Of ports that nobody uses now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


class Cluster(Protocol):
    """Servers, by number."""

    name: str
    addresses: list[str]

    @property
    def processes(self) -> Sequence[subprocess.Popen[bytes] | None]: ...

    def start(self, number: int) -> None: ...

    def kill(self, number: int) -> None: ...

    def stop(self) -> None: ...

    def leader(self, *, other_than: int | None = None) -> int: ...


@dataclass(frozen=True)
class Measured:
    """One sample of a load."""

    per_second: float
    median_ms: float
    p99_ms: float
    count: int


def summarised(latencies: list[float], seconds: float) -> Measured:
    latencies.sort()
    middle, late = latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]
    return Measured(len(latencies) / seconds, middle * 1000, late * 1000, len(latencies))
