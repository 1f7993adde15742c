"""What a service manager is told (systemd's protocol), by real processes and a socket of ours."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from .harness.deployment import FAST, HOST
from .harness.ports import Ports
from .harness.program import this_rostra
from .harness.running import Running
from .harness.waiting import eventually

pytestmark = pytest.mark.process

WATCHDOG_S = 1.0


class Manager:
    """The other end of ``NOTIFY_SOCKET``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def hears(self, name: str, *, after: int = 0) -> int:
        """Waits for a message with that name, not among the first ``after``; how many have come up to it."""

        def found() -> int:
            self._listen()
            places = (place for place, message in enumerate(self.heard[after:], after + 1) if name in message)
            return next(places, 0)

        return eventually(found, 30.0, f"{name} is told")

    def _listen(self) -> None:
        try:
            while True:
                data = self._socket.recv(4096).decode()
                self.heard.append(dict(line.split("=", 1) for line in data.splitlines()))
        except BlockingIOError:
            return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.close()


def start(manager: Manager, folder: Path, *arguments: str) -> Running:
    environment = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
    program = this_rostra()
    return Running(replace(program, environment={**program.environment, **environment}), folder, arguments)


def test_an_agent_is_ready_when_it_serves_and_says_what_it_does(manager: Manager, tmp_path: Path) -> None:
    file = tmp_path / "agent.hcl"
    file.write_text('log_level = "INFO"\n')
    ports = Ports.free()
    command = ["agent", "-server", "-bootstrap", f"-data-dir={tmp_path}/data", f"-bind={HOST}", f"-config-file={file}", *FAST]
    agent = start(manager, tmp_path, *command, *ports.flags())
    try:
        place = manager.hears("READY")
        assert not any("READY" in message for message in manager.heard[: place - 1])
        with socket.create_connection((HOST, ports.http), timeout=30.0) as client:
            client.sendall(b"GET /v1/status/leader HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert f":{ports.server}".encode() in client.makefile("rb").read(), "who is ready has a leader and answers"
        assert manager.heard[place - 1]["STATUS"].endswith(": gossip, consensus, catalog, dns, gateway, local")
        alive = manager.hears("WATCHDOG")
        manager.hears("WATCHDOG", after=alive)
        agent.send(signal.SIGHUP)
        place = manager.hears("RELOADING", after=place)
        assert 0 < int(manager.heard[place - 1]["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        place = manager.hears("READY", after=place)
        agent.send(signal.SIGTERM)
        manager.hears("STOPPING", after=place)
        assert agent.wait() == 0
    finally:
        agent.kill()


def test_a_server_that_waits_for_others_is_not_ready_and_says_for_what(manager: Manager, tmp_path: Path) -> None:
    command = ["agent", "-server", "-bootstrap-expect=3", f"-data-dir={tmp_path}/data", f"-bind={HOST}"]
    agent = start(manager, tmp_path, *command, *Ports.free().flags())
    try:
        place = manager.hears("STATUS")
        assert "consensus" in manager.heard[place - 1]["STATUS"]
        manager.hears("WATCHDOG", after=manager.hears("WATCHDOG"))
        assert not any("READY" in message for message in manager.heard)
    finally:
        agent.kill()


def test_a_role_alone_is_a_service_too(manager: Manager, tmp_path: Path) -> None:
    ports = Ports.free()
    flags = ["-server", "-bootstrap", f"-bind={HOST}", *ports.flags("serf_lan", "serf_wan", "server")]
    role = start(manager, tmp_path, "gossip", f"-data-dir={tmp_path}/data", *flags)
    try:
        assert manager.heard[manager.hears("READY") - 1]["STATUS"].endswith(": gossip")
        role.send(signal.SIGINT)
        manager.hears("STOPPING")
        assert role.wait() == 0
    finally:
        role.kill()
