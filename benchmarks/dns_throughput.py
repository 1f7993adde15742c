"""DNS answers a second, and their latency, beside Consul: ``dnsperf`` asks the same of both, turn by turn.

Both agents run for the whole time with the same catalog, on 127.0.0.1; only one of them is asked at a time. Each case takes
``-pairs`` pairs of runs, each pair in the other order than the one before; every sample is printed, then the medians and the median of
the pairs' ratios. Throughput is what comes with 100 questions outstanding; latency is taken at a rate that both can bear.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import rows
from one_node import free_ports, rostra_command
from rows import Row

HOST = "127.0.0.1"
SMALL, LARGE, NODES = 20, 500, 100
CHURN_PER_S = 50
LATENCY_RATE = 1000
TIMEOUT_S = 5.0
READY_WITHIN_S = 30.0
PORT_FLAGS = ("-http-port", "-dns-port", "-grpc-port", "-serf-lan-port", "-serf-wan-port", "-server-port")


@dataclass(frozen=True)
class Agent:
    """Where an agent is asked, and where its catalog is written."""

    name: str
    dns: int
    http: int
    lan: int


@dataclass(frozen=True)
class Case:
    """What is asked: ``dnsperf`` goes through the lines again and again."""

    name: str
    questions: Sequence[str]
    aim: float
    churn: bool = False
    client: bool = False


CASES = (
    Case("node A", ["n7.node.consul A"], 2.0),
    Case("service A, 20 instances", ["small.service.consul A"], 8.0),
    Case("service SRV, 20 instances", ["small.service.consul SRV"], 8.0),
    Case("service SRV, 500 instances, 50 registrations/s", ["large.service.consul SRV"], 50.0, churn=True),
    Case(
        "200 names, 10 % missing",
        [
            *(f"n{number}.node.consul A" for number in range(90)),
            *(f"s{number}.service.consul {'SRV' if number % 2 else 'A'}" for number in range(90)),
            *(f"missing{number}.service.consul A" for number in range(20)),
        ],
        2.5,
    ),
    Case("service A, 20 instances, via a client agent", ["small.service.consul A"], 5.0, client=True),
)


def registration(node: str, address: str, service: str = "", port: int = 0) -> dict[str, object]:
    """A body for ``/v1/catalog/register``."""
    body: dict[str, object] = {"Node": node, "Address": address}
    if service:
        body["Service"] = {"ID": f"{service}-{node}", "Service": service, "Port": port}
        body["SkipNodeUpdate"] = True
    return body


def registrations() -> Iterator[dict[str, object]]:
    """The catalog that both have."""
    addresses = {f"n{number}": f"10.1.{number // 250}.{number % 250 + 1}" for number in range(LARGE)}
    for node, address in addresses.items():
        yield registration(node, address)
    for count, service in ((SMALL, "small"), (LARGE, "large")):
        for node, address in itertools.islice(addresses.items(), count):
            yield registration(node, address, service, 8000)
    for number, (node, address) in enumerate(itertools.islice(addresses.items(), 90)):
        yield registration(node, address, f"s{number}", 9000 + number)


class Writer:
    """Registers over one connection."""

    def __init__(self, agent: Agent) -> None:
        self._connection = http.client.HTTPConnection(HOST, agent.http, timeout=10)

    def put(self, body: dict[str, object]) -> None:
        self._connection.request("PUT", "/v1/catalog/register", json.dumps(body))
        response = self._connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise SystemExit(f"registration refused: {response.status} {text.decode()}")


@contextmanager
def churn(agent: Agent, rate: float) -> Iterator[list[int]]:
    """Changes instances of ``large`` at ``rate`` a second; the list holds how many it came to."""
    stop, count = threading.Event(), [0]
    writer = Writer(agent)

    def change() -> None:
        begin = time.monotonic()
        for number in itertools.count():
            if stop.wait(max(0.0, begin + number / rate - time.monotonic())):
                return
            node = number % LARGE
            writer.put(registration(f"n{node}", f"10.1.{node // 250}.{node % 250 + 1}", "large", 8000 + number % 1000))
            count[0] += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield count
    finally:
        stop.set()
        thread.join()


@contextmanager
def running(name: str, command: Sequence[str]) -> Iterator[Agent]:
    """An agent on free ports."""
    ports = free_ports(len(PORT_FLAGS))
    flags = [text for flag, port in zip(PORT_FLAGS, ports, strict=True) for text in (flag, str(port))]
    process = subprocess.Popen([*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Agent(name, dns=ports[1], http=ports[0], lan=ports[3])
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def dnsperf(agent: Agent, questions: Path, seconds: float, *options: str) -> str:
    command = [
        "dnsperf",
        "-s",
        HOST,
        "-p",
        str(agent.dns),
        "-d",
        str(questions),
        "-l",
        f"{seconds:g}",
        "-e",
        "-t",
        f"{TIMEOUT_S:g}",
        *options,
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def rate_of(output: str) -> float:
    """Answers a second, of answers that came."""
    (rate,) = re.findall(r"Queries per second:\s+([\d.]+)", output)
    return float(rate)


def percentile_ms(output: str, share: float) -> float:
    """Of the latencies that ``-v`` tells, one a line; a question without an answer took all the time that it was given."""
    answered = [line.split() for line in output.splitlines() if line.startswith("> ")]
    latencies = sorted(TIMEOUT_S if words[1] == "T" else float(words[-1]) for words in answered)
    return latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000


def answers(agent: Agent, question: str) -> bool:
    """Whether the agent gives an answer with the whole RRset it should have."""
    name, qtype = question.split()
    output = subprocess.run(
        ["dig", f"@{HOST}", "-p", str(agent.dns), "+tcp", "+time=1", "+tries=1", "+noall", "+answer", name, qtype],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    wanted = SMALL if name.startswith("small") else LARGE if name.startswith("large") else 1
    return sum(not line.startswith(";") for line in output.splitlines()) >= wanted


def wait_for(agent: Agent, question: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not answers(agent, question):
        if time.monotonic() > deadline:
            raise SystemExit(f"{agent.name} does not answer {question}")
        time.sleep(0.05)


def measure(case: Case, agent: Agent, writes: Agent, folder: Path, seconds: float) -> tuple[float, float]:
    """Answers a second, and p99 in ms at ``LATENCY_RATE`` a second."""
    questions = folder / "questions"
    questions.write_text("\n".join(case.questions) + "\n")
    with ExitStack() as stack:
        changed = stack.enter_context(churn(writes, CHURN_PER_S)) if case.churn else None
        begin = time.monotonic()
        rate = rate_of(dnsperf(agent, questions, seconds, "-q", "100", "-c", "10"))
        latency = percentile_ms(dnsperf(agent, questions, seconds / 2, "-v", "-c", "10", "-Q", str(LATENCY_RATE)), 0.99)
        note = f"  {changed[0] / (time.monotonic() - begin):.0f} registrations/s" if changed else ""
    print(f"  {case.name:50} {agent.name:16} {rate:9.0f}/s  p99 {latency:8.2f} ms{note}", flush=True)
    return rate, latency


def run_case(
    case: Case, ours: Sequence[Agent], theirs: Sequence[Agent], folder: Path, pairs: int, seconds: float
) -> tuple[list[str], list[Row]]:
    """A line of the table, and what it is made of. Servers come first in ``ours`` and ``theirs``, clients second."""
    asked = [(agents[1 if case.client else 0], agents[0]) for agents in (ours, theirs)]
    for agent, _ in asked:
        wait_for(agent, case.questions[0])
    samples: list[list[tuple[float, float]]] = [[], []]
    for pair in range(pairs):
        for place in (0, 1) if pair % 2 == 0 else (1, 0):
            samples[place].append(measure(case, *asked[place], folder, seconds))
    rates = [statistics.median(rate for rate, _ in each) for each in samples]
    latencies = [statistics.median(latency for _, latency in each) for each in samples]
    ratio = statistics.median(own / other for (own, _), (other, _) in zip(*samples, strict=True))
    (our_rates, our_latencies), (their_rates, their_latencies) = (tuple(map(list, zip(*each, strict=True))) for each in samples)
    found = [
        Row(name=case.name, unit="answers/s", ours=our_rates, peers=their_rates, wanted=case.aim),
        Row(name=f"{case.name}: p99", unit="ms", ours=our_latencies, peers=their_latencies, more_is_better=False),
    ]
    line = [case.name, *(f"{rate:.0f}" for rate in rates), f"{ratio:.1f}", f"{case.aim:g}", *(f"{each:.2f}" for each in latencies)]
    return line, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-pairs", type=int, default=5)
    parser.add_argument("-seconds", type=float, default=2.0, help="of each run for throughput; half of it for latency")
    parser.add_argument("-case", default="", help="only cases whose name has this in it")
    parser.add_argument("-consul", default=shutil.which("consul"), help="program to compare with (default: the one on PATH)")
    rows.add_option(parser)
    options = parser.parse_args()
    if options.consul is None or not shutil.which("dnsperf") or not shutil.which("dig"):
        raise SystemExit("needs consul, dnsperf and dig on PATH")
    chosen = [case for case in CASES if options.case in case.name]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        programs = {"rostra": rostra_command(), "consul": [options.consul]}
        servers = [stack.enter_context(running(name, [*program, "agent", "-dev", "-node", "bench"])) for name, program in programs.items()]
        for server in servers:
            wait_for(server, "consul.service.consul A")
            writer = Writer(server)
            for body in registrations():
                writer.put(body)
        clients: list[Agent] = []
        if any(case.client for case in chosen):
            for server, (name, program) in zip(servers, programs.items(), strict=True):
                joined = f"-retry-join={HOST}:{server.lan}"
                command = [*program, "agent", "-bind", HOST, "-node", "edge", "-data-dir", str(folder / name), joined]
                clients.append(stack.enter_context(running(f"{name} client", command)))
            for client in clients:
                wait_for(client, "consul.service.consul A")
        agents = [[server, *clients[place : place + 1]] for place, server in enumerate(servers)]
        measured = [run_case(case, agents[0], agents[1], folder, options.pairs, options.seconds) for case in chosen]
    machine = f"Python {platform.python_version()}, {platform.machine()}, {psutil.cpu_count()} cores"
    print(f"\nMedians of {options.pairs} interleaved pairs of {options.seconds:g} s; p99 at {LATENCY_RATE} questions/s; {machine}\n")
    print("| asked | rostra, answers/s | Consul, answers/s | ratio (median of pairs) | aim | rostra, p99 ms | Consul, p99 ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for line, _ in measured:
        print("|", " | ".join(line), "|")
    rows.write(options.json, [row for _, found in measured for row in found])
    return 0


if __name__ == "__main__":
    sys.exit(main())
