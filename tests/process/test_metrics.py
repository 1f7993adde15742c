"""Metrics, liveness and readiness on ``-metrics-addr``, of an agent and of each role alone."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from .harness.deployment import HOST, ROLES, Deployment, durable_agent
from .harness.waiting import eventually

pytestmark = pytest.mark.process

SHORT_HOLD = '-hcl=performance { rpc_hold_timeout = "500ms" }'
OF_EVERY_PROCESS = {"rostra_loop_lag_seconds", "rostra_role_ready", "rostra_rpc_seconds", "process_resident_memory_bytes"}


def ask(node: Deployment, name: str, path: str) -> httpx.Response:
    """An answer of the metrics door of one process."""
    return httpx.get(f"http://{HOST}:{node.metrics_ports[name]}{path}", timeout=30.0, trust_env=False)


def families(node: Deployment, name: str) -> set[str]:
    """Names of the metrics that a process shows."""
    answer = ask(node, name, "/metrics")
    assert answer.status_code == 200
    return {family.name for family in text_string_to_metric_families(answer.text)}


def test_metrics_are_prometheus_text_with_those_of_every_process(node: Deployment) -> None:
    for name in node.running:
        assert families(node, name) >= OF_EVERY_PROCESS, name


def test_every_role_has_metrics_of_its_own(agent: Deployment) -> None:
    found = families(agent, "agent")
    for role in (*ROLES, "views"):
        assert any(name.startswith(f"rostra_{role}_") for name in found), f"no metric of {role}"
    assert [name for name in found if name.startswith("rostra_") and "queue" in name], "no queue depth"


def test_every_process_says_that_it_lives_and_is_ready(node: Deployment) -> None:
    for name in node.running:
        live, ready = ask(node, name, "/health/live"), ask(node, name, "/health/ready")
        assert (live.status_code, live.text) == (200, "alive\n")
        assert (ready.status_code, ready.text) == (200, "ready\n")


def test_other_paths_are_not_found(agent: Deployment) -> None:
    assert ask(agent, "agent", "/etc/passwd").status_code == 404


def test_liveness_does_not_depend_on_a_leader_but_readiness_does(tmp_path: Path) -> None:
    """A server that waits for two others lives, and is not ready: nobody leads."""
    agent = durable_agent(tmp_path, "-bootstrap=false", "-bootstrap-expect=3", SHORT_HOLD)
    try:
        agent.start_one("agent")
        eventually(lambda: ask(agent, "agent", "/health/live").status_code == 200, 5.0, "the process lives")
        ready = ask(agent, "agent", "/health/ready")
        assert ready.status_code == 503
        assert "consensus" in ready.text
        assert ask(agent, "agent", "/health/live").status_code == 200
        eventually(lambda: agent.api.get("/v1/catalog/nodes").text == "No cluster leader", 10.0, "it is told over HTTP")
        assert agent.api.get("/v1/status/leader").json() == ""
        assert [member["Name"] for member in agent.api.get("/v1/agent/members").json()] == [agent.node]
    finally:
        agent.stop()
