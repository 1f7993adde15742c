"""What checks cost: a thousand HTTP checks on fresh connections, and a thousand scripts, at 10 s intervals, beside Consul.

For each agent: register, wait until every check has passed once, then measure over some intervals the agent's own CPU, apart from it
that of its children, which are the scripts, and how many runs a second there were.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import multiprocessing.sharedctypes
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import psutil
import rows
from one_node import agent, consul_dev, rostra_dev
from rows import Row

INTERVAL_S = 10
SETTLE_LIMIT_S = 60.0
LIMIT_PERCENT = 25.0
"""Wanted of the agent itself."""

Register = Callable[[int], dict[str, object]]


class Target(asyncio.Protocol):
    """Answers every request with 200 and hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        self.transport.close()


def serve(ready: Connection, served: multiprocessing.sharedctypes.Synchronized[int]) -> None:
    """The process that all HTTP checks ask."""

    class Counting(Target):
        def data_received(self, data: bytes) -> None:
            served.value += 1
            super().data_received(data)

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Counting, "127.0.0.1", 0, backlog=2048)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


@contextmanager
def target() -> Iterator[tuple[int, multiprocessing.sharedctypes.Synchronized[int]]]:
    """Its port, and how many requests it has answered."""
    ours, theirs = multiprocessing.Pipe()
    served = multiprocessing.Value("i", 0, lock=False)
    process = multiprocessing.Process(target=serve, args=(theirs, served), daemon=True)
    process.start()
    try:
        yield ours.recv(), served
    finally:
        process.terminate()
        process.join()


def put(http: str, path: str, body: object) -> None:
    request = urllib.request.Request(f"http://{http}{path}", data=json.dumps(body).encode(), method="PUT")
    with urllib.request.urlopen(request, timeout=10.0):
        pass


def passing(http: str) -> int:
    with urllib.request.urlopen(f"http://{http}/v1/agent/checks", timeout=10.0) as response:
        return sum(1 for check in json.load(response).values() if check["Status"] == "passing")


def processes_started() -> int:
    """On this machine, whoever did it: near enough on one that is otherwise idle."""
    with open("/proc/stat", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("processes "))


def cpu_s(process: psutil.Process) -> tuple[float, float]:
    """The agent's own, and that of the children that it has waited for."""
    times = process.cpu_times()
    return times.user + times.system, times.children_user + times.children_system


def measure(
    name: str, what: str, command: list[list[str]], port: int, count: int, register: Register, seconds: float, runs: Callable[[], int]
) -> tuple[float, float]:
    """One agent and one kind of check; prints a line. CPU of the agent and of its scripts, percent of a core. ``runs`` counts the runs
    that can be seen from outside."""
    with agent([[*each, "-enable-script-checks"] for each in command], port) as running:
        (process,) = running.processes
        time.sleep(2.0)
        idle = cpu_s(process)[0]
        time.sleep(5.0)
        idle = (cpu_s(process)[0] - idle) / 5.0 * 100
        for number in range(count):
            put(running.http, "/v1/agent/check/register", {"Name": f"check-{number}", "Interval": f"{INTERVAL_S}s", **register(number)})
        limit = time.monotonic() + SETTLE_LIMIT_S
        while (passed := passing(running.http)) < count:
            if time.monotonic() > limit:
                raise SystemExit(f"{name}: only {passed} of {count} checks passed")
            time.sleep(0.5)
        time.sleep(2.0)
        own, children = cpu_s(process)
        begin, runs_before = time.perf_counter(), runs()
        time.sleep(seconds)
        elapsed = time.perf_counter() - begin
        own_after, children_after = cpu_s(process)
        memory = process.memory_full_info().pss / 2**20
        cells = (
            f"{(runs() - runs_before) / elapsed:.0f}",
            f"{(own_after - own) / elapsed * 100:.1f} %",
            f"{(children_after - children) / elapsed * 100:.1f} %",
            f"{idle:.1f} %",
            f"{memory:.0f} MiB",
        )
        print("|", " | ".join((name, f"{count} {what}", *cells)), "|", flush=True)
        return (own_after - own) / elapsed * 100, (children_after - children) / elapsed * 100


def _rows(what: str, ours: tuple[float, ...], theirs: tuple[float, ...]) -> Iterator[Row]:
    for place, (whose, limit) in enumerate((("the agent's own", LIMIT_PERCENT), ("its scripts'", None))):
        if ours[place]:
            peers = [theirs[place]] if theirs else []
            yield Row(name=f"{what}: CPU, {whose}", unit="% of a core", ours=[ours[place]], peers=peers, more_is_better=False, limit=limit)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-count", type=int, default=1000)
    parser.add_argument("-seconds", type=float, default=30.0, help="over which CPU is measured")
    parser.add_argument("-consul", default=shutil.which("consul"), help="program to compare with (default: the one on PATH)")
    rows.add_option(parser)
    options = parser.parse_args()
    found: list[Row] = []
    true = shutil.which("true") or "/bin/true"
    print("| agent | checks | runs a second | own CPU, % of a core | scripts' CPU | idle before | memory (PSS) |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with target() as (port, served):
        kinds: list[tuple[str, Register, Callable[[], int]]] = [
            ("HTTP checks", lambda number: {"HTTP": f"http://127.0.0.1:{port}/{number}"}, lambda: served.value),
            ("scripts", lambda _: {"Args": [true]}, processes_started),
        ]
        for what, register, runs in kinds:
            command, http = rostra_dev()
            ours = measure("rostra", what, command, http, options.count, register, options.seconds, runs)
            theirs: tuple[float, ...] = ()
            if options.consul:
                command, http = consul_dev(options.consul)
                theirs = measure("consul", what, command, http, options.count, register, options.seconds, runs)
            found += _rows(f"{options.count} {what}", ours, theirs)
        rows.write(options.json, found)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(str(error))
