"""A real Consul agent in development mode, and the same catalog behind our role."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HOST = "127.0.0.1"
START_TIME_MAX_S = 30.0
PORTS = ("http", "dns", "server", "serf_lan", "serf_wan")


class Consul:
    """A running agent; ``dns_port`` is where it answers."""

    def __init__(self, http_port: int, dns_port: int) -> None:
        self.http_port = http_port
        self.dns_port = dns_port

    def register(self, registration: dict[str, object]) -> None:
        body = json.dumps(registration).encode()
        request = urllib.request.Request(f"http://{HOST}:{self.http_port}/v1/catalog/register", body, method="PUT")
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 200

    def is_up(self) -> bool:
        """Whether it leads and its catalog has its own node, with the metadata that it adds a moment later."""
        return "serfHealth" in self._get("health/node/main?passing") and "consul-network-segment" in self._get("catalog/node/main")

    def _get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.http_port}/v1/{path}", timeout=1) as response:
                return str(response.read())
        except (urllib.error.URLError, OSError):
            return ""


def free_ports(count: int) -> list[int]:
    """Ports that were free for TCP and UDP a moment ago."""
    ports: list[int] = []
    held: list[socket.socket] = []
    while len(ports) < count:
        tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        held += [tcp, udp]
        tcp.bind((HOST, 0))
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            continue
        ports.append(tcp.getsockname()[1])
    for one in held:
        one.close()
    return ports


@pytest.fixture(scope="session")
def consul(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consul]:
    require("consul")
    folder: Path = tmp_path_factory.mktemp("consul")
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    configuration = {
        "node_name": "main",
        "alt_domain": "alt",
        "bind_addr": HOST,
        "ports": {**ports, "grpc": -1},
        "dns_config": {"node_ttl": "7s", "service_ttl": {"web": "3s", "d*": "4s", "*": "5s"}, "soa": {"min_ttl": 6}},
    }
    (folder / "consul.json").write_text(json.dumps(configuration))
    command = [shutil.which("consul") or "", "agent", "-dev", f"-config-file={folder}/consul.json"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process:
        try:
            agent = Consul(ports["http"], ports["dns"])
            deadline = time.monotonic() + START_TIME_MAX_S
            while not agent.is_up():
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
            yield agent
        finally:
            process.kill()
