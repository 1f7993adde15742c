"""A real Consul and two agents of ours, one with every quirk of Consul's switched on, all with the same catalog."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rostra.dns.settings import Compatibility

from ...process.harness.ports import free_port
from .catalog import CATALOG

HOST = "127.0.0.1"
START_TIME_MAX_S = 120.0
PORTS = ("http", "dns", "server", "serf_lan", "serf_wan", "grpc")
DNS_CONFIG = {"node_ttl": "7s", "service_ttl": {"web": "3s", "d*": "4s", "*": "5s"}, "soa": {"min_ttl": 6}}
ALL_QUIRKS = {"enable_truncate": False, "compat": dict.fromkeys(Compatibility.__dataclass_fields__, True)}


class Agent:
    """A running agent; ``dns_port`` is where it answers."""

    def __init__(self, http_port: int, dns_port: int) -> None:
        self.http_port = http_port
        self.dns_port = dns_port

    def register(self, registration: Mapping[str, object]) -> None:
        body = json.dumps(registration).encode()
        request = urllib.request.Request(f"http://{HOST}:{self.http_port}/v1/catalog/register", body, method="PUT")
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.status == 200

    def is_up(self) -> bool:
        """Whether it leads and its catalog has its own node and service."""
        return "serfHealth" in self._get("health/node/main?passing") and '"consul"' in self._get("catalog/node/main")

    def _get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.http_port}/v1/{path}", timeout=1) as response:
                return str(response.read().decode())
        except (urllib.error.URLError, OSError):
            return ""


@dataclass(frozen=True)
class Agents:
    """All know the same."""

    consul: Agent
    quirky: Agent
    """Ours with ``dns_config.compat``."""
    plain: Agent
    """Ours as it comes."""


@contextmanager
def running(program: str, folder: Path, dns_config: Mapping[str, Any], *, grpc: bool) -> Iterator[Agent]:
    """An agent for development with the same configuration as the others."""
    ports = {name: free_port(HOST) for name in PORTS}
    configuration = {
        "node_name": "main",
        "alt_domain": "alt",
        "bind_addr": HOST,
        "ports": {**ports, "grpc": ports["grpc"] if grpc else -1},
        "dns_config": {**DNS_CONFIG, **dns_config},
    }
    folder.mkdir()
    (folder / "agent.json").write_text(json.dumps(configuration))
    command = [program, "agent", "-dev", f"-config-file={folder}/agent.json"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process:
        try:
            agent = Agent(ports["http"], ports["dns"])
            deadline = time.monotonic() + START_TIME_MAX_S
            while not agent.is_up():
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
            yield agent
        finally:
            process.kill()


@pytest.fixture(scope="session")
def agents(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agents]:
    require("consul")
    folder = tmp_path_factory.mktemp("agents")
    rostra = str(Path(sys.executable).with_name("rostra"))
    with ExitStack() as stack:
        consul = stack.enter_context(running(shutil.which("consul") or "", folder / "consul", {}, grpc=False))
        quirky = stack.enter_context(running(rostra, folder / "quirky", ALL_QUIRKS, grpc=True))
        plain = stack.enter_context(running(rostra, folder / "plain", {}, grpc=True))
        for agent in (consul, quirky, plain):
            for registration in CATALOG:
                agent.register(registration)
        yield Agents(consul, quirky, plain)
