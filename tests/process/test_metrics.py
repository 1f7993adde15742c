"""Metrics, liveness and readiness on ``-metrics-addr``, of an agent and of each role alone (issue 2, item 3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .harness.deployment import HOST, ROLES, dev_agent, durable_agent, six_processes
from .harness.http import Api
from .harness.ports import free_port
from .harness.waiting import eventually

pytestmark = pytest.mark.process

OF_EVERY_PROCESS = {"rostra_loop_lag_seconds", "rostra_role_ready", "rostra_rpc_seconds", "process_resident_memory_bytes"}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Api]]:
    """The metrics door of a dev agent and of each of the six processes, by name."""
    folder = tmp_path_factory.mktemp("metrics")
    ports = {name: free_port() for name in ("agent", *ROLES)}
    agent = dev_agent(folder / "agent", f"-metrics-addr={HOST}:{ports['agent']}")
    six = six_processes(folder / "six")
    six.commands = {role: [*command, f"-metrics-addr={HOST}:{ports[role]}"] for role, command in six.commands.items()}
    apis = {name: Api(f"{HOST}:{port}") for name, port in ports.items()}
    try:
        agent.start()
        six.start()
        yield apis
    finally:
        for api in apis.values():
            api.close()
        agent.stop()
        six.stop()


@pytest.mark.parametrize("name", ["agent", *ROLES])
def test_metrics_are_prometheus_text_with_those_of_every_process(doors: dict[str, Api], name: str) -> None:
    answer = doors[name].get("/metrics")
    assert answer.status_code == 200
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert families >= OF_EVERY_PROCESS


def test_every_role_has_metrics_of_its_own(doors: dict[str, Api]) -> None:
    families = {family.name for family in text_string_to_metric_families(doors["agent"].get("/metrics").text)}
    for role in (*ROLES, "views"):
        assert any(name.startswith(f"rostra_{role}_") for name in families), f"no metric of {role}"
    assert [name for name in families if name.startswith("rostra_") and "queue" in name], "no queue depth"


@pytest.mark.parametrize("name", ["agent", *ROLES])
def test_every_process_says_that_it_lives_and_is_ready(doors: dict[str, Api], name: str) -> None:
    assert (doors[name].get("/health/live").status_code, doors[name].get("/health/live").text) == (200, "alive\n")
    eventually(lambda: doors[name].get("/health/ready").status_code == 200, 2.0, f"{name} is ready")


def test_other_paths_are_not_found_and_garbage_harms_nobody(doors: dict[str, Api]) -> None:
    assert doors["agent"].get("/etc/passwd").status_code == 404
    assert doors["agent"].get("/metrics").status_code == 200


def test_liveness_does_not_depend_on_a_leader_but_readiness_does(tmp_path: Path) -> None:
    """A server that waits for two others lives, and is not ready: nobody leads."""
    port = free_port()
    agent = durable_agent(tmp_path, "-bootstrap=false", "-bootstrap-expect=3", f"-metrics-addr={HOST}:{port}")
    door = Api(f"{HOST}:{port}")
    try:
        agent.start_one("agent")
        answer = eventually(lambda: door.get("/health/ready"), 5.0, "the door is open")
        assert answer.status_code == 503
        assert "consensus" in answer.text
        assert door.get("/health/live").status_code == 200
        assert agent.api.get("/v1/catalog/nodes", within_s=9.0).text == "No cluster leader"
        assert agent.api.get("/v1/status/leader").json() == ""
        assert [member["Name"] for member in agent.api.get("/v1/agent/members").json()] == [agent.node]
    finally:
        door.close()
        agent.stop()
