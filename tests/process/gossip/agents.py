"""Agents on loopback addresses of their own, all on the same ports, with gossip quick enough to wait for a failure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from ..harness.http import Api
from ..harness.ports import Ports, free_port
from ..harness.program import this_rostra
from ..harness.running import Running
from ..harness.waiting import eventually

START_LIMIT_S: Final = 20.0
STATUSES: Final = {1: "alive", 2: "leaving", 3: "left", 4: "failed"}

_QUICK: Final = '{ gossip_interval = "50ms" probe_interval = "200ms" probe_timeout = "100ms" suspicion_mult = 3 }'
QUICK: Final = ("-hcl=performance { raft_multiplier = 1 }", f"-hcl=gossip_lan {_QUICK}", f"-hcl=gossip_wan {_QUICK}")

PATIENT: Final = '-hcl=gossip_lan { probe_interval = "1s" probe_timeout = "900ms" suspicion_mult = 3 }'
"""Where nobody is to be suspected for being slow on a busy machine."""


class Agent:
    """One node. Its process comes and goes; its folder and its command stay."""

    def __init__(self, folder: Path, name: str, host: str, ports: Ports, flags: Sequence[str]) -> None:
        self.name = name
        self.host = host
        self.data = folder / "data"
        self.lan = f"{host}:{ports.serf_lan}"
        self.wan = f"{host}:{ports.serf_wan}"
        self.grpc = f"{host}:{ports.grpc}"
        self.server = (host, ports.server)
        self.http = f"{host}:{ports.http}"
        self.api = Api(self.http)
        self.process: Running | None = None
        self._folder = folder
        self._metrics = f"{host}:{free_port(host)}"
        self._command = ["agent", f"-node={name}", f"-bind={host}", f"-client={host}", f"-data-dir={self.data}", *ports.flags(), *QUICK]
        self._flags = flags

    def start(self, flags: Sequence[str] | None = None) -> None:
        """Returns when it answers; with ``flags`` in place of those of before."""
        self.run(flags)
        eventually(lambda: self.running.is_running and self.api.get("/v1/agent/self").status_code == 200, START_LIMIT_S, self.name)

    def run(self, flags: Sequence[str] | None = None) -> Running:
        """Starts it without waiting for anything."""
        self._flags = self._flags if flags is None else flags
        self.process = Running(this_rostra(), self._folder, [*self._command, f"-metrics-addr={self._metrics}", *self._flags])
        return self.process

    @property
    def running(self) -> Running:
        assert self.process is not None
        return self.process

    def kill(self) -> None:
        self.running.kill()

    def cli(self, *arguments: str) -> str:
        """Standard output of a client command, which must succeed."""
        code, output = self.try_cli(*arguments)
        assert code == 0, f"{arguments}: exit code {code}: {output}"
        return output

    def try_cli(self, *arguments: str) -> tuple[int, str]:
        done = this_rostra().run(self._folder, *arguments, env={"CONSUL_HTTP_ADDR": self.http})
        return done.returncode, done.stdout + done.stderr

    def members(self, *, wan: bool = False) -> dict[str, str]:
        """Name to status."""
        found = self.api.get(f"/v1/agent/members{'?wan=1' if wan else ''}").json()
        return {member["Name"]: STATUSES[member["Status"]] for member in found}

    def sees(self, *, wan: bool = False, within_s: float = 20.0, **statuses: str | None) -> None:
        """Waits until each member has its status, or is unknown where that is None. A dot in a name is written as two underscores."""
        wanted = {name.replace("__", "."): status for name, status in statuses.items()}

        def is_so() -> bool:
            members = self.members(wan=wan)
            return all(members.get(name) == status for name, status in wanted.items())

        eventually(is_so, within_s, f"{self.name} sees {wanted}")

    def metric(self, name: str, group: str = "serf_lan") -> float:
        """A number of the role gossip; 0 where it has not been counted yet."""
        text = httpx.get(f"http://{self._metrics}/metrics", timeout=30.0, trust_env=False).text
        prefix = f'rostra_gossip_{name}{{group="{group}"}} '
        return next((float(line.removeprefix(prefix)) for line in text.splitlines() if line.startswith(prefix)), 0.0)


class Agents:
    """All agents of one test; what still runs is ended with it."""

    def __init__(self, folder: Path, network: int) -> None:
        self._folder = folder
        self._network = network
        self._ports = Ports.free(f"127.0.{network}.1")
        self.all: list[Agent] = []

    def make(self, name: str, *flags: str, host: str = "") -> Agent:
        host = host or f"127.0.{self._network}.{len(self.all) + 1}"
        agent = Agent(self._folder / f"{name}-{len(self.all)}", name, host, self._ports, flags)
        self.all.append(agent)
        return agent

    def start(self, name: str, *flags: str, host: str = "") -> Agent:
        agent = self.make(name, *flags, host=host)
        agent.start()
        return agent

    def server(self, name: str, *flags: str) -> Agent:
        """The only server of its datacenter."""
        return self.start(name, "-server", "-bootstrap", *flags)

    def stop(self) -> None:
        for agent in self.all:
            if agent.process is not None:
                agent.process.kill()
            agent.api.close()


def json(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()
