"""Clients that were written for Consul work against us: Prometheus' service discovery, the library py-consul, Consul's own command."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import consul
import httpx
import pytest

from ..conftest import Start
from ..harness.deployment import HOST, Deployment
from ..harness.ports import free_port
from ..harness.waiting import eventually

pytestmark = pytest.mark.process


@pytest.fixture
def library(agent: Deployment) -> Iterator[consul.Consul]:
    """py-consul, as its users have it."""
    with consul.Consul(host=HOST, port=agent.ports.http) as client:
        yield client


def test_py_consul_registers_a_service_and_finds_it(agent: Deployment, library: Any) -> None:
    check = consul.Check.ttl("60s")
    assert library.agent.service.register("lib-web", service_id="lib-web-1", port=80, tags=["v1"], check=check)
    try:
        assert library.agent.services()["lib-web-1"]["Port"] == 80
        eventually(lambda: library.health.service("lib-web")[1], 10)
        assert library.health.service("lib-web", passing=True)[1] == []
        assert library.agent.check.ttl_pass("service:lib-web-1", "all is well")
        (found,) = eventually(lambda: library.health.service("lib-web", passing=True)[1], 10)
        assert (found["Node"]["Node"], found["Service"]["Tags"]) == (agent.node, ["v1"])
        assert "all is well" in [check["Output"] for check in found["Checks"]]
        _, (instance,) = library.catalog.service("lib-web", consistency="consistent")
        assert (instance["ServiceName"], instance["ServicePort"]) == ("lib-web", 80)
        assert library.agent.service.maintenance("lib-web-1", "true", "on the bench")
        eventually(lambda: library.health.service("lib-web", passing=True)[1] == [], 10)
    finally:
        assert library.agent.service.deregister("lib-web-1")
    eventually(lambda: "lib-web" not in library.catalog.services()[1], 10)


def test_py_consul_reads_catalog_health_status_and_agent(agent: Deployment, library: Any) -> None:
    assert library.agent.self()["Config"]["NodeName"] == agent.node
    assert [member["Name"] for member in library.agent.members()] == [agent.node]
    index, nodes = library.catalog.nodes(consistency="stale", near="_agent")
    assert (int(index) > 0, [node["Node"] for node in nodes]) == (True, [agent.node])
    assert library.catalog.datacenters() == ["dc1"]
    assert "consul" in library.catalog.services()[1]
    assert library.catalog.node(agent.node)[1]["Node"]["Address"] == HOST
    assert library.catalog.node("nobody")[1] is None
    assert [check["CheckID"] for check in library.health.node(agent.node)[1]] == ["serfHealth"]
    assert library.health.state("critical")[1] == []
    assert library.status.leader() == f"{HOST}:{agent.ports.server}"
    assert library.status.peers() == [f"{HOST}:{agent.ports.server}"]
    with pytest.raises(consul.ConsulException):
        library.catalog.nodes(dc="elsewhere")


def test_py_consul_blocks_until_its_answer_changes(agent: Deployment, library: Any) -> None:
    index, _ = library.health.service("lib-late")
    seen: list[Any] = []
    waiting = threading.Thread(target=lambda: seen.append(library.health.service("lib-late", index=index, wait="120s")))
    waiting.start()
    eventually(lambda: agent.api.get("/v1/agent/self").json()["Stats"]["gateway"]["blocked_queries"] != "0", 10)
    agent.api.register("lib-node", "10.1.1.1", Service={"Service": "lib-late", "Port": 1})
    waiting.join(60)
    agent.api.deregister("lib-node")
    ((new_index, (found,)),) = seen
    assert int(new_index) > int(index)
    assert found["Service"]["Service"] == "lib-late"


@pytest.mark.interop("consul")
def test_the_real_watch_runs_its_handler_at_each_change(agent: Deployment, tmp_path: Path) -> None:
    watches("consul", agent, tmp_path)


def test_our_watch_runs_its_handler_at_each_change(agent: Deployment, tmp_path: Path) -> None:
    watches(agent.program.command[0], agent, tmp_path)


def watches(command: str, agent: Deployment, folder: Path) -> None:
    """A handler that keeps what it is given sees each state of a service, and nothing in between."""
    kept = folder / "kept"
    kept.touch()
    words = [command, "watch", "-type=service", "-service=seen", f"-http-addr={agent.http_address}", f"cat >> {kept}"]
    watching = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=agent.program.environment_in(folder))
    try:

        def states() -> list[Any]:
            return [json.loads(line) for line in kept.read_text().splitlines()]

        eventually(lambda: len(states()) == 1, 15)
        agent.api.register("seen-node", "10.1.1.1", Service={"Service": "seen", "Port": 1})
        eventually(lambda: len(states()) == 2, 10)
        agent.api.register("other-node", "10.1.1.2", Service={"Service": "other", "Port": 1})
        agent.api.register("seen-node", "10.1.1.1", Service={"Service": "seen", "Port": 2})
        eventually(lambda: len(states()) == 3, 10)
        assert [[each["Service"]["Port"] for each in state] for state in states()] == [[], [1], [2]]
        assert watching.poll() is None
    finally:
        watching.terminate()
        watching.communicate()
        for node in ("seen-node", "other-node"):
            agent.api.deregister(node)


# Prometheus

TARGETS = ("w1", "w2")


def prometheus_reads(api: Any) -> list[str]:
    """What ``consul_sd_configs`` asks for, in its order and with its parameters
    (https://prometheus.io/docs/prometheus/latest/configuration/configuration/#consul_sd_config): instances of "metered"."""
    datacenter = api.get("/v1/agent/self").json()["Config"]["Datacenter"]
    services = api.get(f"/v1/catalog/services?dc={datacenter}&stale=&index=0&wait=120000ms")
    assert int(services.headers["X-Consul-Index"]) > 0
    assert "metered" in services.json()
    found = api.get(f"/v1/health/service/metered?dc={datacenter}&stale=&wait=120000ms")
    return sorted(each["Service"]["ID"] for each in found.json())


def test_the_reads_of_prometheus_service_discovery_find_the_targets(start_dev: Start) -> None:
    node = start_dev()
    register_targets(node)
    eventually(lambda: prometheus_reads(node.api) == list(TARGETS), 10)


def register_targets(node: Deployment) -> None:
    """Two instances, each of which is the agent itself: it has metrics to show."""
    for name in TARGETS:
        body = {"Name": "metered", "ID": name, "Address": HOST, "Port": node.ports.http, "Tags": ["blue"], "Meta": {"team": "a"}}
        assert node.api.put("/v1/agent/service/register", body).status_code == 200


def finds_by_consul() -> bool:
    """Whether there is a Prometheus, built with this kind of discovery: Debian's is not."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        return False
    text = "scrape_configs: [{job_name: x, consul_sd_configs: [{server: '127.0.0.1:1'}]}]"
    check = ["promtool", "check", "config", "--syntax-only", "/dev/stdin"]
    return subprocess.run(check, input=text.encode(), capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not finds_by_consul(), reason="needs a prometheus with consul_sd_configs on PATH")
def test_prometheus_finds_and_scrapes_what_is_registered_here(start_dev: Start, tmp_path: Path) -> None:
    node = start_dev()
    register_targets(node)
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(f"""
        global: {{scrape_interval: 1s, scrape_timeout: 1s}}
        scrape_configs:
        - job_name: found
          metrics_path: /v1/agent/metrics
          params: {{format: [prometheus]}}
          consul_sd_configs:
          - {{server: "{node.http_address}", services: [metered], refresh_interval: 1s}}
          relabel_configs:
          - {{source_labels: [__meta_consul_service_id], target_label: id}}
          - {{source_labels: [__meta_consul_tags], target_label: tags}}
          - {{source_labels: [__meta_consul_service_metadata_team], target_label: team}}
          - {{source_labels: [__meta_consul_node], target_label: node}}
          - {{source_labels: [__meta_consul_health], target_label: health}}
    """)
    address = f"{HOST}:{free_port()}"
    flags = [f"--config.file={configuration}", f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address={address}"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(["prometheus", *flags], stdout=log, stderr=log) as process:
        try:

            def targets() -> list[Any]:
                found: list[Any] = httpx.get(f"http://{address}/api/v1/targets", trust_env=False).json()["data"]["activeTargets"]
                return found

            eventually(lambda: [each["health"] for each in targets()] == ["up", "up"], 60, "two targets are up")
            labels = sorted((each["labels"] for each in targets()), key=lambda each: str(each["id"]))
            assert [each["id"] for each in labels] == list(TARGETS)
            assert {(each["tags"], each["team"], each["node"], each["health"]) for each in labels} == {
                (",blue,", "a", node.node, "passing")
            }
            assert node.api.put("/v1/agent/service/deregister/w1").status_code == 200
            eventually(lambda: [each["labels"]["id"] for each in targets()] == ["w2"], 30, "the target is gone")
        finally:
            process.kill()
