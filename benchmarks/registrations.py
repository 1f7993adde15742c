"""Registrations a second, beside Consul in the same run: on an agent for development, and on three durable servers through the leader and
through a client agent, at 1, 32 and 128 connections. Median and 99th percentile are wrk's.

Every registration changes something: a thousand instances by turns, each time with another port. ``agent`` registers with the agent that
is asked (``/v1/agent/service/register``), ``catalog`` goes through the log (``/v1/catalog/register``) and is on disk at a majority when it
is answered. Runs alternate between the two programs. Wanted: half of Consul's on the development agent and through the leader, as many as
Consul through a client.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import rows
from http_agents import Agent, cluster, dev_agent, programs
from rows import Row

UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
CONNECTIONS = (1, 32, 128)
SCRIPT = """
local number = 0
local paths = {{ agent = "/v1/agent/service/register", catalog = "/v1/catalog/register" }}
local bodies = {{
  agent = '{{"ID":"bench-%d","Name":"bench","Port":%d}}',
  catalog = '{{"Node":"bench-%d","Address":"10.0.0.1","Service":{{"Service":"bench","Port":%d}}}}',
}}
request = function()
  number = number + 1
  return wrk.format("PUT", paths["{way}"], nil, string.format(bodies["{way}"], number % 1000, 1 + number % 65000))
end
"""


@dataclass(frozen=True)
class Sample:
    """One run of wrk."""

    per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Case:
    """``wanted``: the ratio of rates, ours to Consul's."""

    name: str
    way: str
    wanted: float


def measure(agent: Agent, way: str, connections: int, seconds: int) -> Sample:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.format(way=way))
        script.flush()
        command = ["wrk", "-t1", "--timeout", "20s", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script.name, agent.url]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output:
        print("  refused:", output.partition("Non-2xx")[2].splitlines()[0])
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert rate is not None, output
    return Sample(float(rate[1]), _percentile(output, 50), _percentile(output, 99))


def _percentile(output: str, which: int) -> float:
    found = re.search(rf"{which}%\s+([\d.]+)(us|ms|s)", output)
    return float(found[1]) * UNITS_MS[found[2]] if found else float("nan")


def compare(case: Case, ours: Agent, theirs: Agent, rounds: int, seconds: int) -> list[tuple[str, list[Row]]]:
    """A line of the table for each number of connections, and what it is made of."""
    found = []
    for connections in CONNECTIONS:
        samples: dict[str, list[Sample]] = {"rostra": [], "consul": []}
        for _ in range(rounds):
            for name, agent in (("rostra", ours), ("consul", theirs)):
                sample = measure(agent, case.way, connections, seconds)
                samples[name].append(sample)
                print(f"  {case.name}, {connections}: {name} {sample.per_second:.0f}/s p50 {sample.p50_ms:.2f} p99 {sample.p99_ms:.2f} ms")
        mine, peer = (_median(samples[name]) for name in ("rostra", "consul"))
        ratio = mine.per_second / max(peer.per_second, 0.001)
        verdict = "" if ratio >= case.wanted else "  below what is wanted"
        line = (
            f"{case.name:<34} {connections:>4} {mine.per_second:>9.0f} {peer.per_second:>9.0f} {ratio:>6.2f} {case.wanted:>6.1f}"
            f" {mine.p50_ms:>8.2f} {peer.p50_ms:>8.2f} {mine.p99_ms:>8.2f} {peer.p99_ms:>8.2f}{verdict}"
        )
        found.append((line, _rows(f"{case.name}, {connections}", case.wanted, samples)))
    return found


def _rows(name: str, wanted: float, samples: dict[str, list[Sample]]) -> list[Row]:
    ours, theirs = samples.values()
    rates, late = (
        ([each.per_second for each in taken] for taken in (ours, theirs)),
        ([each.p99_ms for each in taken] for taken in (ours, theirs)),
    )
    (our_rates, their_rates), (our_late, their_late) = rates, late
    return [
        Row(name=name, unit="registrations/s", ours=our_rates, peers=their_rates, wanted=wanted),
        Row(name=f"{name}: p99", unit="ms", ours=our_late, peers=their_late, more_is_better=False),
    ]


def _median(samples: Sequence[Sample]) -> Sample:
    return Sample(*(statistics.median(getattr(sample, name) for sample in samples) for name in ("per_second", "p50_ms", "p99_ms")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-rounds", type=int, default=3)
    parser.add_argument("-seconds", type=int, default=2, help="of each run of wrk")
    parser.add_argument("-only", choices=("dev", "cluster"), help="one of the two set-ups")
    rows.add_option(parser)
    options = parser.parse_args()
    ours, theirs = programs()
    found: list[tuple[str, list[Row]]] = []
    if options.only != "cluster":
        with ExitStack() as stack:
            pair = [stack.enter_context(dev_agent(program)) for program in (ours, theirs)]
            for case in (Case("development agent, agent", "agent", 0.5), Case("development agent, catalog", "catalog", 0.5)):
                found += compare(case, pair[0], pair[1], options.rounds, options.seconds)
    if options.only != "dev":
        with ExitStack() as stack:
            mine, peer = (stack.enter_context(cluster(program)) for program in (ours, theirs))
            for case, our, their in (
                (Case("three servers, leader, catalog", "catalog", 0.5), mine.leader, peer.leader),
                (Case("three servers, client, catalog", "catalog", 1.0), mine.client, peer.client),
                (Case("three servers, client, agent", "agent", 1.0), mine.client, peer.client),
            ):
                found += compare(case, our, their, options.rounds, options.seconds)
    heads = ("rostra/s", "consul/s", "ratio", "wanted", "p50 ms", "consul", "p99 ms", "consul")
    print(
        f"\n{'registrations':<34} {'conn':>4} "
        + " ".join(head.rjust(width) for head, width in zip(heads, (9, 9, 6, 6, 8, 8, 8, 8), strict=True))
    )
    print("\n".join(line for line, _ in found))
    rows.write(options.json, [row for _, each in found for row in each])
    print(f"\nmedians of {options.rounds}; the script is {Path(__file__).name}")


if __name__ == "__main__":
    main()
