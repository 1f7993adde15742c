"""What a node was told stays told: over restarts, reloads, a full disk and a lost leader."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..harness.deployment import Deployment
from ..harness.ports import free_port
from ..harness.waiting import eventually
from ..tls.pki import Pki
from .test_checks import statuses

pytestmark = pytest.mark.process

Start = Callable[..., Deployment]


def services(node: Deployment) -> dict[str, int]:
    """Services that the node says it has, with their ports."""
    return {service_id: service["Port"] for service_id, service in node.api.get("/v1/agent/services").json().items()}


def in_catalog(node: Deployment) -> set[str]:
    return set(node.api.get("/v1/catalog/services").json())


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
def test_registrations_maintenance_and_ttl_states_outlive_the_process(start_durable: Start, end: signal.Signals) -> None:
    node = start_durable()
    checks = [{"TTL": "60s", "CheckID": "long"}, {"TTL": "1s", "CheckID": "short"}]
    assert node.api.put("/v1/agent/service/register", {"Name": "api", "Port": 7, "Checks": checks}).status_code == 200
    assert node.api.put("/v1/agent/check/pass/long?note=well").status_code == 200
    assert node.api.put("/v1/agent/check/pass/short").status_code == 200
    assert node.api.put("/v1/agent/maintenance?enable=true&reason=moving").status_code == 200
    node.only.send(end)
    node.only.wait()
    node.start_one("agent")
    eventually(lambda: "api" in services(node), 15.0)
    wanted = {"short": "critical", "long": "passing", "_node_maintenance": "critical"}
    eventually(lambda: statuses(node).items() >= wanted.items(), 10.0, "the catalog has been told what the node still knows")
    assert services(node) == {"api": 7}
    known = node.api.get("/v1/agent/checks").json()
    assert (known["long"]["Output"], known["_node_maintenance"]["Notes"]) == ("well", "moving")


def reload_by_signal(node: Deployment) -> None:
    node.running.get("local", node.running[next(iter(node.running))]).send(signal.SIGHUP)


def reload_by_command(node: Deployment) -> None:
    node.cli("reload")


def reload_by_http(node: Deployment) -> None:
    assert node.api.put("/v1/agent/reload").status_code == 200


@pytest.mark.parametrize("reload", [reload_by_signal, reload_by_command, reload_by_http])
def test_a_reload_takes_over_the_files(start_dev: Start, tmp_path: Path, reload: Callable[[Deployment], None]) -> None:
    file = tmp_path / "services.json"

    def write(*definitions: dict[str, Any]) -> None:
        file.write_text(json.dumps({"services": definitions}))

    write()
    node = start_dev(f"-config-file={file}")
    write({"name": "web", "port": 1, "checks": [{"ttl": "60s", "id": "w"}]}, {"name": "old"})
    reload(node)
    eventually(lambda: node.api.put("/v1/agent/check/pass/w").status_code == 200, 5.0)
    node.api.put("/v1/agent/service/register", {"Name": "api"})
    eventually(lambda: in_catalog(node) == {"consul", "web", "old", "api"}, 5.0)
    write({"name": "web", "port": 2, "checks": [{"ttl": "60s", "id": "w"}]}, {"name": "new"})
    reload(node)
    eventually(lambda: in_catalog(node) == {"consul", "web", "new", "api"}, 5.0)
    assert (services(node), statuses(node)["w"]) == ({"web": 2, "new": 0, "api": 0}, "passing")
    assert node.api.put("/v1/agent/service/deregister/new").status_code == 200
    assert node.api.put("/v1/agent/service/register", {"Name": "web", "Port": 3}).status_code == 200
    reload(node)
    eventually(lambda: services(node) == {"web": 2, "new": 0, "api": 0}, 5.0, "the files have the last word, changed or not")


def test_files_that_are_wrong_change_nothing(start_dev: Start, tmp_path: Path) -> None:
    file = tmp_path / "services.hcl"
    file.write_text('service { name = "web" }')
    node = start_dev(f"-config-file={file}")
    wrong = (
        'service { name = "web" port = "x" }',
        'service { name = "new" }\ncheck { name = "s" args = ["true"] interval = "9s" }',
        'service { name = "new" meta = { "a b" = "c" } }',
    )
    for number, text in enumerate(wrong, start=1):
        file.write_text(text)
        answer = node.api.put("/v1/agent/reload")
        assert answer.status_code == 400, answer.text
        node.only.send(signal.SIGHUP)
        said = lambda number=number: sum("configuration not reloaded" in line for line in list(node.only.lines)) == number  # noqa: E731
        eventually(said, 10.0, "the signal's reload is over: it reads the file too")
        assert services(node) == {"web": 0}


def test_a_reload_that_one_part_refuses_is_in_force_in_none(start_dev: Start, tmp_path: Path) -> None:
    file, (certificate, key) = tmp_path / "agent.hcl", Pki(tmp_path / "pki").make()
    https = f'tls {{ https {{ cert_file = "{certificate}" key_file = "{key}" }} }} ports {{ https = {free_port()} }}\n'
    file.write_text(https + 'service { name = "web" }')
    node = start_dev(f"-config-file={file}")
    good, before = 'service { name = "new" }\ndns_config { node_ttl = "9s" }\n', key.read_bytes()

    def ttl() -> int:
        return node.dns.ask(f"{node.node}.node.consul").answer[0].ttl

    for bad, named in (
        ('service { name = "bad" meta = { "a b" = "c" } }', "Meta"),
        ('recursors = ["8.8.8.8:port"]', "recursors"),
        ("", "key_file"),
    ):
        file.write_text(https + good + bad)
        if not bad:
            key.write_bytes(b"no key")
        answer = node.api.put("/v1/agent/reload")
        assert answer.status_code == 400, answer.text
        assert named in answer.text
        assert (services(node), ttl()) == ({"web": 0}, 0), bad
    key.write_bytes(before)
    node.cli("reload")
    assert (services(node), ttl()) == ({"new": 0}, 9)


def test_a_change_that_the_disk_does_not_take_has_never_been(start_six: Start) -> None:
    node = start_six()
    assert node.api.put("/v1/agent/service/register", {"Name": "web", "Port": 1}).status_code == 200
    eventually(lambda: "web" in in_catalog(node), 5.0)
    assert node.data is not None
    size = (node.data / "local" / "registrations.mdb").stat().st_size
    local = node.running["local"].pid
    unlimited = resource.prlimit(local, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    large = {"k" + str(number): "v" * 512 for number in range(64)}
    for number in range(50):
        answer = node.api.put("/v1/agent/service/register", {"Name": f"s{number}", "Meta": large})
        if answer.status_code != 200:
            break
    assert answer.status_code == 500, answer.text
    assert "nothing was changed" in answer.text
    assert "File too large" in answer.text
    before = services(node)
    assert f"s{number}" not in before
    resource.prlimit(local, resource.RLIMIT_FSIZE, unlimited)
    assert node.api.put("/v1/agent/service/register", {"Name": "after", "Port": 2}).status_code == 200
    eventually(lambda: in_catalog(node) == {"consul", *before, "after"}, 10.0)
    node.running["local"].kill()
    node.start_one("local")
    eventually(lambda: services(node) == {**before, "after": 2}, 10.0)


def test_no_change_is_lost_while_there_is_no_leader(start_six: Start) -> None:
    node = start_six()
    for name in ("kept", "old"):
        node.api.put("/v1/agent/service/register", {"Name": name, "Check": {"TTL": "60s", "CheckID": name}})
    eventually(lambda: in_catalog(node) == {"consul", "kept", "old"}, 5.0)
    node.running["consensus"].kill()
    assert node.api.put("/v1/agent/service/register", {"Name": "new", "Port": 3}).status_code == 200
    assert node.api.put("/v1/agent/service/deregister/old").status_code == 200
    assert node.api.put("/v1/agent/check/pass/kept?note=still").status_code == 200
    assert services(node) == {"kept": 0, "new": 3}
    node.start_one("consensus")
    eventually(lambda: in_catalog(node) == {"consul", "kept", "new"}, 40.0)
    eventually(lambda: statuses(node)["kept"] == "passing", 5.0)


def test_a_whole_comparison_removes_what_the_node_does_not_know_and_leaves_tags_that_others_may_write(start_six: Start) -> None:
    """It comes once a minute, and at the start of the local role, which is what the test waits for."""
    node = start_six()
    for name, override in (("own", False), ("shared", True)):
        definition = {"Name": name, "Tags": ["mine"], "EnableTagOverride": override}
        assert node.api.put("/v1/agent/service/register", definition).status_code == 200
    eventually(lambda: in_catalog(node) == {"consul", "own", "shared"}, 5.0)
    for name in ("own", "shared", "stray"):
        service = {"Service": name, "Tags": ["theirs"], "EnableTagOverride": name == "shared"}
        node.api.register(node.node, "127.0.0.1", SkipNodeUpdate=True, Service=service)
    assert node.api.get("/v1/catalog/services").json() == {name: ["theirs"] for name in ("own", "shared", "stray")} | {"consul": []}
    node.running["local"].kill()
    node.start_one("local")
    eventually(lambda: node.api.get("/v1/catalog/services").json() == {"consul": [], "own": ["mine"], "shared": ["theirs"]}, 10.0)
    assert node.api.get("/v1/agent/services").json()["shared"]["Tags"] == ["theirs"]
