"""What ``consensus.py`` and its peer share: how a load is described and what is measured of it."""

from __future__ import annotations

import socket
import subprocess
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass

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


class Servers(ABC):
    """Processes of one cluster, by number, each at an address of 127.0.0.1."""

    name: str

    def __init__(self, count: int) -> None:
        self.addresses = free_addresses(count)
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * count

    @abstractmethod
    def start(self, number: int) -> None: ...

    @abstractmethod
    def leader(self, *, other_than: int | None = None) -> int:
        """The number of the server that leads, as soon as one does."""

    def kill(self, number: int) -> None:
        process = self.processes[number]
        assert process is not None
        process.kill()
        process.wait()

    def stop(self) -> None:
        for number, process in enumerate(self.processes):
            if process is not None and process.poll() is None:
                self.kill(number)


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
