"""One loop, many guests: everything at once on the leader of three, and whether the cluster notices.

wrk at 128 connections, dnsperf, distinct filters over 10,000 nodes, snapshots one after the other and a steady trickle of writes, for as
long as is said. Watched meanwhile: that every member is seen alive, that the leader stays, and for how long the followers did not hear it.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from http_agents import Agent, Cluster, cluster, fill, programs, put
from http_reads import NODES, node

ALIVE = 1
WRITES_PER_SECOND = 20.0
LOOK_EVERY_S = 0.1
LAG = "rostra_loop_lag_seconds"
HEARTBEAT_DELAY = "rostra_consensus_heartbeat_delay_seconds"
SNAPSHOTS = 'raft_snapshot_threshold = 50 raft_snapshot_interval = "1s" raft_trailing_logs = 50'


@dataclass
class Seen:
    """What went on while the guests were there."""

    leaders: set[str] = field(default_factory=set)
    not_alive: set[str] = field(default_factory=set)
    silence_ms: list[int] = field(default_factory=list)
    writes_ms: list[float] = field(default_factory=list)
    filters: int = 0
    problems: list[str] = field(default_factory=list)


class Guests:
    """Threads and programs from entering to leaving."""

    def __init__(self, servers: Cluster, seconds: float) -> None:
        self.seen = Seen()
        self._servers = servers
        self._seconds = seconds
        self._ended = threading.Event()
        work = (
            self._write,
            self._filter,
            self._watch_members,
            *(lambda each=each: self._watch_silence(each) for each in servers.followers),
        )
        self._threads = [threading.Thread(target=self._until_ended, args=(each,)) for each in work]

    def run(self) -> list[str]:
        """What the load programs say at the end."""
        for thread in self._threads:
            thread.start()
        try:
            with tempfile.TemporaryDirectory() as folder:
                return self._programs(Path(folder))
        finally:
            self._ended.set()
            for thread in self._threads:
                thread.join()

    def _programs(self, folder: Path) -> list[str]:
        leader, seconds = self._servers.leader, str(round(self._seconds))
        questions = folder / "questions"
        questions.write_text("".join(f"node-{number:05}.node.consul A\n" for number in range(0, NODES, 10)))
        commands = [
            ["wrk", "-t1", "-c128", f"-d{seconds}s", "--latency", f"{leader.url}/v1/catalog/service/consul"],
            ["dnsperf", "-s", leader.host, "-p", str(leader.ports["dns"]), "-d", str(questions), "-l", seconds, "-c", "4"],
        ]
        running = [subprocess.Popen(each, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for each in commands]
        return [each.communicate()[0] for each in running]

    def _until_ended(self, work: Callable[[], Iterator[None]]) -> None:
        while not self._ended.is_set():
            try:
                for _ in work():
                    if self._ended.is_set():
                        return
            except (OSError, ValueError) as error:
                self.seen.problems.append(f"{type(error).__name__}: {error}")
                self._ended.wait(0.5)

    def _write(self) -> Iterator[None]:
        with contextlib.closing(self._servers.leader.connect()) as connection:
            for number in range(10**9):
                begun = time.perf_counter()
                put(connection, "/v1/catalog/register", node(number % NODES, f"written {number}"))
                self.seen.writes_ms.append((time.perf_counter() - begun) * 1000)
                self._ended.wait(1 / WRITES_PER_SECOND)
                yield

    def _filter(self) -> Iterator[None]:
        for number in range(10**9):
            self._servers.leader.get(f"/v1/catalog/nodes?stale&filter=Node==%22node-{number % NODES:05}%22+or+Meta.k==%22{number}%22")
            self.seen.filters += 1
            yield

    def _watch_members(self) -> Iterator[None]:
        follower = self._servers.followers[0]
        while True:
            self.seen.not_alive |= {member["Name"] for member in follower.get("/v1/agent/members") if member["Status"] != ALIVE}
            self.seen.leaders.add(str(follower.get("/v1/status/leader")))
            self._ended.wait(1.0)
            yield

    def _watch_silence(self, follower: Agent) -> Iterator[None]:
        with contextlib.closing(follower.connect()) as connection:
            while True:
                connection.request("GET", "/v1/catalog/service/none?stale")
                answer = connection.getresponse()
                answer.read()
                self.seen.silence_ms.append(int(answer.headers["X-Consul-LastContact"]))
                self._ended.wait(LOOK_EVERY_S)
                yield


def late_counts(agent: Agent, what: str) -> dict[float, float]:
    """How often the agent was no later than so many seconds, since its start."""
    with contextlib.closing(agent.connect()) as connection:
        connection.request("GET", "/v1/agent/metrics?format=prometheus")
        text = connection.getresponse().read().decode()
    return {float(bound): float(count) for bound, count in re.findall(what + r'_bucket\{le="([^"]+)"\} ([\d.]+)', text)}


def late_ms(before: dict[float, float], after: dict[float, float], part: float) -> float:
    """The bound under which that part of them lies."""
    counts = {bound: after[bound] - before[bound] for bound in after}
    total = max(counts.values())
    return min(bound for bound, count in counts.items() if count >= part * total) * 1000


def part_of(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-seconds", type=float, default=300.0)
    options = parser.parse_args()
    ours, _ = programs()
    with cluster(ours, ["-hcl", SNAPSHOTS]) as servers:
        fill(servers.leader, [node(number) for number in range(NODES)])
        before = [late_counts(servers.leader, what) for what in (LAG, HEARTBEAT_DELAY)]
        guests = Guests(servers, options.seconds)
        said = guests.run()
        after = [late_counts(servers.leader, what) for what in (LAG, HEARTBEAT_DELAY)]
    lag, beats = zip(before, after, strict=True)
    seen = guests.seen
    for text in said:
        print("\n".join(line for line in text.splitlines() if re.search(r"Requests/sec|99%|Queries per second|Queries lost", line)))
    print(f"filters answered            {seen.filters}")
    print(f"leaders seen                {', '.join(sorted(seen.leaders))}")
    print(f"members not seen alive      {', '.join(sorted(seen.not_alive)) or 'none'}")
    print(f"a follower's longest silence {max(seen.silence_ms)} ms (median {statistics.median(seen.silence_ms):g} ms)")
    print(f"a heartbeat's longest delay  at most {late_ms(*beats, 1.0):g} ms (p99 at most {late_ms(*beats, 0.99):g} ms)")
    print(f"loop lag p99.9              at most {late_ms(*lag, 0.999):g} ms")
    print(f"write p99                   {part_of(seen.writes_ms, 0.99):.1f} ms (median {statistics.median(seen.writes_ms):.1f} ms)")
    print(f"problems                    {seen.problems[:3] or 'none'}")
    return 0 if len(seen.leaders) == 1 and not seen.not_alive and not seen.problems else 1


if __name__ == "__main__":
    sys.exit(main())
