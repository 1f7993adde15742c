"""A real Consul and a gateway of ours, with the same catalog.

Consul's own node is copied, so that lists are of equal length; everything else both are told by the same requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import importlib.util
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rostra.gateway.role import GatewayRole
from rostra.gateway.settings import GatewaySettings

from ...process.harness.ports import free_port

HOST = "127.0.0.61"
START_S = 120.0


def load_small_hub() -> ModuleType:
    """The small services that the unit tests have."""
    path = Path(__file__).parents[2] / "unit" / "gateway" / "small_hub.py"
    spec = importlib.util.spec_from_file_location("small_hub_of_gateway", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Response:
    """Status, headers (names in lower case) and body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Server:
    """An HTTP API."""

    host: str
    port: int

    def ask(self, method: str, target: str, body: str | bytes | None = None, headers: dict[str, str] | None = None) -> Response:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, target, body.encode() if isinstance(body, str) else body, headers or {})
            answer = connection.getresponse()
            return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def say(self, request: bytes) -> tuple[list[int], bool]:
        """The statuses that raw bytes are answered with, and whether the connection stays: then it answers one more request."""
        with socket.create_connection((self.host, self.port), timeout=20) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(request)
            last, answered = b"HTTP/1.1 404", b""
            heads = re.compile(rb"HTTP/1\.[01] (\d+) ")
            while chunk := connection.recv(65536):
                answered += chunk
                if len(heads.findall(answered)) >= request.count(b"HTTP/"):
                    break
            connection.sendall(b"GET /v1/last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while chunk := connection.recv(65536):
                answered += chunk
        stays = answered.count(last) == 1
        return [int(status) for status in heads.findall(answered)][: -1 if stays else None], stays


@pytest.fixture(scope="module")
def consul() -> Iterator[Server]:
    """``consul agent -dev``, every port explicit."""
    names = ("http", "dns", "grpc", "server", "serf-lan", "serf-wan")
    ports = {name: free_port(HOST) for name in names}
    flags = [flag for name, port in ports.items() for flag in (f"-{name}-port", str(port))]
    settings = ["-node", "n1", "-bind", HOST, "-client", HOST, "-log-level", "err", "-hcl", "disable_update_check = true"]
    process = subprocess.Popen(["consul", "agent", "-dev", *settings, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server(HOST, ports["http"])
    try:
        end = time.monotonic() + START_S
        while True:
            try:
                passing = json.loads(server.ask("GET", "/v1/health/state/passing").body)
                node = json.loads(server.ask("GET", "/v1/catalog/node/n1").body)["Node"]
                # The leader registers the node first; its agent fills in the rest a moment later.
                if passing and node["TaggedAddresses"] and node["Meta"]:
                    break
            except (OSError, ValueError, TypeError):
                pass
            assert time.monotonic() < end, "Consul did not start"
            time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait(60)


class Gateway:
    """Our gateway, on a loop of its own in a thread."""

    def __init__(self) -> None:
        self.small = load_small_hub()
        self.hub = self.small.SmallHub()
        self.agent = self.small.SmallAgent()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        settings = GatewaySettings(http_port=0, node_name="n1", pretty=True)
        gossip, raft, dns = self.small.SmallGossip(), self.small.SmallRaft(self.hub), self.small.SmallDns()
        self.role = GatewayRole(self.hub, self.hub, self.agent, gossip, raft, dns, settings)
        self.run(self.role.start())
        host, _, port = self.role.addresses[0].rpartition(":")
        self.server = Server(host, int(port))

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def stop(self) -> None:
        self.run(self.role.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def gateway(consul: Server) -> Iterator[Gateway]:
    """Ours, with Consul's own node in the catalog."""
    gateway = Gateway()
    try:
        copy_node(consul, gateway.server)
        yield gateway
    finally:
        gateway.stop()


def copy_node(source: Server, target: Server) -> None:
    """Registers what ``source`` has under "n1" in ``target``."""
    shown = json.loads(source.ask("GET", "/v1/catalog/node/n1").body)
    checks = json.loads(source.ask("GET", "/v1/health/node/n1").body)
    node, services = shown["Node"], shown["Services"]
    for service in services.values():
        body = {
            "ID": node["ID"], "Node": node["Node"], "Address": node["Address"], "TaggedAddresses": node["TaggedAddresses"],
            "NodeMeta": node["Meta"], "Service": service, "Checks": checks,
        }  # fmt: skip
        answer = target.ask("PUT", "/v1/catalog/register", json.dumps(body))
        assert answer.status == 200, answer.body
