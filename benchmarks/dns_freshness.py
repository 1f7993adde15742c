"""How soon DNS shows what was acknowledged, beside Consul: three servers of each, changes at one, questions to all.

Each change is a registration that passes, or the same with its check critical; the clock starts when the write is acknowledged. Every
server is asked over UDP, one question after the other, until its answer shows the change. The server that took the write should need no
second question. Rounds alternate between the two.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import rows
from one_node import free_ports, rostra_command
from rows import Row

HOSTS = ("127.0.0.241", "127.0.0.242", "127.0.0.243")
FLAGS = ("-http-port", "-dns-port", "-serf-lan-port", "-server-port")
READY_WITHIN_S = 60.0
SEEN_WITHIN_S = 10.0


class Cluster:
    """Three servers on the same ports of three addresses."""

    def __init__(self, http_port: int, dns_port: int) -> None:
        self._http = [http.client.HTTPConnection(host, http_port, timeout=10) for host in HOSTS]
        self._dns = []
        self._id = 0
        for host in HOSTS:
            asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            asker.connect((host, dns_port))
            asker.settimeout(1.0)
            self._dns.append(asker)

    def register(self, server: int, service: str, status: str) -> None:
        """Returns when it is acknowledged."""
        body = {
            "Node": "box",
            "Address": "10.7.7.7",
            "Service": {"Service": service, "Port": 80},
            "Check": {"Name": "up", "CheckID": f"up-{service}", "ServiceID": service, "Status": status},
        }
        connection = self._http[server]
        connection.request("PUT", "/v1/catalog/register", json.dumps(body))
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise OSError(f"registration refused: {response.status}")

    def answers(self, server: int, service: str) -> int:
        """How many addresses one question gets; -1 when there is no answer."""
        name = b"".join(bytes((len(label),)) + label for label in (service.encode(), b"service", b"consul")) + b"\0"
        asker = self._dns[server]
        self._id = (self._id + 1) % 65536
        try:
            asker.send(struct.pack("!HHHHHH", self._id, 0, 1, 0, 0, 0) + name + struct.pack("!HH", 1, 1))
            while True:  # past what came too late for the question before
                identity, _, _, count = struct.unpack("!HHHH", asker.recv(4096)[:8])
                if identity == self._id:
                    return int(count)
        except OSError:
            return -1

    def time_to(self, server: int, service: str, wanted: int, since: float) -> tuple[float, int]:
        """Milliseconds from ``since`` until an answer has that many addresses, and how many questions it took."""
        for questions in range(1, 1_000_000):
            if self.answers(server, service) == wanted:
                return (time.perf_counter() - since) * 1000, questions
            if time.perf_counter() - since > SEEN_WITHIN_S:
                break
        return SEEN_WITHIN_S * 1000, 0


@contextmanager
def running(name: str, program: Sequence[str], folder: Path) -> Iterator[Cluster]:
    ports = free_ports(len(FLAGS) + 1)
    flags = [text for flag, port in zip(FLAGS, ports, strict=False) for text in (flag, str(port))]
    joins = [f"-retry-join={host}:{ports[2]}" for host in HOSTS]
    processes = []
    try:
        for number, host in enumerate(HOSTS):
            command = [*program, "agent", "-server", "-bootstrap-expect=3", f"-node=s{number}", f"-data-dir={folder}/{name}{number}"]
            command += [f"-bind={host}", f"-client={host}", *flags, *joins, "-serf-wan-port=-1", "-retry-interval=1s"]
            command += [f"-grpc-port={ports[4]}"] if name == "rostra" else []
            processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        cluster = Cluster(ports[0], ports[1])
        deadline = time.monotonic() + READY_WITHIN_S
        while not all(cluster.answers(server, "consul") == 3 for server in range(3)):
            if time.monotonic() > deadline:
                raise SystemExit(f"{name} does not come up")
            time.sleep(0.1)
        yield cluster
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def measure(cluster: Cluster, rounds: int, first: int) -> tuple[list[float], list[int]]:
    """Milliseconds until the other servers show a change, and questions until the one that took it does."""
    others, own = [], []
    for number in range(first, first + rounds):
        server, service = number % 3, f"fresh{number}"
        for other in range(3):
            cluster.answers(other, service)  # a name that was denied a moment ago
        for status, wanted in (("passing", 1), ("critical", 0)):
            cluster.register(server, service, status)
            since = time.perf_counter()
            own.append(cluster.time_to(server, service, wanted, since)[1])
            others += [cluster.time_to(other, service, wanted, since)[0] for other in range(3) if other != server]
    return others, own


def _rows(taken: dict[str, tuple[list[float], list[int]]]) -> list[Row]:
    (ours, our_questions), *theirs = taken.values()
    peers, their_questions = theirs[0] if theirs else ([], [])
    shares = [[100.0 * sum(count == 1 for count in each) / len(each)] for each in (our_questions, their_questions) if each]
    return [
        Row(name="a change is in the others' answers", unit="ms", ours=ours, peers=peers, more_is_better=False),
        Row(
            name="the same, the longest",
            unit="ms",
            ours=[max(ours)],
            peers=[max(peers)] if peers else [],
            more_is_better=False,
            limit=100.0,
        ),
        Row(
            name="a change is in the first answer of the same server",
            unit="%",
            ours=shares[0],
            peers=shares[1] if peers else [],
            limit=100.0,
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-rounds", type=int, default=5)
    parser.add_argument("-changes", type=int, default=20, help="services of each round")
    parser.add_argument("-consul", default=shutil.which("consul"), help="program to compare with (default: the one on PATH)")
    rows.add_option(parser)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        programs = {"rostra": rostra_command(), **({"consul": [options.consul]} if options.consul else {})}
        clusters = {name: stack.enter_context(running(name, program, folder)) for name, program in programs.items()}
        taken: dict[str, tuple[list[float], list[int]]] = {name: ([], []) for name in clusters}
        for number in range(options.rounds):
            for name, cluster in clusters.items():
                others, own = measure(cluster, options.changes, number * options.changes)
                taken[name][0].extend(others)
                taken[name][1].extend(own)
                print(f"{name:8} others: median {statistics.median(others):7.2f} ms, longest {max(others):7.2f} ms", flush=True)
    print("\n| | shown by the others: median, ms | p99, ms | longest, ms | same server: shown to the first question |")
    print("| --- | --- | --- | --- | --- |")
    for name, (others, own) in taken.items():
        others.sort()
        at_once = sum(questions == 1 for questions in own)
        p99 = others[int(len(others) * 0.99)]
        print(f"| {name} | {statistics.median(others):.2f} | {p99:.2f} | {others[-1]:.2f} | {at_once} of {len(own)} |")
    rows.write(options.json, _rows(taken))
    return 0


if __name__ == "__main__":
    sys.exit(main())
