"""The replicated log: proposals a second and their latency, of one durable server and of three.

Servers run as processes of their own on 127.0.0.1 and keep their logs below ``--folder``; proposals of 256 bytes come from another
process over gRPC streams to the leader.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import uvloop

from rostra.clients.consensus import ConsensusClient, Proposal
from rostra.errors import RostraError
from rostra.model.consistency import Consistency
from rostra.model.identity import Identity
from rostra.rpc.channels import connect

SIZE = 256
LOADS = ((1, 1), (32, 4), (256, 8))
"""In flight, and over how many streams."""
LIMIT_S = 30.0


def free_addresses(count: int) -> list[str]:
    """Of ports that nobody uses now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


class Rostra:
    """Servers of one cluster. ``late``: so many that know of the others and are not in the first configuration."""

    name = "rostra"

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.addresses = free_addresses(count)
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * count
        for number in range(count):
            self.start(number)

    def start(self, number: int, *, expect: int | None = None) -> None:
        script = str(Path(__file__).with_name("consensus_server.py"))
        expected = len(self.addresses) if expect is None else expect
        command = [sys.executable, script, str(number + 1), str(self.folder / f"n{number + 1}"), str(expected), *self.addresses]
        self.processes[number] = subprocess.Popen(command)

    def kill(self, number: int) -> None:
        process = self.processes[number]
        assert process is not None
        process.kill()
        process.wait()

    def stop(self) -> None:
        for number, process in enumerate(self.processes):
            if process is not None and process.poll() is None:
                self.kill(number)

    def leader(self, *, other_than: int | None = None) -> int:
        """The number of the server that leads, as soon as one does."""
        return asyncio.run(self._leader(other_than))

    async def _leader(self, other_than: int | None = None) -> int:
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            for number, address in enumerate(self.addresses):
                if number == other_than:
                    continue
                with contextlib.suppress(RostraError):
                    async with connect(address) as channel:
                        if (await ConsensusClient(channel).get_status(0.5)).leadership.is_leader:
                            return number
            await asyncio.sleep(0.005)
        raise SystemExit("no server became leader")


@dataclass(frozen=True)
class Measured:
    """One round of a load."""

    per_second: float
    median_ms: float
    p99_ms: float


def summarised(latencies: list[float], seconds: float) -> Measured:
    latencies.sort()
    return Measured(len(latencies) / seconds, latencies[len(latencies) // 2] * 1000, latencies[len(latencies) * 99 // 100] * 1000)


IDENTITY = Identity("benchmark", "benchmark", "dc1", "127.0.0.1", "127.0.0.1", server=False)


async def propose(address: str, in_flight: int, streams: int, seconds: float) -> Measured:
    """Keeps so many proposals in flight: each stream sends as many new ones as were answered, in one batch."""
    data = os.urandom(SIZE)
    latencies: list[float] = []
    async with connect(address) as channel:
        client = ConsensusClient(channel, IDENTITY)
        end = time.perf_counter() + seconds

        async def one_stream(window: int) -> None:
            sent: dict[int, float] = {}
            number = 0
            async with client.propose() as stream:
                due = window
                while True:
                    now = time.perf_counter()
                    if now >= end:
                        break
                    batch = [Proposal(number + each, data, 7.0) for each in range(due)]
                    for each in batch:
                        sent[each.sequence] = now
                    number += due
                    await stream.send(batch)
                    results = await stream.receive()
                    now = time.perf_counter()
                    for result in results:
                        if result.error is not None:
                            raise result.error
                        latencies.append(now - sent.pop(result.sequence))
                    due = len(results)

        await asyncio.gather(*(one_stream(in_flight // streams) for _ in range(streams)))
    return summarised(latencies, seconds)


async def read(address: str, in_flight: int, consistency: Consistency, seconds: float) -> Measured:
    """Read rounds, each waiting for its answer, so many at a time over one stream."""
    latencies: list[float] = []
    async with connect(address) as channel, ConsensusClient(channel, IDENTITY).read_index() as stream:
        sent: dict[int, float] = {}
        end = time.perf_counter() + seconds
        for number in range(in_flight):
            sent[number] = time.perf_counter()
            await stream.send(number, consistency, 7.0)
        number = in_flight
        while time.perf_counter() < end:
            result = await stream.receive()
            if result.error is not None:
                raise result.error
            now = time.perf_counter()
            latencies.append(now - sent.pop(result.round))
            sent[number] = now
            await stream.send(number, consistency, 7.0)
            number += 1
    return summarised(latencies, seconds)


def apart(work: Callable[..., Coroutine[Any, Any, Measured]], *arguments: Any) -> Measured:
    """Runs a client in a process of its own, so that nothing of this one is measured."""
    with get_context("spawn").Pool(1) as pool:
        measured: Measured = pool.apply(_run, (work, arguments))
        return measured


def _run(work: Callable[..., Coroutine[Any, Any, Measured]], arguments: Sequence[Any]) -> Measured:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work(*arguments))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-seconds", type=float, default=3.0, help="length of each sample")
    options = parser.parse_args()
    for count in (1, 3):
        with tempfile.TemporaryDirectory() as folder:
            cluster = Rostra(Path(folder), count)
            try:
                address = cluster.addresses[cluster.leader()]
                for in_flight, streams in LOADS:
                    measured = apart(propose, address, in_flight, streams, options.seconds)
                    print(f"{count} servers, {in_flight:4} in flight over {streams} streams: {measured}", flush=True)
            finally:
                cluster.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
