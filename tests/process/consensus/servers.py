"""Three or five servers of one datacenter, each with an address of its own, and what may be done to them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rostra.clients.consensus import CommittedEntry, ConsensusClient, Entries, SnapshotStart
from rostra.rpc.channels import connect

from ..harness.http import Api
from ..harness.ports import Ports
from ..harness.program import this_rostra
from ..harness.running import Running
from ..harness.waiting import eventually

FIRST_HOST: Final = 31
START_LIMIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Log:
    """What a server has committed, as it hands it to its state machine: entries in order, after a snapshot if ``base`` is not 0."""

    base: int
    entries: Sequence[CommittedEntry]


class Server:
    """One of them. Its process comes and goes; its folder and its command stay."""

    def __init__(self, folder: Path, name: str, host: str, ports: Ports, others: Sequence[str], count: int, flags: Sequence[str]) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.name = name
        self.host = host
        self.ports = ports
        self.http = f"{host}:{ports.http}"
        self.api = Api(self.http)
        self.command = [
            "agent",
            "-server",
            f"-bootstrap-expect={count}",
            f"-data-dir={self.data}",
            f"-node={name}",
            f"-bind={host}",
            f"-client={host}",
            "-retry-interval=1s",
            *(f"-retry-join={other}:{ports.serf_lan}" for other in others),
            *ports.flags("http", "dns", "grpc", "server", "serf_lan"),
            "-serf-wan-port=-1",  # leaving it would take each of them 5 s more
            *flags,
        ]
        self.program = this_rostra()
        self.process: Running | None = None

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.is_running

    def start(self) -> None:
        assert not self.is_up
        self.process = Running(self.program, self.folder, self.command)

    def running(self) -> Running:
        assert self.process is not None
        return self.process

    def kill(self) -> None:
        self.running().kill()

    def pause(self) -> None:
        self.running().send(signal.SIGSTOP)

    def resume(self) -> None:
        self.running().send(signal.SIGCONT)

    def interrupt(self, within_s: float = 40.0) -> int:
        """Ctrl-C, and the exit code once it has left."""
        self.running().send(signal.SIGINT)
        return self.running().wait(within_s)

    def leader(self) -> str:
        """The address of the leader as this server knows it, or nothing."""
        return str(self.api.get("/v1/status/leader", within_s=1.0).json())

    def log(self) -> Log:
        """All that is committed here, as a state machine that begins now would see it."""
        return asyncio.run(self._read_log())

    async def _read_log(self) -> Log:
        async with connect(f"unix:{self.data}/consensus.sock") as channel:
            client = ConsensusClient(channel)
            commit_index = (await client.get_status(5.0)).leadership.commit_index
            entries: list[CommittedEntry] = []
            base = 0
            async with client.attach() as stream, asyncio.timeout(20):
                while base + len(entries) < commit_index:
                    match await stream.receive():
                        case Entries() as delivered:
                            entries += delivered.entries
                            await stream.report_applied(entries[-1].index)
                        case SnapshotStart() as start:
                            base, entries = start.last_index, []
            return Log(base, entries)


class Servers:
    """All of them. ``-bootstrap-expect`` and ``-retry-join`` bring them together."""

    def __init__(self, folder: Path, count: int = 3, flags: Sequence[str] = (), first_host: int = FIRST_HOST) -> None:
        hosts = [f"127.0.0.{first_host + number}" for number in range(count)]
        ports = Ports.free(hosts[0])
        self.flags = ["-hcl=performance { raft_multiplier = 1 }", *flags]
        self.all = [
            Server(folder / f"s{number}", f"s{number}", host, ports, [other for other in hosts if other != host], count, self.flags)
            for number, host in enumerate(hosts, 1)
        ]

    def __getitem__(self, name: str) -> Server:
        return next(server for server in self.all if server.name == name)

    @property
    def up(self) -> list[Server]:
        return [server for server in self.all if server.is_up]

    def start(self) -> None:
        for server in self.all:
            if not server.is_up:
                server.start()
        self.wait_for_leader()

    def wait_for_leader(self, within_s: float = START_LIMIT_S) -> Server:
        """Until every running server names the same leader, one of them."""
        return eventually(
            self._agreed_leader,
            within_s,
            "every server names the same leader",
        )

    def _agreed_leader(self) -> Server | None:
        for server in self.all:
            if server.process is not None and not server.is_up and server.process.wait() != 0:
                raise RuntimeError(f"{server.name} ended:\n{server.process.output}")
        named = {server.leader() for server in self.up}
        return next((server for server in self.up if named == {f"{server.host}:{server.ports.server}"}), None)

    def wait_for_voters(self, count: int, within_s: float = START_LIMIT_S) -> None:
        """Until that many servers vote."""
        eventually(lambda: all(len(server.api.get("/v1/status/peers").json()) == count for server in self.up), within_s, "voters")

    def stop(self) -> None:
        """The end of it."""
        for server in self.all:
            if server.process is not None:
                server.process.kill()  # also closes the pipes of one that has ended by itself
            server.api.close()

    def output(self) -> str:
        return "\n".join(f"--- {server.name}\n{server.running().output}" for server in self.all if server.process is not None)


@contextmanager
def started(servers: Servers) -> Iterator[Servers]:
    """They run, with a leader, until the end; what they said is added to whatever goes wrong meanwhile."""
    try:
        servers.start()
        yield servers
    except BaseException as error:
        error.add_note(servers.output())
        raise
    finally:
        servers.stop()
