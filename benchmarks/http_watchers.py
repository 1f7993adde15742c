"""Thousands of blocking queries for one service, woken by one change: until the last has its answer, and what each costs in memory.

Beside Consul, in turn. The watchers are a process of their own, which only counts answers; its own part in the time is the same for both.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import rows
import uvloop
from http_agents import Agent, Program, dev_agent, programs, put
from rows import Row

TARGET = "/v1/health/service/web"
ANSWER_LIMIT_S = 60.0
OPEN_AT_ONCE = 200
SETTLE_S = 2.0
"""Between the last watcher and the change: what parked them is done."""


@dataclass(frozen=True)
class Sample:
    """One round."""

    last_ms: float
    median_ms: float
    kib_each: float


class Watcher(asyncio.Protocol):
    """One parked query. ``answered_at`` is when the first byte of its answer came."""

    def __init__(self, request: bytes, answered: asyncio.Event, waiting: set[Watcher]) -> None:
        self._request = request
        self._answered = answered
        self._waiting = waiting
        self.answered_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._waiting.add(self)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.answered_at:
            self.answered_at = time.perf_counter()
            self._waiting.discard(self)
            if not self._waiting:
                self._answered.set()


def instance(port: int) -> dict[str, object]:
    return {"Node": "watched", "Address": "10.0.0.1", "Service": {"ID": "web", "Service": "web", "Port": port}}


def index_of(agent: Agent) -> int:
    with contextlib.closing(agent.connect()) as connection:
        connection.request("GET", TARGET)
        answer = connection.getresponse()
        answer.read()
        return int(answer.headers["X-Consul-Index"])


def memory(agent: Agent) -> float:
    """Resident, in KiB."""
    return float(psutil.Process(agent.process.pid).memory_info().rss) / 1024


async def one_round(agent: Agent, count: int) -> Sample:
    loop = asyncio.get_running_loop()
    with contextlib.closing(agent.connect()) as connection:
        await asyncio.to_thread(put, connection, "/v1/catalog/register", instance(80))
        index = await asyncio.to_thread(index_of, agent)
        request = f"GET {TARGET}?index={index}&wait=600s HTTP/1.1\r\nHost: watcher\r\n\r\n".encode()
        before = memory(agent)
        answered, waiting, watchers, transports = asyncio.Event(), set[Watcher](), list[Watcher](), []
        for start in range(0, count, OPEN_AT_ONCE):
            made = [
                loop.create_connection(lambda: Watcher(request, answered, waiting), agent.host, agent.ports["http"])
                for _ in range(min(OPEN_AT_ONCE, count - start))
            ]
            for transport, watcher in await asyncio.gather(*made):
                transports.append(transport)
                watchers.append(watcher)
        await asyncio.sleep(SETTLE_S)
        assert len(waiting) == count, "a query was answered before the change"
        each = (memory(agent) - before) / count
        changed_at = time.perf_counter()
        await asyncio.to_thread(put, connection, "/v1/catalog/register", instance(81))
        async with asyncio.timeout(ANSWER_LIMIT_S):
            await answered.wait()
        delays = [(watcher.answered_at - changed_at) * 1000 for watcher in watchers]
        for transport in transports:
            transport.abort()
        return Sample(max(delays), statistics.median(delays), each)


def measure(program: Program, count: int) -> Sample:
    with dev_agent(program) as agent:
        return uvloop.run(one_round(agent, count))


def describe(samples: Sequence[Sample]) -> str:
    return "  ".join(f"last {each.last_ms:7.1f} ms, median {each.median_ms:7.1f} ms, {each.kib_each:5.1f} KiB each" for each in samples)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-watchers", type=int, default=5000)
    parser.add_argument("-rounds", type=int, default=5)
    rows.add_option(parser)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    both = programs()
    samples: dict[str, list[Sample]] = {program.name: [] for program in both}
    for _ in range(options.rounds):
        for program in both:
            sample = measure(program, options.watchers)
            samples[program.name].append(sample)
            print(f"{program.name:8}", describe([sample]), flush=True)
    print(f"\n{options.watchers} watchers, medians of {options.rounds} rounds\n")
    print("|  | last answer, ms | median answer, ms | KiB each |\n| --- | --- | --- | --- |")
    for name, taken in samples.items():
        values = [statistics.median(getattr(each, field) for each in taken) for field in ("last_ms", "median_ms", "kib_each")]
        print("|", " | ".join([name, *(f"{value:.1f}" for value in values)]), "|")
    wanted = (
        ("last answer", "ms", "last_ms", 100.0),
        ("median answer", "ms", "median_ms", None),
        ("memory of each", "KiB", "kib_each", 8.0),
    )
    rows.write(
        options.json,
        [_row(f"{options.watchers} watchers woken: {name}", unit, field, limit, samples) for name, unit, field, limit in wanted],
    )
    return 0


def _row(name: str, unit: str, field: str, limit: float | None, samples: dict[str, list[Sample]]) -> Row:
    ours, theirs = ([getattr(each, field) for each in taken] for taken in samples.values())
    return Row(name=name, unit=unit, ours=ours, peers=theirs, more_is_better=False, limit=limit)


if __name__ == "__main__":
    sys.exit(main())
