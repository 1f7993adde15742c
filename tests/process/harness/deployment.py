"""One node of rostra, whole in one process or in six, behind one interface: the same test code asks both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

from .http import Api
from .names import Resolver
from .ports import Ports, free_port
from .program import this_rostra
from .running import Running
from .waiting import eventually

ROLES: Final = ("gossip", "consensus", "catalog", "local", "dns", "gateway")
HOST: Final = "127.0.0.1"
START_LIMIT_S: Final = 20.0
FAST: Final = ("-hcl=performance { raft_multiplier = 1 }",)
"""Elections as quick as a server's may be: nothing else here depends on how long they take."""


class Deployment:
    """A node that is made of processes, by name in order of start, each with its arguments.

    ``folder`` holds home, scratch and working folder of the processes; ``data`` is the data folder where they have one; ``address``
    is the node's in the cluster, ``client_host`` where its clients ask.
    """

    def __init__(
        self,
        folder: Path,
        node: str,
        ports: Ports,
        commands: Mapping[str, Sequence[str]],
        data: Path | None = None,
        address: str = HOST,
        client_host: str = HOST,
    ) -> None:
        self.folder = folder
        self.node = node
        self.address = address
        self.ports = ports
        self.data = data
        self.commands = commands
        self.program = this_rostra()
        self.http_address = f"{client_host}:{ports.http}"
        self.grpc_address = f"{client_host}:{ports.grpc}"
        self.api = Api(self.http_address)
        self.dns = Resolver(client_host, ports.dns)
        self.running: dict[str, Running] = {}
        self.metrics_ports = {name: free_port(HOST) for name in commands}

    @property
    def only(self) -> Running:
        """The process of an agent."""
        (process,) = self.running.values()
        return process

    @property
    def output(self) -> str:
        return "\n".join(f"--- {name}\n{process.output}" for name, process in self.running.items())

    def start(self, within_s: float = START_LIMIT_S) -> None:
        """Starts every process that does not run, and waits until the node answers as a whole."""
        for name in self.commands:
            if name not in self.running or not self.running[name].is_running:
                self.start_one(name)
        self.wait_until_ready(within_s)

    def start_one(self, name: str) -> Running:
        """Starts one process without waiting for anything."""
        metrics = f"-metrics-addr={HOST}:{self.metrics_ports[name]}"
        self.running[name] = Running(self.program, self.folder, [*self.commands[name], metrics])
        return self.running[name]

    def bring_back(self, name: str) -> None:
        """Starts one process and returns when it serves: what others are promised of a restart is counted from here."""
        process = self.start_one(name)
        door = f"http://{HOST}:{self.metrics_ports[name]}/health/live"
        alive = lambda: process.is_running and httpx.get(door, timeout=1.0, trust_env=False).status_code == 200  # noqa: E731
        eventually(alive, START_LIMIT_S, f"{name} serves")

    def wait_until_ready(self, within_s: float = START_LIMIT_S) -> None:
        """Until the node is in the catalog, passing, with its service, over HTTP and DNS alike."""
        try:
            eventually(self._is_ready, within_s, "the node serves and is in its own catalog")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None

    def assert_alive(self) -> None:
        """No process has ended by itself."""
        for name, process in self.running.items():
            assert process.is_running, f"{name} ended:\n{process.output}"

    def kill(self) -> None:
        """Ends every process at once, the last started first; returns when nothing is left."""
        for process in reversed(self.running.values()):
            process.kill()

    def stop(self) -> None:
        """The end of it."""
        self.kill()
        self.api.close()

    def cli(self, *arguments: str) -> str:
        """Standard output of a client command, which must succeed."""
        done = self.program.run(self.folder, *arguments, env={"CONSUL_HTTP_ADDR": self.http_address})
        assert done.returncode == 0, f"{arguments}: exit code {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def _is_ready(self) -> bool:
        self.assert_running_or_say_why()
        services = self.api.get("/v1/catalog/services").json()
        checks = self.api.get(f"/v1/health/node/{self.node}").json()
        return (
            "consul" in services
            and ("serfHealth", "passing") in [(check["CheckID"], check["Status"]) for check in checks]
            and self.dns.addresses(f"{self.node}.node.consul", within_s=0.5) == [self.address]
        )

    def assert_running_or_say_why(self) -> None:
        """Ends the wait at once when a process has ended: it will not come back by itself."""
        for name, process in self.running.items():
            if not process.is_running:
                raise RuntimeError(f"{name} ended:\n{process.output}")


def dev_agent(folder: Path, *flags: str, node: str = "solo") -> Deployment:
    """``rostra agent -dev`` with every port given."""
    ports = Ports.free()
    return Deployment(folder, node, ports, {"agent": ["agent", "-dev", f"-node={node}", *ports.flags(), *flags]})


def durable_agent(folder: Path, *flags: str, node: str = "kept", bind: str = HOST) -> Deployment:
    """``rostra agent -server -bootstrap`` on a data folder of its own."""
    ports = Ports.free()
    data = folder / "data"
    command = ["agent", "-server", "-bootstrap", f"-data-dir={data}", f"-bind={bind}", f"-node={node}", *FAST, *ports.flags(), *flags]
    return Deployment(folder, node, ports, {"agent": command}, data, bind)


def core_and_edge(folder: Path, node: str = "core") -> Deployment:
    """Four roles in one process; dns and gateway in another that keeps nothing and reaches the first by TCP."""
    ports = Ports.free()
    data = folder / "data"
    door = f"{HOST}:{free_port(HOST)}"
    core = ["agent", "-server", "-bootstrap", "-roles=gossip,consensus,catalog,local", f"-data-dir={data}", f"-bind={HOST}",
            f"-node={node}", f"-grpc-addr={door}", *FAST, *ports.flags("server", "serf_lan", "serf_wan")]  # fmt: skip
    edge = ["agent", "-roles=dns,gateway", *(f"-{role}={door}" for role in ("gossip", "catalog", "local")),
            *ports.flags("http", "dns", "grpc")]  # fmt: skip
    return Deployment(folder, node, ports, {"core": core, "edge": edge}, data)


def six_processes(folder: Path, node: str = "split") -> Deployment:
    """The six roles, each by hand, meeting at the sockets in their data folder."""
    ports = Ports.free()
    data = folder / "data"

    def upstreams(*roles: str) -> list[str]:
        return [f"-{role}=unix:{data}/{role}.sock" for role in roles]

    flags = {
        "gossip": ["-server", "-bootstrap", f"-node={node}", f"-bind={HOST}", *ports.flags("serf_lan", "serf_wan", "server")],
        "consensus": ["-bootstrap", f"-bind={HOST}", *FAST, *ports.flags("server"), *upstreams("gossip")],
        "catalog": upstreams("gossip", "consensus"),
        "local": [*ports.flags("server"), *upstreams("gossip", "catalog")],
        "dns": [*ports.flags("dns"), *upstreams("gossip", "catalog")],
        "gateway": [*ports.flags("http", "grpc"), *upstreams("gossip", "catalog", "local")],
    }
    return Deployment(folder, node, ports, {role: [role, f"-data-dir={data}", *flags[role]] for role in ROLES}, data)
