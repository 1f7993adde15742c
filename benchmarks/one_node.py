"""One node at rest, beside Consul: time to the first answer, memory, CPU, and how long ``members`` takes.

Every sample is printed, then a table of medians with ratios (rostra / Consul). Rounds alternate between the two, so that a slow
moment of the machine falls on both. Everything listens on 127.0.0.1, on ports found free.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import rows
from rows import Row

import rostra

STARTED_WITHIN_S = 30.0
DEV, PEER, SIX = "rostra agent -dev", "consul agent -dev", "rostra, six processes"
LIMITS = {
    "first answer, s": 1.0,
    "memory at rest (PSS), MiB": 80 * 1_000_000 / 2**20,
    "CPU at rest, % of a core": 2.0,
    "`members`, s": 0.1,
}
"""Of an agent for development."""
ROLES = ("gossip", "consensus", "catalog", "local", "dns", "gateway")


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


@dataclass(frozen=True)
class Running:
    """An agent: its processes, where its HTTP is, and how long it took to answer there."""

    processes: Sequence[psutil.Process]
    http: str
    started_s: float
    started_cpu_s: float


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """Time on a core that they have used so far; unlike time on the clock, hardly touched by what else the machine does."""
    return float(sum(sum(each.cpu_times()[:2]) for each in processes))


def answered(url: str) -> bool:
    """Whether the catalog has at least one node."""
    try:
        with urllib.request.urlopen(url, timeout=1.0) as response:
            return b'"Node"' in response.read()
    except (OSError, urllib.error.URLError):
        return False


@contextmanager
def agent(commands: Sequence[Sequence[str]], http_port: int) -> Iterator[Running]:
    """Starts the commands, waits for the first answer of ``/v1/catalog/nodes``, and ends them."""
    url = f"http://127.0.0.1:{http_port}/v1/catalog/nodes"
    begin = time.perf_counter()
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]
    try:
        while not answered(url):
            if time.perf_counter() - begin > STARTED_WITHIN_S:
                raise SystemExit(f"no answer within {STARTED_WITHIN_S:g} s: {' '.join(commands[-1])}")
            time.sleep(0.005)
        started_s, processes = time.perf_counter() - begin, [psutil.Process(each.pid) for each in started]
        yield Running(processes, f"127.0.0.1:{http_port}", started_s, cpu_s(processes))
    finally:
        for each in reversed(started):
            each.terminate()
        for each in started:
            try:
                each.wait(15)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()


def rostra_command() -> list[str]:
    """The command beside this interpreter."""
    return [str(Path(sys.executable).with_name("rostra"))]


def rostra_dev() -> tuple[list[list[str]], int]:
    """One agent for development."""
    http, dns, grpc, lan, wan, server = free_ports(6)
    ports = {"-http-port": http, "-dns-port": dns, "-grpc-port": grpc, "-serf-lan-port": lan, "-serf-wan-port": wan, "-server-port": server}
    flags = [text for flag, port in ports.items() for text in (flag, str(port))]
    return [[*rostra_command(), "agent", "-dev", "-node", "bench", *flags]], http


def rostra_roles(folder: str) -> tuple[list[list[str]], int]:
    """The same six roles as processes of their own, durable."""
    http, dns, grpc, lan, wan, server = free_ports(6)
    own = {
        "gossip": [
            "-server",
            "-bootstrap",
            "-bind",
            "127.0.0.1",
            "-serf-lan-port",
            str(lan),
            "-serf-wan-port",
            str(wan),
            "-server-port",
            str(server),
        ],
        "consensus": ["-server", "-bootstrap", "-bind", "127.0.0.1", "-server-port", str(server)],
        "local": ["-server-port", str(server)],
        "dns": ["-dns-port", str(dns)],
        "gateway": ["-http-port", str(http), "-grpc-port", str(grpc)],
    }
    return [[*rostra_command(), role, "-data-dir", folder, *own.get(role, [])] for role in ROLES], http


def consul_dev(program: str) -> tuple[list[list[str]], int]:
    """Consul's agent for development."""
    http, dns, grpc, lan, wan, server = free_ports(6)
    ports = {"-http-port": http, "-dns-port": dns, "-grpc-port": grpc, "-serf-lan-port": lan, "-serf-wan-port": wan, "-server-port": server}
    flags = [text for flag, port in ports.items() for text in (flag, str(port))]
    return [[program, "agent", "-dev", "-node", "bench", *flags]], http


def pss_mib(processes: Sequence[psutil.Process]) -> float:
    """Proportional set size of all together."""
    return float(sum(each.memory_full_info().pss for each in processes)) / 2**20


def cpu_percent(processes: Sequence[psutil.Process], seconds: float) -> float:
    """Of one core, over that time."""
    before = cpu_s(processes)
    time.sleep(seconds)
    return (cpu_s(processes) - before) / seconds * 100


def members_s(program: Sequence[str], http: str) -> tuple[float, float]:
    """One run of ``members``, start of the program included: on the clock, and on a core."""
    begin, before = time.perf_counter(), os.times()
    subprocess.run([*program, "members", f"-http-addr={http}"], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - begin, cpu


def measure(name: str, commands: Sequence[Sequence[str]], http: int, program: Sequence[str], idle_s: float) -> dict[str, float]:
    """One round: start, settle, look."""
    with agent(commands, http) as running:
        time.sleep(3.0)
        asked = [members_s(program, running.http) for _ in range(5)]
        sample = {
            "first answer, s": running.started_s,
            "first answer, s of a core": running.started_cpu_s,
            "memory at rest (PSS), MiB": pss_mib(running.processes),
            "CPU at rest, % of a core": cpu_percent(running.processes, idle_s),
            "`members`, s": statistics.median(clock for clock, _ in asked),
            "`members`, s of a core": statistics.median(core for _, core in asked),
        }
    print(f"{name:28}", "  ".join(f"{what}: {value:.3f}" for what, value in sample.items()), flush=True)
    return sample


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-rounds", type=int, default=3)
    parser.add_argument("-idle", type=float, default=10.0, help="seconds over which CPU at rest is measured")
    parser.add_argument("-consul", default=shutil.which("consul"), help="program to compare with (default: the one on PATH)")
    rows.add_option(parser)
    options = parser.parse_args()
    for root in rostra.__path__:
        compileall.compile_dir(root, quiet=1)  # as pip does when it installs a wheel
    samples: dict[str, list[dict[str, float]]] = {}
    for _ in range(options.rounds):
        commands, http = rostra_dev()
        samples.setdefault(DEV, []).append(measure(DEV, commands, http, rostra_command(), options.idle))
        if options.consul:
            commands, http = consul_dev(options.consul)
            samples.setdefault(PEER, []).append(measure(PEER, commands, http, [options.consul], options.idle))
        with tempfile.TemporaryDirectory() as folder:
            commands, http = rostra_roles(folder)
            samples.setdefault(SIX, []).append(measure(SIX, commands, http, rostra_command(), options.idle))
    medians = {name: {what: statistics.median(each[what] for each in taken) for what in taken[0]} for name, taken in samples.items()}
    machine = f"Python {platform.python_version()}, {platform.machine()}, {psutil.cpu_count()} cores"
    print(f"\nMedians of {options.rounds} alternating rounds; {machine}\n")
    names = list(medians)
    print("|", " | ".join(["", *names, "rostra / Consul"]), "|")
    print("|", " | ".join(["---"] * (len(names) + 2)), "|")
    for what in medians[names[0]]:
        values = [medians[name][what] for name in names]
        ratio = f"{medians[DEV][what] / medians[PEER][what]:.2f}" if options.consul else ""
        print("|", " | ".join([what, *(f"{value:.3f}" for value in values), ratio]), "|")
    rows.write(options.json, _rows(samples))
    return 0


def _rows(samples: dict[str, list[dict[str, float]]]) -> list[Row]:
    found = []
    for what in samples[DEV][0]:
        name, _, unit = what.rpartition(", ")
        ours, theirs, six = ([each[what] for each in samples.get(which, [])] for which in (DEV, PEER, SIX))
        found.append(Row(name=name, unit=unit, ours=ours, peers=theirs, more_is_better=False, limit=LIMITS.get(what)))
        found.append(Row(name=f"{name}, six processes", unit=unit, ours=six, peers=theirs, more_is_better=False))
    return found


if __name__ == "__main__":
    sys.exit(main())
