"""A client of three servers: what it is told by files, by commands and over HTTP, every server, the real consul, dig and curl see."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ..harness.waiting import eventually
from ..local.test_checks import Web
from .conftest import BLOCKS
from .fleet import FORMS, Fleet, Node

pytestmark = [pytest.mark.process, pytest.mark.timeout(240), pytest.mark.interop("consul", "dig", "curl")]

SOON_S = 30.0
HELD_BACK_S = 3
HANGING = 30


@pytest.fixture(scope="module", params=FORMS)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three servers, and the client ``c1`` that reads a folder of definitions and may run scripts. Use ``fleet``."""
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "definitions").mkdir()
    fleet = Fleet(folder, request.param, block=BLOCKS[request.param] + 30)
    settings = f'-hcl=check_update_interval = "{HELD_BACK_S}s"'
    fleet.add_client("c1", f"-config-dir={folder / 'definitions'}", "-enable-script-checks", settings)
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Node]:
    """The client, which has no service and no definition before the test and after it."""
    client = fleet.nodes["c1"]
    yield client
    for file in definitions(fleet).iterdir():
        file.unlink()
    client.cli("reload")
    for path in [f"service/deregister/{name}" for name in client.api.get("/v1/agent/services").json()]:
        client.api.put(f"/v1/agent/{path}")
    for path in [f"check/deregister/{name}" for name in client.api.get("/v1/agent/checks").json()]:
        client.api.put(f"/v1/agent/{path}")
    everywhere(fleet, {"consul"})


@pytest.fixture
def web() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.status = 200  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def definitions(fleet: Fleet) -> Path:
    return fleet.folder / "definitions"


def everywhere(fleet: Fleet, services: set[str]) -> None:
    """Until the real ``consul catalog services`` names these and no others at every node."""
    for node in fleet.nodes.values():
        eventually(lambda node=node: set(node.consul("catalog", "services").split()) == services, SOON_S, f"{node.node} has {services}")  # type: ignore[misc]


def in_dns(fleet: Fleet, service: str, addresses: Sequence[str]) -> None:
    for node in fleet.nodes.values():
        eventually(lambda node=node: node.dig(f"{service}.service.consul") == list(addresses), SOON_S, f"{service} at {node.node}")  # type: ignore[misc]


def states(node: Node, of: Node) -> dict[str, str]:
    """Checks of a node with their status, as another one's catalog has them, read by curl."""
    status, body = node.curl(f"/v1/health/node/{of.node}")
    assert status == 200, body
    return {check["CheckID"]: check["Status"] for check in json.loads(body)}


def reload_by_signal(node: Node) -> None:
    node.running.get("local", node.running[next(iter(node.running))]).send(signal.SIGHUP)


def test_definitions_of_files_in_either_language_are_in_force_after_each_way_to_reload(fleet: Fleet, client: Node) -> None:
    folder, server = definitions(fleet), fleet.followers()[0]
    (folder / "one.hcl").write_text(
        'service { name = "web" port = 80 tags = ["v1"] check { id = "web-ttl" ttl = "10m" status = "passing" } }\n'
        'check { id = "disk" name = "disk" ttl = "10m" status = "warning" }\n'
    )
    many = {"services": [{"name": "api", "id": f"api-{number}", "port": 8080 + number} for number in range(2)],
            "checks": [{"id": "up", "name": "up", "args": ["true"], "interval": "1s"}]}  # fmt: skip
    (folder / "many.json").write_text(json.dumps(many))
    client.consul("reload")
    everywhere(fleet, {"consul", "web", "api"})
    wanted = {"serfHealth": "passing", "web-ttl": "passing", "disk": "warning", "up": "passing"}
    eventually(lambda: states(server, client) == wanted, SOON_S, "the checks")
    name = f"{client.node}.node.dc1.consul."
    eventually(lambda: server.dig("web.service.consul", "SRV") == [f"1 1 80 {name}"], SOON_S, "DNS")
    eventually(lambda: server.dig("api.service.consul", "SRV") == [f"1 1 8080 {name}", f"1 1 8081 {name}"], SOON_S, "both instances")
    (folder / "one.hcl").write_text('service { name = "web" port = 81 }')
    reload_by_signal(client)
    eventually(lambda: server.dig("web.service.consul", "SRV") == [f"1 1 81 {name}"], SOON_S, "SIGHUP")
    eventually(lambda: states(server, client) == {"serfHealth": "passing", "up": "passing"}, SOON_S, "its checks are gone")
    (folder / "many.json").unlink()
    client.cli("reload")
    everywhere(fleet, {"consul", "web"})


def test_services_and_maintenance_by_the_commands_of_either_program(fleet: Fleet, client: Node, tmp_path: Path) -> None:
    assert client.cli("services", "register", "-name=cache", "-port=6379", "-tag=a") == "Registered service: cache\n"
    file = tmp_path / "queue.json"
    file.write_text('{"service": {"name": "queue", "port": 5672}}')
    client.consul("services", "register", str(file))
    everywhere(fleet, {"consul", "cache", "queue"})
    in_dns(fleet, "a.cache", [client.address])
    client.cli("maint", "-enable", "-service=cache", "-reason=moving")
    in_dns(fleet, "cache", [])
    assert "moving" in client.consul("maint")
    client.consul("maint", "-disable", "-service=cache")
    in_dns(fleet, "cache", [client.address])
    client.consul("maint", "-enable", "-reason=all of it")
    for service in ("cache", "queue"):
        in_dns(fleet, service, [])
    assert "all of it" in client.cli("maint")
    client.cli("maint", "-disable")
    for service in ("cache", "queue"):
        in_dns(fleet, service, [client.address])
    client.consul("services", "deregister", "-id=cache")
    client.cli("services", "deregister", str(file))
    everywhere(fleet, {"consul"})


def test_the_catalog_commands_say_what_the_real_ones_say(fleet: Fleet, client: Node) -> None:
    client.api.put("/v1/agent/service/register", {"Name": "web", "Port": 80})
    everywhere(fleet, {"consul", "web"})
    for words in (["nodes"], ["nodes", "-service=web"], ["nodes", "-detailed"], ["services"], ["services", "-node=c1"], ["datacenters"]):
        lines = [client.cli("catalog", *words).split(), client.consul("catalog", *words).split()]
        assert lines[0] == lines[1], words


@pytest.mark.parametrize("program", ["rostra", "consul"])
def test_monitor_shows_the_log_of_the_client(client: Node, tmp_path: Path, program: str) -> None:
    command = [*client.program.command, "monitor"] if program == "rostra" else ["consul", "monitor"]
    environment = {**os.environ, **client.program.environment_in(tmp_path), "CONSUL_HTTP_ADDR": client.http_address}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as monitor:
        assert monitor.stdout is not None
        seen: list[str] = []
        reader = threading.Thread(target=lambda: seen.extend(iter(monitor.stdout.readline, "")), daemon=True)  # type: ignore[union-attr]
        reader.start()
        try:
            eventually(lambda: client.cli("reload") and any("[INFO]" in line for line in seen), SOON_S, f"a line: {seen}")
        finally:
            monitor.kill()
            reader.join(10.0)


def test_checks_that_hang_delay_no_other_and_dns_of_every_server_follows(
    fleet: Fleet, client: Node, web: http.server.ThreadingHTTPServer
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(512)
        check = {"HTTP": f"http://127.0.0.1:{web.server_port}/", "Interval": "1s"}
        hanging = [{"HTTP": f"http://127.0.0.1:{silent.getsockname()[1]}/", "Interval": "1s", "Timeout": "60s"}] * HANGING
        sleeping = [{"Args": ["sleep", "60"], "Interval": "1s", "Timeout": "60s"}] * HANGING
        client.api.put("/v1/agent/service/register", {"Name": "stuck", "Port": 1, "Checks": [*hanging, *sleeping]})
        client.api.put("/v1/agent/service/register", {"Name": "shop", "Port": 80, "Check": check})
        client.api.put("/v1/agent/service/register", {"Name": "front", "Port": 81, "Check": {"AliasService": "shop"}})
        for status, addresses in ((200, [client.address]), (500, []), (200, [client.address])):
            web.status = status  # type: ignore[attr-defined]
            for service in ("shop", "front"):
                in_dns(fleet, service, addresses)
        in_dns(fleet, "stuck", [])


def test_an_output_alone_is_held_back_and_a_status_is_not(fleet: Fleet, client: Node) -> None:
    server = fleet.followers()[0]

    def output() -> str:
        checks = json.loads(server.curl(f"/v1/health/node/{client.node}")[1])
        return next((str(check["Output"]) for check in checks if check["CheckID"] == "beat"), "")

    client.api.put("/v1/agent/check/register", {"Name": "beat", "TTL": "10m", "Status": "passing"})
    client.api.put("/v1/agent/check/pass/beat?note=one")
    eventually(lambda: output() == "one", SOON_S, "the first output, in time")
    index = server.api.get(f"/v1/health/node/{client.node}").headers["X-Consul-Index"]
    for number in range(20):
        client.api.put(f"/v1/agent/check/pass/beat?note=quick-{number}")
    eventually(lambda: output() == "quick-19", SOON_S, "the last output, in time")
    assert int(server.api.get(f"/v1/health/node/{client.node}").headers["X-Consul-Index"]) - int(index) < 20, "not each of them"
    client.api.put("/v1/agent/check/fail/beat?note=broken")
    eventually(lambda: (output(), states(server, client)["beat"]) == ("broken", "critical"), SOON_S, "a status takes it along")


def test_a_client_that_comes_back_keeps_its_services_removes_what_it_does_not_know_and_leaves_tags_that_others_may_write(
    fleet: Fleet, client: Node
) -> None:
    for name, override in (("own", False), ("shared", True)):
        client.api.put("/v1/agent/service/register", {"Name": name, "Tags": ["mine"], "EnableTagOverride": override})
    everywhere(fleet, {"consul", "own", "shared"})
    client.kill()
    server = fleet.followers()[0]
    for name in ("own", "shared", "stray"):
        service = {"Service": name, "Tags": ["theirs"], "EnableTagOverride": name == "shared"}
        server.api.register(client.node, client.address, SkipNodeUpdate=True, Service=service)
    fleet.start()
    everywhere(fleet, {"consul", "own", "shared"})
    eventually(lambda: server.api.get("/v1/catalog/services").json() == {"consul": [], "own": ["mine"], "shared": ["theirs"]}, SOON_S)
    assert client.api.get("/v1/agent/services").json()["shared"]["Tags"] == ["theirs"]
