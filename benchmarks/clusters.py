"""Clusters beside Consul, in the same run: three servers and a client agent of each.

- rest: memory (PSS) and CPU of the client agent with nothing to do
- critical to DNS: from the moment a check turns critical until DNS on another node leaves the service out
- crash to critical: from the moment a client agent is killed until ``serfHealth`` of its node is critical in the catalog
- failover: a server is killed; the longest gap between two answers that a caller of the client sees (default reads while a follower is
  killed, on which the client may live or not; writes while the leader is)
- fill: time and memory of the leader for many nodes with a service and a check each

Wanted: a client under 65 MB and 2 % of a core; a client on another server within a second.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import psutil
import rows
from http_agents import Agent, Cluster, Program, cluster, dev_agent, fill, programs, put
from rows import Row

MIB = 1 << 20
MB = 1_000_000
LIMIT_S = 60.0


def until(holds: Callable[[], bool]) -> float:
    """Seconds until it does."""
    begin = time.perf_counter()
    while time.perf_counter() - begin < LIMIT_S:
        try:
            if holds():
                return time.perf_counter() - begin
        except (OSError, ValueError):
            pass
        time.sleep(0.005)
    return float("inf")


def rest(client: Agent, seconds: float) -> tuple[float, float]:
    """MiB of PSS, percent of a core."""
    process = psutil.Process(client.process.pid)
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    return process.memory_full_info().pss / MIB, (sum(process.cpu_times()[:2]) - before) / seconds * 100


def addresses_in_dns(agent: Agent, name: str) -> int:
    """Records in ANSWER for an A question."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    message = struct.pack(">6H", 7, 0, 1, 0, 0, 0) + labels + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.settimeout(1.0)
        door.sendto(message, (agent.host, agent.ports["dns"]))
        return int(struct.unpack_from(">H", door.recv(4096), 6)[0])


def critical_to_dns(found: Cluster) -> float:
    """Seconds from the TTL update on the client until a follower's DNS knows."""
    with_check = {"Name": "probe", "Port": 80, "Check": {"CheckID": "probe", "TTL": "1h", "Status": "passing"}}
    connection = found.client.connect()
    put(connection, "/v1/agent/service/register", with_check)
    put(connection, "/v1/agent/check/pass/probe", None)
    until(lambda: addresses_in_dns(found.followers[0], "probe.service.consul") == 1)
    put(connection, "/v1/agent/check/fail/probe", None)
    return until(lambda: addresses_in_dns(found.followers[0], "probe.service.consul") == 0)


def crash_to_critical(found: Cluster) -> float:
    """Seconds from the end of the client's process until the leader's catalog says so."""
    address = found.client.host
    node = next(each["Node"] for each in found.leader.get("/v1/catalog/nodes") if each["Address"] == address)

    def is_critical() -> bool:
        checks = found.leader.get(f"/v1/health/node/{node}")
        return any(check["CheckID"] == "serfHealth" and check["Status"] == "critical" for check in checks)

    found.client.process.kill()
    return until(is_critical)


def reads(agent: Agent) -> bool:
    return bool(agent.get("/v1/catalog/nodes"))


def writes(agent: Agent) -> bool:
    connection = agent.connect(2.0)
    try:
        connection.request("PUT", "/v1/catalog/register", '{"Node":"probe","Address":"10.0.0.1"}')
        return bool(connection.getresponse().status == 200)
    finally:
        connection.close()


def longest_gap(found: Cluster, victim: str) -> float:
    """What a caller who goes on asking the client sees: reads while a follower dies, writes while the leader does."""
    if victim == "follower":
        found.followers[0].process.kill()
        return worst_gap(lambda: reads(found.client), 3.0)
    found.leader.process.kill()
    return worst_gap(lambda: writes(found.client), 8.0)


def worst_gap(call: Callable[[], bool], seconds: float) -> float:
    """The longest time between two answers in so many seconds of asking without a pause."""
    end = time.perf_counter() + seconds
    last, worst = time.perf_counter(), 0.0
    while time.perf_counter() < end:
        try:
            answered = call()
        except (OSError, ValueError):
            answered = False
        if answered:
            worst, last = max(worst, time.perf_counter() - last), time.perf_counter()
    return max(worst, time.perf_counter() - last)


def fill_many(program: Program, nodes: int) -> tuple[float, float]:
    """Seconds, and MiB of PSS that the agent grew by."""
    registrations = [
        {"Node": f"node-{number}", "Address": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
         "Service": {"Service": f"service-{number % 100}", "Port": 80}, "Check": {"Name": "up", "Status": "passing"}}
        for number in range(nodes)
    ]  # fmt: skip
    with dev_agent(program) as agent:
        process = psutil.Process(agent.process.pid)
        before, begin = process.memory_full_info().pss, time.perf_counter()
        fill(agent, registrations)
        return time.perf_counter() - begin, (process.memory_full_info().pss - before) / MIB


def show(what: str, unit: str, samples: Sequence[Sequence[float]], limit: float | None = None) -> Row:
    """Samples of ours, of the peer."""
    for name, numbers in zip(("rostra", "consul"), samples, strict=True):
        print(f"  {what}: {name} {' '.join(f'{number:.2f}' for number in numbers)}")
    mine, peer = (statistics.median(numbers) for numbers in samples)
    print(f"{what:<40} {mine:>9.2f} {peer:>9.2f} {unit:<4} ratio {mine / peer if peer else float('nan'):.2f}", flush=True)
    return Row(name=what, unit=unit, ours=list(samples[0]), peers=list(samples[1]), more_is_better=False, limit=limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-rounds", type=int, default=3)
    parser.add_argument("-crashes", type=int, default=5, help="of clients, each in a cluster of its own")
    parser.add_argument("-nodes", type=int, default=10_000, help="for the last row; 0 leaves it out")
    parser.add_argument("-rest", type=float, default=10.0, help="seconds")
    rows.add_option(parser)
    options = parser.parse_args()
    found: list[Row] = []
    both = programs()
    print(f"{'':<40} {'rostra':>9} {'consul':>9}")
    with ExitStack() as stack:
        pair = [stack.enter_context(cluster(program)) for program in both]
        at_rest = [rest(each.client, options.rest) for each in pair]
        found.append(show("client at rest, PSS", "MiB", [[each[0]] for each in at_rest], 65 * MB / MIB))
        found.append(show("client at rest, of a core", "%", [[each[1]] for each in at_rest], 2.0))
        turned = [[critical_to_dns(each) for _ in range(options.rounds)] for each in pair]
        found.append(show("check turns critical, until out of DNS", "s", turned))
    rows.write(options.json, found)  # also after each part: what follows may be given up
    crashes: list[list[float]] = [[], []]
    for _ in range(options.crashes):
        for numbers, program in zip(crashes, both, strict=True):
            with cluster(program) as each:
                numbers.append(crash_to_critical(each))
    if options.crashes:
        found.append(show("client killed, until serfHealth critical", "s", crashes))
    rows.write(options.json, found)
    for victim in ("follower", "leader"):
        gaps: list[list[float]] = [[], []]
        for _ in range(options.rounds):
            for numbers, program in zip(gaps, both, strict=True):
                with cluster(program) as each:
                    numbers.append(longest_gap(each, victim))
        found.append(show(f"{victim} killed, longest gap at a client", "s", gaps, 1.0 if victim == "follower" else None))
        rows.write(options.json, found)
    if options.nodes:
        filled = [fill_many(program, options.nodes) for program in both]
        found.append(show(f"{options.nodes} nodes, time", "s", [[each[0]] for each in filled]))
        found.append(show(f"{options.nodes} nodes, PSS", "MiB", [[each[1]] for each in filled]))
    rows.write(options.json, found)


if __name__ == "__main__":
    main()
