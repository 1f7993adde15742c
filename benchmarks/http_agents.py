"""Agents to ask over HTTP, of rostra or of Consul: one for development, or three servers with a client agent.

Both programs take the same flags, so one list starts either. Each agent has a loopback address of its own and ports found free.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_LIMIT_S = 60.0
PORTS = ("http", "dns", "grpc", "serf-lan", "serf-wan", "server")
LOADERS = 8
"""Connections that fill a catalog."""


@dataclass(frozen=True)
class Program:
    """What is measured. ``hosts``: the last byte of its first agent's address."""

    name: str
    command: Sequence[str]
    hosts: int


def programs() -> tuple[Program, Program]:
    """Ours, beside this interpreter, and the peer on PATH."""
    consul = shutil.which("consul")
    if consul is None:
        raise SystemExit("consul is not on PATH")
    return Program("rostra", [str(Path(sys.executable).with_name("rostra"))], 81), Program("consul", [consul], 91)


@dataclass(frozen=True)
class Agent:
    """One that runs."""

    host: str
    ports: dict[str, int]
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.ports['http']}"

    def connect(self, timeout_s: float = 30.0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.ports["http"], timeout=timeout_s)

    def get(self, target: str) -> Any:
        """The JSON of one answer. Raises OSError and ValueError."""
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", target)
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 200:
            raise ValueError(f"{target}: {answer.status} {body!r}")
        return json.loads(body)


def free_ports(host: str) -> dict[str, int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in PORTS]
        for each in sockets:
            each.bind((host, 0))
        return {name: each.getsockname()[1] for name, each in zip(PORTS, sockets, strict=True)}


@contextmanager
def started(program: Program, number: int, flags: Sequence[str]) -> Iterator[Agent]:
    """One agent, until the end of the block."""
    host = f"127.0.0.{program.hosts + number}"
    ports = free_ports(host)
    name = f"{program.name}-{number}"
    own = [
        "-node",
        name,
        "-bind",
        host,
        "-client",
        host,
        *(word for port, value in ports.items() for word in (f"-{port}-port", str(value))),
    ]
    process = subprocess.Popen([*program.command, "agent", *own, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Agent(host, ports, process)
    finally:
        process.kill()
        process.wait()


def wait_until_ready(agent: Agent) -> None:
    """Until its default reads list a node."""
    end = time.monotonic() + START_LIMIT_S
    while True:
        with contextlib.suppress(OSError, ValueError):
            if agent.get("/v1/catalog/nodes"):
                return
        if time.monotonic() > end:
            raise SystemExit(f"{agent.url} did not answer")
        time.sleep(0.05)


@contextmanager
def dev_agent(program: Program) -> Iterator[Agent]:
    """One server for development, which keeps nothing."""
    with started(program, 0, ["-dev", "-log-level", "err", "-hcl", NO_CONNECTION_LIMIT]) as agent:
        wait_until_ready(agent)
        yield agent


NO_CONNECTION_LIMIT = "limits { http_max_conns_per_client = 12000 }"


@dataclass(frozen=True)
class Cluster:
    """Three servers and a client agent."""

    leader: Agent
    followers: Sequence[Agent]
    client: Agent


@contextmanager
def cluster(program: Program, more: Sequence[str] = ()) -> Iterator[Cluster]:
    """Durable, on this machine's temporary folder; ``more`` are further flags of every agent."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        common = ["-log-level", "err", "-hcl", NO_CONNECTION_LIMIT + " performance { raft_multiplier = 1 }", *more]
        agents: list[Agent] = []
        for number in range(4):
            join = [word for other in agents for word in ("-retry-join", f"{other.host}:{other.ports['serf-lan']}")]
            role = ["-server", "-bootstrap-expect", "3"] if number < 3 else []
            flags = [*role, "-data-dir", str(folder / str(number)), "-retry-interval", "1s", *join, *common]
            agents.append(stack.enter_context(started(program, number, flags)))
        for agent in agents:
            wait_until_ready(agent)
        leading = agents[0].get("/v1/status/leader")
        leader = next(agent for agent in agents if leading == f"{agent.host}:{agent.ports['server']}")
        wait_for_members(agents[3])
        yield Cluster(leader, [agent for agent in agents[:3] if agent is not leader], agents[3])


def wait_for_members(agent: Agent) -> None:
    """Until all four are in the catalog and pass."""
    end = time.monotonic() + START_LIMIT_S
    while len(agent.get("/v1/health/state/passing")) < 4:
        if time.monotonic() > end:
            raise SystemExit("the cluster did not form")
        time.sleep(0.1)


def put(connection: http.client.HTTPConnection, target: str, body: object) -> None:
    """A write; anything but 200 ends the benchmark."""
    connection.request("PUT", target, json.dumps(body))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{target}: {answer.status} {text!r}")


def fill(agent: Agent, registrations: Sequence[object]) -> None:
    """Registers all of them in the catalog."""

    def load(part: Sequence[object]) -> None:
        with contextlib.closing(agent.connect()) as connection:
            for each in part:
                put(connection, "/v1/catalog/register", each)

    with ThreadPoolExecutor(LOADERS) as pool:
        list(pool.map(load, (registrations[number::LOADERS] for number in range(LOADERS))))
