"""DNS by other doors than port 8600, and settings that change while an agent runs."""

from __future__ import annotations

import base64
import os
import signal
from pathlib import Path

import dns.message
import dns.rcode
import httpx
import pytest

from ..conftest import Start
from ..harness.deployment import HOST, Deployment
from ..harness.ports import free_port
from ..harness.system import Listener, children, has_ended, listeners
from ..harness.waiting import eventually

pytestmark = pytest.mark.process

MEDIA = {"Content-Type": "application/dns-message"}


def answers(deployment: Deployment, name: str) -> list[dns.message.Message]:
    """By both methods of RFC 8484."""
    question = dns.message.make_query(name, "A", flags=0).to_wire()
    url = f"http://{deployment.http_address}/dns-query"
    encoded = base64.urlsafe_b64encode(question).decode().rstrip("=")
    found = [
        httpx.post(url, content=question, headers=MEDIA, timeout=30.0, trust_env=False),
        httpx.get(url, params={"dns": encoded}, timeout=30.0, trust_env=False),
    ]
    assert [response.headers["content-type"] for response in found] == ["application/dns-message"] * 2
    return [dns.message.from_wire(response.content) for response in found]


def test_names_are_answered_over_http_by_a_gateway_with_dns_and_by_one_without(node: Deployment) -> None:
    for message in answers(node, f"{node.node}.node.consul"):
        assert [str(record) for rrset in message.answer for record in rrset] == [HOST]
    for message in answers(node, "nothing.service.consul"):
        assert message.rcode() == dns.rcode.NXDOMAIN


def test_settings_come_from_the_configuration_and_a_reload_takes_them_over(start_dev: Start, tmp_path: Path) -> None:
    file = tmp_path / "dns.hcl"
    file.write_text("")
    agent = start_dev(f"-config-file={file}")
    check = {"Name": "up", "CheckID": "up", "ServiceID": "ill", "Status": "critical"}
    agent.api.register("box", "10.0.0.7", Service={"Service": "ill", "Port": 1}, Check=check)
    eventually(lambda: agent.dns.code("ill.service.consul") == "NOERROR", 10.0, "the service is shown")
    eventually(lambda: agent.dns.ask("box.node.consul").answer[0].ttl == 0, 10.0, "the node is shown")

    file.write_text('dns_config { node_ttl = "9s" compat { all_critical_nxdomain = true } }')
    agent.only.send(signal.SIGHUP)
    applied = agent.only.wait_for_line("configuration reloaded")
    assert "dns_config.node_ttl" in applied
    assert "dns_config.compat.all_critical_nxdomain" in applied
    assert agent.dns.code("ill.service.consul") == "NXDOMAIN"
    assert agent.dns.ask("box.node.consul").answer[0].ttl == 9


def test_several_workers_answer_on_one_port_come_back_and_end_with_the_agent(start_durable: Start, tmp_path: Path) -> None:
    file = tmp_path / "dns.hcl"
    file.write_text("dns_config { workers = 3 }")
    agent = start_durable(f"-config-file={file}")

    def workers() -> list[int]:
        return [pid for pid in children(agent.only.pid) if Listener("udp", HOST, agent.ports.dns) in listeners(pid)]

    def asked() -> set[int]:
        """TTLs of many answers, each to a port of its own: the kernel spreads them over all who listen."""
        return {agent.dns.ask(f"{agent.node}.node.consul").answer[0].ttl for _ in range(40)}

    first = eventually(lambda: workers() if len(workers()) == 2 else None, 30.0, "two workers listen beside the agent")
    eventually(lambda: asked() == {0}, 20.0, "all of them answer")

    file.write_text('dns_config { workers = 3 node_ttl = "9s" }')
    agent.only.send(signal.SIGHUP)
    eventually(lambda: asked() == {9}, 20.0, "all of them take over what a reload changed")

    os.kill(first[0], signal.SIGKILL)
    eventually(lambda: len(workers()) == 2 and first[0] not in workers(), 30.0, "a worker that ended is started again")
    left = workers()
    agent.only.kill()
    eventually(lambda: all(has_ended(pid) for pid in left), 20.0, "nothing is left of them")


def test_recursors_serve_the_networks_that_are_allowed_and_are_tried_in_turn(start_dev: Start) -> None:
    """The second recursor is another agent, for another domain; the first says nothing."""
    other = start_dev("-alt-domain=other", node="far")
    recursors = [f"-recursor={HOST}:{free_port()}", f"-recursor={HOST}:{other.ports.dns}"]
    timeout = '-hcl=dns_config { recursor_timeout = "1s" }'
    asking = start_dev(*recursors, timeout, node="near")
    closed = start_dev(*recursors, '-hcl=dns_config { allow_recursion = ["10.0.0.0/8"] }', node="closed")
    eventually(lambda: asking.dns.addresses("far.node.other", recursive=True) == [HOST], 10.0, "the recursor's answer comes")
    eventually(lambda: asking.dns.code("nobody.node.other", recursive=True) == "NXDOMAIN", 10.0, "and its denial")
    assert closed.dns.code("far.node.other", recursive=True) == "REFUSED"
    asking.api.register("abroad", "far.node.other")

    def records() -> list[list[str]]:
        answer = asking.dns.ask("abroad.node.consul", recursive=True)
        return [rrset.to_text().split()[3:] for rrset in answer.answer]

    eventually(lambda: records() == [["CNAME", "far.node.other."], ["A", HOST]], 10.0, "an alias is followed out of our domain")
