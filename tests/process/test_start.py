"""What ``rostra agent -dev`` says and does when it starts, and what it leaves alone."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rostra.version import VERSION

from .conftest import Start
from .harness.deployment import HOST, Deployment, dev_agent
from .harness.program import Program
from .harness.system import children, files_below, listeners, written_files

pytestmark = pytest.mark.process

NAME = "web-1"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A dev agent named ``web-1`` that has just started."""
    deployment = dev_agent(tmp_path_factory.mktemp("start"), node=NAME)
    try:
        deployment.start()
        deployment.only.wait_for_line("synced service 'consul'")
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture(scope="module")
def banner(agent: Deployment) -> str:
    """What was printed before the log."""
    lines = agent.only.lines
    end = next(number for number, line in enumerate(lines) if line.startswith("==> Log data"))
    return "\n".join(lines[: end + 1])


def position(lines: Sequence[str], pattern: str, start: int = 0) -> int:
    """The number of the first line from ``start`` in which ``pattern`` is found."""
    for number in range(start, len(lines)):
        if re.search(pattern, lines[number]):
            return number
    raise AssertionError(f"no line like {pattern!r} after line {start} of\n" + "\n".join(lines))


def assert_in_order(lines: Sequence[str], *patterns: str) -> None:
    start = 0
    for pattern in patterns:
        start = position(lines, pattern, start) + 1


def test_the_banner_warns_that_a_dev_agent_keeps_nothing(banner: str) -> None:
    assert "for development" in banner
    assert "nothing is kept" in banner
    assert "not for production" in banner


def test_the_banner_says_who_the_node_is(agent: Deployment, banner: str) -> None:
    node_id = agent.api.get("/v1/agent/self").json()["Config"]["NodeID"]
    assert re.search(rf"Version: '{re.escape(VERSION)}'", banner)
    assert re.search(rf"Node name: '{NAME}'", banner)
    assert re.search(rf"Node ID: '{node_id}'", banner)
    assert uuid.UUID(node_id).version == 4
    assert re.search(r"Datacenter: 'dc1'", banner)
    assert re.search(r"Server: true \(Bootstrap: false\)", banner)


def test_the_banner_says_where_the_doors_are_and_what_is_encrypted(agent: Deployment, banner: str) -> None:
    ports = agent.ports
    client = re.search(r"Client Addr: .*127\.0\.0\.1.*\((.*)\)", banner)
    assert client is not None
    for text in (f"HTTP: {ports.http}", "HTTPS: -1", f"gRPC: {ports.grpc}", f"DNS: {ports.dns}"):
        assert text in client[1]
    assert f"Cluster Addr: 127.0.0.1 (LAN: {ports.serf_lan}, WAN: {ports.serf_wan})" in banner
    assert re.search(r"Encrypt: Gossip: false, TLS-Outgoing: false, TLS-Incoming: false", banner)


def test_the_log_tells_the_election_step_by_step(agent: Deployment) -> None:
    assert_in_order(
        agent.only.lines,
        "==> Log data",
        "entering follower state",
        "starting election",
        "vote tallied",
        "election won",
        "entering leader state",
        "leadership acquired",
        f"New leader elected: {NAME}",
        f"member '{NAME}' joined, marking health alive",
        "synced service 'consul'",
    )


@pytest.mark.parametrize(("pool", "member"), [("lan", NAME), ("wan", f"{NAME}.dc1")])
def test_the_log_tells_the_join_and_the_server_found_between_election_and_office(agent: Deployment, pool: str, member: str) -> None:
    assert_in_order(
        agent.only.lines,
        "entering leader state",
        rf"member joined.*\b{pool}\b.*{member} ",
        f"adding {pool.upper()} server",
        "leadership acquired",
    )


def test_the_log_tells_the_joins_and_the_servers_found_on_lan_and_wan(agent: Deployment) -> None:
    lines, ports = agent.only.lines, agent.ports
    position(lines, rf"member joined.*\blan\b.*{NAME} .*{HOST}:{ports.serf_lan}")
    position(lines, rf"member joined.*\bwan\b.*{NAME}\.dc1 .*{HOST}:{ports.serf_wan}")
    assert_in_order(lines, rf"member joined.*\blan\b.*{NAME}", "(?i)adding LAN server")
    assert_in_order(lines, rf"member joined.*\bwan\b.*{NAME}\.dc1", "(?i)adding WAN server")
    for pool in ("LAN", "WAN"):
        line = lines[position(lines, f"(?i)adding {pool} server")]
        assert f"{HOST}:{ports.server}" in line
        assert "dc1" in line


def test_the_log_tells_which_doors_are_open(agent: Deployment) -> None:
    ports = agent.ports
    for door, port in (("HTTP", ports.http), ("DNS", ports.dns), ("gRPC port", ports.grpc), ("server port", ports.server)):
        position(agent.only.lines, rf"{door} listening: address={HOST}:{port}")


def test_the_log_tells_that_the_own_service_was_synced(agent: Deployment) -> None:
    position(agent.only.lines, "synced service 'consul'")


def test_every_log_line_has_time_level_and_role(agent: Deployment) -> None:
    start = position(agent.only.lines, "==> Log data") + 1
    for line in filter(None, agent.only.lines[start:]):
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[(TRACE|DEBUG|INFO|WARN|ERROR)\] +[\w.]+: \S", line), line


def test_nothing_is_printed_on_standard_error(agent: Deployment) -> None:
    assert agent.only.errors == []


def test_the_catalog_holds_the_node_its_service_and_its_health(agent: Deployment) -> None:
    (node,) = agent.api.get("/v1/catalog/nodes").json()
    assert (node["Node"], node["Address"], node["Datacenter"]) == (NAME, HOST, "dc1")
    (entry,) = agent.api.get("/v1/health/service/consul?passing").json()
    assert entry["Service"]["Port"] == agent.ports.server
    assert [(check["CheckID"], check["Status"]) for check in entry["Checks"]] == [("serfHealth", "passing")]


def test_every_port_is_on_127_0_0_1(agent: Deployment) -> None:
    ports = agent.ports
    found = listeners(agent.only.pid)
    assert {each.address for each in found} == {HOST}
    assert {each.port for each in found if each.protocol == "tcp"} == {
        ports.http, ports.dns, ports.grpc, ports.server, ports.serf_lan, ports.serf_wan, *agent.metrics_ports.values(),
    }  # fmt: skip
    assert {ports.dns, ports.serf_lan, ports.serf_wan} <= {each.port for each in found if each.protocol == "udp"}


def test_no_file_is_made_and_no_process_started(agent: Deployment) -> None:
    assert files_below(agent.folder) == {"home", "tmp", "work"}
    assert written_files(agent.only.pid) == []
    assert children(agent.only.pid) == []


def test_without_a_name_the_node_is_called_as_the_host(program: Program, tmp_path: Path) -> None:
    host_name = Path("/proc/sys/kernel/hostname").read_text().strip()
    shown = json.loads(program.run(tmp_path, "validate", "-format=json", "--", "-dev").stdout)
    assert shown["node_name"] == host_name


@pytest.mark.parametrize("name", ["web.1", "web_1", "w" * 64])
def test_a_name_that_is_no_dns_label_gets_a_warning_that_says_what_will_fail(name: str, program: Program, tmp_path: Path) -> None:
    done = program.run(tmp_path, "validate", "-quiet", "--", "-dev", f"-node={name}")
    assert done.returncode == 0
    (warning,) = done.stderr.splitlines()
    assert "DNS" in warning
    assert "-node" in warning


def test_an_agent_with_such_a_name_starts_and_warns_in_its_log(tmp_path: Path) -> None:
    agent = dev_agent(tmp_path, node="web_1")
    try:
        line = agent.start_one("agent").wait_for_line(r"\[WARN\]")
        assert "web_1" in line
        agent.only.wait_for_line("New leader elected: web_1")
    finally:
        agent.stop()


def test_json_logs_are_one_object_a_line(start_dev: Start) -> None:
    agent = start_dev("-log-json")
    log = [line for line in agent.only.lines if line.startswith("{")]
    assert len(log) > 5
    for line in log:
        assert {"@level", "@message", "@module", "@timestamp"} <= set(json.loads(line))
