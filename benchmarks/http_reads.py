"""Reads over HTTP, beside Consul: requests a second and the 99th percentile, by wrk.

Each case is measured in pairs, ours and Consul's in turn, so that a slow moment of the machine falls on both. Every sample is printed,
then the median of the ratios (rostra / Consul) with the ratio that we want. The processor time a request takes is shown too: it says
the same on a machine that others use meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

import psutil
import rows
from http_agents import Agent, Program, cluster, dev_agent, fill, programs, put
from rows import Row

NODES = 10_000
INSTANCES = 500
LIST_SECONDS = 10
"""Of a run over a long list, at least: in less the peer may not give one answer to each connection."""
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Case:
    """What is asked, over how many connections, and at least how many times Consul's rate we want."""

    name: str
    target: str
    connections: int
    wanted: float
    is_list: bool = False
    """One of the long lists, of which only the rate is asked for."""


@dataclass(frozen=True)
class Sample:
    """One run of wrk."""

    per_second: float
    p99_ms: float
    cpu_us: float
    """Processor time of the agent, by request."""


def wrk(agent: Agent, case: Case, seconds: int) -> Sample:
    process = psutil.Process(agent.process.pid)
    before = sum(process.cpu_times()[:2])
    command = ["wrk", "-t1", "--timeout", "20s", f"-c{case.connections}", f"-d{seconds}s", "--latency", agent.url + case.target]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate, p99 = re.search(r"Requests/sec:\s+([\d.]+)", output), re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    assert rate is not None, output
    assert p99 is not None, output
    if "Non-2xx" in output:
        print("  refused:", output.partition("Non-2xx")[2].splitlines()[0])
    requests = re.search(r"(\d+) requests in", output)
    assert requests is not None, output
    cpu_us = (sum(process.cpu_times()[:2]) - before) / max(1, int(requests[1])) * 1e6
    return Sample(max(float(rate[1]), 1 / seconds), max(float(p99[1]) * UNITS_MS[p99[2]], 0.001), cpu_us)


def node_cases(wanted: dict[str, tuple[float, float, float]], where: str) -> list[Case]:
    """``/v1/catalog/nodes`` in each mode; wanted at one, 32 and 128 connections."""
    query = {"stale": "?stale", "default": "", "consistent": "?consistent"}
    return [
        Case(f"{where}: nodes, {mode}, {connections}", f"/v1/catalog/nodes{query[mode]}", connections, ratio)
        for mode, ratios in wanted.items()
        for connections, ratio in zip((1, 32, 128), ratios, strict=True)
    ]


ON_SERVER = {"stale": (4.0, 4.0, 4.0), "default": (1.5, 3.0, 3.0), "consistent": (1.0, 1.0, 1.0)}
ON_CLIENT = {"stale": (5.0, 5.0, 5.0), "default": (1.0, 3.0, 3.0), "consistent": (1.0, 1.0, 1.0)}

Change = Callable[[int], tuple[str, object]]


@contextmanager
def changing(agent: Agent, change: Change, per_second: float) -> Iterator[None]:
    """So many writes a second in the background."""
    ended = threading.Event()

    def write() -> None:
        with contextlib.closing(agent.connect()) as connection:
            number, next_at = 0, time.monotonic()
            while not ended.is_set():
                put(connection, *change(number))
                number, next_at = number + 1, next_at + 1 / per_second
                ended.wait(max(0.0, next_at - time.monotonic()))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def instance(number: int, port: int = 80) -> dict[str, object]:
    service = {"ID": f"web-{number}", "Service": "web", "Port": port, "Tags": ["v1"]}
    return {"Node": f"node-{number}", "Address": f"10.0.{number // 250}.{number % 250 + 1}", "Service": service}


def changed_instance(number: int) -> tuple[str, object]:
    return "/v1/catalog/register", instance(number % INSTANCES, 1000 + number)


def node(number: int, meta: str = "a") -> dict[str, object]:
    address = f"10.{number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
    return {"Node": f"node-{number:05}", "Address": address, "NodeMeta": {"k": meta}}


def changed_node(number: int) -> tuple[str, object]:
    return "/v1/catalog/register", node(number % NODES, f"changed {number}")


def compare(
    pair: Sequence[Agent], names: Sequence[str], case: Case, pairs: int, seconds: int, change: Change | None, rate: float
) -> list[Row]:
    """The pairs of one case: rate, 99th percentile, processor time."""
    samples: list[list[Sample]] = [[], []]
    for number in range(pairs):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            with changing(pair[which], change, rate) if change is not None else nullcontext():
                samples[which].append(wrk(pair[which], case, seconds))
    print(f"{case.name}")
    for name, taken in zip(names, samples, strict=True):
        print(
            f"  {name:8}", "  ".join(f"{each.per_second:7.0f}/s {each.p99_ms:6.2f} ms {each.cpu_us:4.0f} µs" for each in taken), flush=True
        )
    ours, theirs = samples
    rates = [each.per_second for each in ours], [each.per_second for each in theirs]
    latencies = [each.p99_ms for each in ours], [each.p99_ms for each in theirs]
    costs = [each.cpu_us for each in ours], [each.cpu_us for each in theirs]
    worse = None if case.is_list else 1.0
    return [
        Row(name=case.name, unit="requests/s", ours=rates[0], peers=rates[1], wanted=case.wanted),
        Row(name=f"{case.name}: p99", unit="ms", ours=latencies[0], peers=latencies[1], more_is_better=False, wanted=worse),
        Row(name=f"{case.name}: processor", unit="µs a request", ours=costs[0], peers=costs[1], more_is_better=False),
    ]


def line(rate: Row, p99: Row, cpu: Row) -> str:
    """Of the table."""
    assert rate.ratio is not None
    reached = "yes" if rate.is_reached else "**no**"
    cells = [f"{rate.value:.0f}", f"{rate.peer_value:.0f}", f"{rate.ratio:.2f}", f"{rate.wanted:g}", reached, f"{p99.ratio:.2f}"]
    return f"| {rate.name} | {' | '.join(cells)} | {cpu.value:.0f} | {cpu.peer_value:.0f} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-pairs", type=int, default=5)
    parser.add_argument("-seconds", type=int, default=2, help="of each run of wrk, which takes whole ones")
    parser.add_argument("-only", default="", help="a regular expression for the cases")
    rows.add_option(parser)
    options = parser.parse_args()
    both = programs()
    found: list[list[Row]] = []

    def run(pair: Sequence[Agent], cases: Sequence[Case], change: Change | None = None, rate: float = 0.0) -> None:
        for case in cases:
            if re.search(options.only, case.name):
                names = [each.name for each in both]
                seconds = max(options.seconds, LIST_SECONDS) if case.is_list else options.seconds
                found.append(compare(pair, names, case, options.pairs, seconds, change, rate))
                rows.write(options.json, [row for each in found for row in each])  # what follows may be given up

    def wanted(*groups: str) -> bool:
        return any(re.search(options.only, case) for case in groups) or not options.only

    if wanted(*(case.name for case in DEV)):
        with two(both, dev_agent) as pair:
            run(pair, DEV)
    if wanted(WEB.name):
        with two(both, dev_agent) as pair:
            for agent in pair:
                fill(agent, [instance(number) for number in range(INSTANCES)])
            run(pair, [WEB], changed_instance, 50.0)
    if wanted(LIST.name, LIST_CHANGING.name):
        with two(both, dev_agent) as pair:
            for agent in pair:
                fill(agent, [node(number) for number in range(NODES)])
            run(pair, [LIST])
            run(pair, [LIST_CHANGING], changed_node, 10.0)
    if wanted(*(case.name for case in LEADER + FOLLOWER + CLIENT)):
        with ExitStack() as stack:
            clusters = [stack.enter_context(cluster(each)) for each in both]
            run([each.leader for each in clusters], LEADER)
            run([each.followers[0] for each in clusters], FOLLOWER)
            run([each.client for each in clusters], CLIENT)
    titles = ["case", "rostra, requests/s", "Consul", "ratio", "wanted", "reached", "p99, ratio", "rostra, µs of CPU", "Consul"]
    print("\n|", " | ".join(titles), "|\n|", " | ".join(["---"] * len(titles)), "|")
    print("\n".join(line(*each) for each in found))
    return 0


DEV = node_cases(ON_SERVER, "dev")
LEADER = node_cases(ON_SERVER, "leader of three")
FOLLOWER = node_cases(ON_SERVER, "follower of three")
CLIENT = node_cases(ON_CLIENT, "client agent")
WEB = Case("health of 500 instances, 50 changes/s, 32", "/v1/health/service/web", 32, 10.0, True)
LIST = Case("10,000 nodes, unchanged, 32", "/v1/catalog/nodes", 32, 15.0, True)
LIST_CHANGING = Case("10,000 nodes, 10 changes/s, 32", "/v1/catalog/nodes", 32, 10.0, True)


@contextmanager
def two(both: Sequence[Program], start: Callable[[Program], contextlib.AbstractContextManager[Agent]]) -> Iterator[list[Agent]]:
    """One agent of each program."""
    with ExitStack() as stack:
        yield [stack.enter_context(start(each)) for each in both]


if __name__ == "__main__":
    sys.exit(main())
