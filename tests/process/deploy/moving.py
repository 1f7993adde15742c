"""Servers whose address and program may be others each time they start; their folder stays."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from ..harness.deployment import FAST
from ..harness.http import Api
from ..harness.ports import Ports
from ..harness.program import Program, this_rostra
from ..harness.running import Running
from ..harness.waiting import eventually

START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0


class Server:
    """One of them. ``host`` is where it is now, or was last."""

    def __init__(self, folder: Path, name: str, host: str, ports: Ports, flags: Sequence[str]) -> None:
        self.name = name
        self.host = host
        self.ports = ports
        self._folder = folder
        self._flags = [*flags, f"-node={name}", f"-data-dir={folder / 'data'}", *FAST, "-retry-interval=1s", "-serf-wan-port=-1"]
        self.api = Api(f"{host}:{ports.http}")
        self.process: Running | None = None

    @property
    def http(self) -> str:
        return f"{self.host}:{self.ports.http}"

    @property
    def raft(self) -> str:
        """Its address among servers."""
        return f"{self.host}:{self.ports.server}"

    def start(self, peers: Sequence[Server], program: Program | None = None, host: str = "") -> None:
        """Starts it, perhaps at another address; ``peers`` are those whom it is told of."""
        if host:
            self.api.close()
            self.host, self.api = host, Api(f"{host}:{self.ports.http}")
        joined = [f"-retry-join={peer.host}:{peer.ports.serf_lan}" for peer in peers]
        at = [f"-bind={self.host}", f"-client={self.host}", *self.ports.flags("http", "dns", "grpc", "server", "serf_lan")]
        self.process = Running(program or this_rostra(), self._folder, ["agent", "-server", *self._flags, *at, *joined])

    def stop(self) -> str:
        """As an operator does: SIGTERM, and its end. What it said."""
        assert self.process is not None
        self.process.send(signal.SIGTERM)
        assert self.process.wait(STOP_LIMIT_S) == 0, self.process.output
        return self.process.output

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
        self.api.close()

    def serves(self) -> bool:
        """Whether it answers a linearizable read, with itself among the members of the catalog at its address."""
        answer = self.api.get(f"/v1/catalog/node/{self.name}").json()
        return bool(answer) and answer["Node"]["Address"] == self.host

    def wait_until_serving(self) -> None:
        eventually(self.serves, START_LIMIT_S, f"{self.name} serves at {self.host}")


def agreed_leader(servers: Sequence[Server]) -> str:
    """The name of the leader on which all agree, or nothing."""
    named = {server.api.get("/v1/status/leader").json() for server in servers}
    return next((server.name for server in servers if named == {server.raft}), "")
