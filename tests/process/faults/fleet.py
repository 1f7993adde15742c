"""Servers and clients of one datacenter, each on a host of its own, and what may be done to each of them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import httpx

from ..harness.lan import Host, Lan
from ..harness.running import Running
from ..harness.waiting import eventually

SERVICE: Final = "web"
"""What every client offers."""

DISK_BYTES: Final = 96 * 1024 * 1024
START_LIMIT_S: Final = 60.0
LEAVE_LIMIT_S: Final = 60.0
TIMING: Final = "performance { raft_multiplier = 1 }"


class Agent:
    """One node. Its process comes and goes; its folder and its command stay."""

    def __init__(self, host: Host, folder: Path, *, is_server: bool, flags: Sequence[str]) -> None:
        self.host = host
        self.name = host.name
        self.folder = folder
        self.data = folder / "data"
        self.is_server = is_server
        self.http = f"http://{host.client_address}:8500"
        self._command = [
            "agent",
            f"-node={host.name}",
            f"-data-dir={self.data}",
            f"-bind={host.address}",
            f"-client={host.client_address}",
            "-retry-interval=1s",
            f"-hcl={TIMING}",
            *flags,
        ]
        self._process: Running | None = None

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.is_running

    @property
    def output(self) -> str:
        return "" if self._process is None else self._process.output

    def start(self) -> None:
        assert not self.is_up
        self._process = Running(self.host.program(), self.folder, self._command)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def pause(self) -> None:
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM: a server stops, a client leaves. The exit code."""
        self._send(signal.SIGTERM)
        assert self._process is not None
        return self._process.wait(LEAVE_LIMIT_S)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send(number)

    def fill_disk(self) -> None:
        """Until there is no byte left for anybody."""
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass

    def empty_disk(self) -> None:
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.data / "ballast"

    def get(self, path: str, within_s: float = 5.0) -> httpx.Response:
        return httpx.get(f"{self.http}{path}", timeout=within_s, trust_env=False)


class Fleet:
    """All of them; ``lan`` is what lies between. ``folder`` is theirs alone."""

    def __init__(self, lan: Lan, folder: Path) -> None:
        self.lan = lan
        hosts = lan.hosts.values()
        servers = [host for host in hosts if host.name.startswith("s")]
        join = [f"-retry-join={host.address}" for host in servers]
        self.servers = [
            Agent(host, folder / host.name, is_server=True, flags=["-server", f"-bootstrap-expect={len(servers)}", *join])
            for host in servers
        ]
        service = f'service {{ name = "{SERVICE}", id = "{SERVICE}", port = 80 }}'
        self.clients = [
            Agent(host, folder / host.name, is_server=False, flags=[f"-hcl={service}", *join]) for host in hosts if host not in servers
        ]
        self.all = [*self.servers, *self.clients]

    def __getitem__(self, name: str) -> Agent:
        return next(agent for agent in self.all if agent.name == name)

    @contextlib.contextmanager
    def running(self) -> Iterator[Fleet]:
        """Started and whole on entering; ended on leaving, whatever state it is in. Every server has a small disk of its own."""
        with contextlib.ExitStack() as stack:
            for server in self.servers:
                server.data.mkdir(parents=True)
                _mount(server.data)
                stack.callback(_unmount, server.data)
            for agent in self.all:
                agent.start()
                stack.callback(agent.kill)
            self.wait_until_whole()
            yield self

    def leader(self) -> Agent | None:
        """The server that a majority takes for the leader, where it is to be found out."""
        named = []
        for server in self.servers:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                named.append(str(server.get("/v1/status/leader", 1.0).json()).rpartition(":")[0])
        return next((each for each in self.servers if named.count(each.host.address) > len(self.servers) // 2), None)

    def wait_until_whole(self, within_s: float = START_LIMIT_S) -> str:
        """Until every agent sees every other alive, and all services pass everywhere. What was last wanting, if anything was."""
        names = {agent.name for agent in self.all}
        wanted = {client.host.address: client.name for client in self.clients}
        wanting = ""

        def is_whole(agent: Agent) -> bool:
            nonlocal wanting
            assert agent.is_up, f"{agent.name} ended by itself:\n{agent.output[-4000:]}"
            members = agent.get("/v1/agent/members").json()
            lost = sorted(names - {member["Name"] for member in members if member["Status"] == 1})
            passing = {entry["Node"]["Address"] for entry in agent.get(f"/v1/health/service/{SERVICE}?passing").json()}
            failing = sorted(name for address, name in wanted.items() if address not in passing)
            if lost or failing:
                wanting = f"{agent.name} sees not alive: {' '.join(lost) or 'nobody'}, not passing: {' '.join(failing) or 'nobody'}"
            return not lost and not failing

        for agent in self.all:
            eventually(lambda agent=agent: is_whole(agent), within_s, f"{agent.name} sees all alive and passing")  # type: ignore[misc]
        return wanting


def _mount(folder: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", str(folder)], check=True, timeout=60)


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=False, timeout=60)
