"""Checks of a real agent: every kind, seen by the catalog and by DNS, in one process and in six."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from ..harness.deployment import Deployment
from ..harness.ports import free_port
from ..harness.waiting import eventually

pytestmark = pytest.mark.process

HOST = "127.0.0.1"
Start = Callable[..., Deployment]


class Web(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the server has at the moment."""

    def do_GET(self) -> None:
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(b"body")

    def log_request(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer((HOST, 0), Web)
    server.status = 200  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def grpc_port() -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    servicer.set("sick", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    yield port
    server.stop(0)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A listener that takes connections and says nothing, and does so by UDP as well."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind((HOST, port := free_port()))
        tcp.listen(512)
        udp.bind((HOST, port))
        yield port


def statuses(node: Deployment) -> dict[str, str]:
    """Of the node's checks, as the catalog has them."""
    return {check["CheckID"]: check["Status"] for check in node.api.get(f"/v1/health/node/{node.node}").json()}


def outputs(node: Deployment) -> dict[str, str]:
    return {check_id: check["Output"] for check_id, check in node.api.get("/v1/agent/checks").json().items()}


def add(node: Deployment, name: str, **check: Any) -> None:
    answer = node.api.put("/v1/agent/check/register", {"Name": name, "Interval": "1s", **check})
    assert answer.status_code == 200, answer.text


@contextlib.contextmanager
def removed(node: Deployment, *paths: str) -> Iterator[None]:
    """Deregisters what a test has registered with a node that others use too."""
    try:
        yield
    finally:
        for path in paths:
            node.api.put(f"/v1/agent/{path}")


def test_every_kind_of_check_says_how_it_is(node: Deployment, web: http.server.HTTPServer, grpc_port: int, silent_port: int) -> None:
    nobody = free_port()
    kinds: dict[str, tuple[dict[str, Any], str]] = {
        "http": ({"HTTP": f"http://{HOST}:{web.server_port}/"}, "passing"),
        "http by name": ({"HTTP": f"http://localhost:{web.server_port}/"}, "passing"),
        "http nobody": ({"HTTP": f"http://{HOST}:{nobody}/"}, "critical"),
        "tcp": ({"TCP": f"{HOST}:{silent_port}"}, "passing"),
        "tcp nobody": ({"TCP": f"{HOST}:{nobody}"}, "critical"),
        "udp": ({"UDP": f"{HOST}:{silent_port}", "Timeout": "200ms"}, "passing"),
        "udp nobody": ({"UDP": f"{HOST}:{nobody}", "Timeout": "200ms"}, "critical"),
        "grpc": ({"GRPC": f"{HOST}:{grpc_port}"}, "passing"),
        "grpc sick": ({"GRPC": f"{HOST}:{grpc_port}/sick"}, "critical"),
        "h2ping": ({"H2PING": f"{HOST}:{grpc_port}", "H2PingUseTLS": False}, "passing"),
        "h2ping nobody": ({"H2PING": f"{HOST}:{nobody}", "H2PingUseTLS": False}, "critical"),
        "os service": ({"OSService": "rostra-test-no-such-service"}, "critical"),
    }
    with removed(node, *(f"check/deregister/{name}" for name in kinds)):
        for name, (check, _) in kinds.items():
            add(node, name, **check)
        expected = {name: status for name, (_, status) in kinds.items()} | {"serfHealth": "passing"}
        eventually(lambda: statuses(node) == expected and all(outputs(node).values()), 15.0, "every check has run")
        shown = outputs(node)
        assert shown["http"] == f"HTTP GET http://{HOST}:{web.server_port}/: 200 OK Output: body"
        assert shown["tcp"] == f"TCP connect {HOST}:{silent_port}: Success"
        assert shown["grpc"] == f"gRPC check {HOST}:{grpc_port}: success"


def test_dns_follows_a_check_and_so_do_alias_and_maintenance(node: Deployment, web: http.server.HTTPServer) -> None:
    def answers(name: str) -> list[str]:
        return node.dns.addresses(f"{name}.service.consul")

    check = {"HTTP": f"http://{HOST}:{web.server_port}/", "Interval": "1s"}
    with removed(node, "service/deregister/front", "service/deregister/shop"):
        node.api.put("/v1/agent/service/register", {"Name": "shop", "Check": check})
        node.api.put("/v1/agent/service/register", {"Name": "front", "Check": {"AliasService": "shop"}})
        eventually(lambda: answers("shop") == answers("front") == [HOST], 5.0, "both are found")
        web.status = 500  # type: ignore[attr-defined]
        eventually(lambda: answers("shop") == answers("front") == [], 5.0, "neither is found")
        web.status = 429  # type: ignore[attr-defined]
        eventually(lambda: answers("shop") == answers("front") == [HOST], 5.0, "a warning is found")
        node.api.put("/v1/agent/service/maintenance/shop?enable=true&reason=moving")
        eventually(lambda: answers("shop") == answers("front") == [], 5.0, "neither is found in maintenance")
        node.api.put("/v1/agent/service/maintenance/shop?enable=false")
        eventually(lambda: answers("shop") == answers("front") == [HOST], 5.0, "both are back")


def test_an_alias_follows_a_service_of_another_node(node: Deployment) -> None:
    def other(status: str) -> None:
        check = {"CheckID": "c", "Name": "c", "ServiceID": "far", "Status": status, "Output": "as it is"}
        node.api.register("elsewhere", "127.0.0.9", Service={"Service": "far"}, Check=check)

    with removed(node, "check/deregister/al"):
        try:
            other("warning")
            answer = node.api.put("/v1/agent/check/register", {"Name": "al", "AliasNode": "elsewhere", "AliasService": "far"})
            assert answer.status_code == 200
            eventually(lambda: statuses(node).get("al") == "warning", 5.0)
            assert outputs(node)["al"] == 'Aliased check "c" failing: as it is'
            other("passing")
            eventually(lambda: statuses(node)["al"] == "passing", 5.0)
        finally:
            node.api.deregister("elsewhere")
        eventually(lambda: outputs(node)["al"] == "Service far could not be found on node elsewhere", 5.0)


def test_hanging_checks_delay_no_other(start_dev: Start, web: http.server.HTTPServer, silent_port: int) -> None:
    node = start_dev("-enable-script-checks")
    for number in range(30):
        add(node, f"hangs-{number}", HTTP=f"http://{HOST}:{silent_port}/", Timeout="60s")
        add(node, f"sleeps-{number}", Args=["sleep", "60"], Timeout="60s")
    add(node, "quick", HTTP=f"http://{HOST}:{web.server_port}/")
    eventually(lambda: statuses(node)["quick"] == "passing", 5.0)
    eventually(lambda: int(node.api.get("/v1/agent/self").json()["Stats"]["agent"]["checks_running"]) >= 60, 5.0)
    for status, expected in ((500, "critical"), (200, "passing")):
        web.status = status  # type: ignore[attr-defined]
        eventually(lambda expected=expected: statuses(node)["quick"] == expected, 3.0)  # type: ignore[misc]
    sleeping = {check_id for check_id, output in outputs(node).items() if check_id != "quick" and output}
    assert sleeping == set()
    assert all(status == "critical" for check_id, status in statuses(node).items() if check_id.startswith(("hangs", "sleeps")))


def test_scripts_run_only_where_they_are_enabled(start_dev: Start, tmp_path: Path) -> None:
    script = {"Name": "s", "Args": ["sh", "-c", "echo warned; exit 1"], "Interval": "1s"}
    refused = start_dev().api.put("/v1/agent/check/register", script)
    assert refused.status_code == 400
    assert refused.text == "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"
    file = tmp_path / "checks.json"
    for flag, code in (("-enable-local-script-checks", 400), ("-enable-script-checks", 200)):
        file.write_text("{}")
        node = start_dev(flag, f"-config-file={file}")
        file.write_text('{"check": {"name": "own", "args": ["true"], "interval": "1s"}}')
        assert node.api.put("/v1/agent/reload").status_code == 200
        assert node.api.put("/v1/agent/check/register", script).status_code == code
        eventually(lambda node=node: statuses(node)["own"] == "passing", 5.0)  # type: ignore[misc]
    eventually(lambda: outputs(node)["s"] == "warned\n", 5.0)
    eventually(lambda: statuses(node)["s"] == "warning", 5.0)


def test_an_agent_whose_scripts_may_not_run_does_not_start(start_dev: Start) -> None:
    with pytest.raises(RuntimeError, match=r"'own' is a script, and scripts are disabled"):
        start_dev('-hcl=check { name = "own" args = ["true"] interval = "1s" }')
