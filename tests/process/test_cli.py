"""The client commands against a node in one process and in six, and Consul's own command against rostra."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from rostra.version import VERSION

from .conftest import Start
from .harness.deployment import HOST, Deployment
from .harness.program import Program

pytestmark = pytest.mark.process

COMMANDS = ("members", "leave", "join", "info", "version", "keygen", "validate")


def rows(table: str) -> list[list[str]]:
    """The cells of a printed table."""
    return [line.split() for line in table.splitlines()]


def test_members_prints_consuls_table(node: Deployment) -> None:
    assert rows(node.cli("members")) == [
        ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC"],
        [node.node, f"{HOST}:{node.ports.serf_lan}", "alive", "server", VERSION, "2", "dc1"],
    ]


def test_members_detailed_shows_the_tags(node: Deployment) -> None:
    header, (name, address, status, tags) = rows(node.cli("members", "-detailed"))
    assert header == ["Node", "Address", "Status", "Tags"]
    assert (name, address, status) == (node.node, f"{HOST}:{node.ports.serf_lan}", "alive")
    assert {"role=consul", "dc=dc1", f"port={node.ports.server}", f"build={VERSION}"} <= set(tags.split(","))


def test_members_wan_shows_the_servers_of_all_datacenters(node: Deployment) -> None:
    _, row = rows(node.cli("members", "-wan"))
    assert row[:3] == [f"{node.node}.dc1", f"{HOST}:{node.ports.serf_wan}", "alive"]


def test_members_status_takes_a_regular_expression_and_exits_2_without_a_match(node: Deployment) -> None:
    assert len(rows(node.cli("members", "-status=^al"))) == 2
    done = node.program.run(node.folder, "members", f"-http-addr={node.http_address}", "-status=failed|left")
    assert (done.returncode, done.stdout) == (2, "")


def test_members_as_json_is_what_the_api_says(node: Deployment) -> None:
    (member,) = json.loads(node.cli("members", "-format=json"))
    assert (member["Name"], member["Status"]) == (node.node, 1)


def test_the_agent_is_found_by_flag_and_by_variable_and_the_flag_goes_first(node: Deployment) -> None:
    nobody = f"{HOST}:1"
    for spelling in ("-http-addr=", "--http-addr=http://"):
        done = node.program.run(node.folder, "members", spelling + node.http_address, env={"CONSUL_HTTP_ADDR": nobody})
        assert done.returncode == 0, done.stderr
    done = node.program.run(node.folder, "members", env={"CONSUL_HTTP_ADDR": nobody})
    assert done.returncode == 1
    assert nobody in done.stderr


def test_info_shows_the_counters_of_every_role(node: Deployment) -> None:
    sections = json.loads(node.cli("info", "-format=json"))
    assert {"build", "runtime", "consul", "serf_lan", "serf_wan"} <= set(sections)
    assert sections["consul"]["server"] == "true"
    assert sections["serf_lan"]["members"] == "1"
    assert "serf_lan:\n" in node.cli("info")


def test_info_of_a_whole_server_has_the_raft_block(agent: Deployment) -> None:
    raft = json.loads(agent.cli("info", "-format=json"))["raft"]
    assert raft["state"] == "Leader"
    assert int(raft["commit_index"]) <= int(raft["last_log_index"])
    assert int(raft["applied_index"]) > 0


def test_join_joins_another_agent(start_dev: Start) -> None:
    first, second = start_dev(node="first"), start_dev(node="second")
    said = first.cli("join", f"{HOST}:{second.ports.serf_lan}")
    assert said == "Successfully joined cluster by contacting 1 nodes.\n"
    for agent in (first, second):
        agent.only.wait_for_line("member joined.*(first|second)")
        assert {row[0] for row in rows(agent.cli("members"))[1:]} == {"first", "second"}


def test_join_says_which_address_did_not_answer_and_exits_1(node: Deployment) -> None:
    done = node.program.run(node.folder, "join", f"-http-addr={node.http_address}", f"{HOST}:1")
    assert done.returncode == 1
    assert f"{HOST}:1" in done.stderr


def test_leave_ends_an_agent_that_exits_0(start_dev: Start) -> None:
    agent = start_dev()
    assert agent.cli("leave") == "Graceful leave complete\n"
    assert agent.only.wait(10.0) == 0
    assert agent.only.errors == []


def test_leave_ends_the_node_of_six_processes_role_by_role(start_six: Start) -> None:
    """A node leaves as a whole: gossip ends in good order, and what the others say of the node is that it left."""
    node = start_six()
    assert node.cli("leave") == "Graceful leave complete\n"
    assert node.running["gossip"].wait(10.0) == 0
    node.running["gossip"].wait_for_line("(?i)left", 0.1)


def test_version_says_what_is_installed(program: Program, tmp_path: Path) -> None:
    assert program.run(tmp_path, "version").stdout.splitlines()[0] == f"rostra v{VERSION}"
    assert json.loads(program.run(tmp_path, "version", "-format=json").stdout)["Version"] == VERSION


def test_keygen_makes_a_new_key_of_32_bytes_each_time(program: Program, tmp_path: Path) -> None:
    keys = {program.run(tmp_path, "keygen").stdout.strip() for _ in range(2)}
    assert [len(base64.b64decode(key)) for key in keys] == [32, 32]


def test_validate_prints_the_effective_configuration(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "good.hcl"
    file.write_text('datacenter = "east"\nports { http = 18500 }\n')
    done = program.run(tmp_path, "validate", str(file), "--", "-dev", "-node=checked")
    assert done.returncode == 0, done.stderr
    for text in ("east", "18500", "checked", "Configuration is valid!"):
        assert text in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(program: Program, tmp_path: Path, command: str) -> None:
    for flag in ("-h", "--help"):
        done = program.run(tmp_path, command, flag)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"rostra {command}" in done.stdout


def test_agent_help_shows_default_key_and_variable_of_each_flag(program: Program, tmp_path: Path) -> None:
    done = program.run(tmp_path, "agent", "-h")
    assert done.returncode == 0
    assert "-http-port" in done.stdout
    assert "default 8500 · key ports.http · env ROSTRA_PORTS_HTTP" in done.stdout


@pytest.mark.interop("consul")
def test_the_real_consul_members_reads_rostra(node: Deployment) -> None:
    command = ["consul", "members", f"-http-addr=http://{node.http_address}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    header, row = rows(done.stdout)
    assert header == ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Segment"]
    assert row[:7] == [node.node, f"{HOST}:{node.ports.serf_lan}", "alive", "server", VERSION, "2", "dc1"]
    detailed = subprocess.run([*command, "-detailed"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "role=consul" in detailed
    wan = subprocess.run([*command, "-wan"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert f"{node.node}.dc1" in wan


@pytest.mark.interop("consul")
def test_other_commands_of_the_real_consul_read_rostra(node: Deployment) -> None:
    def consul(*arguments: str) -> str:
        command = ["consul", *arguments, f"-http-addr=http://{node.http_address}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    assert node.node in consul("catalog", "nodes")
    assert consul("catalog", "services").split() == ["consul"]
    assert consul("catalog", "datacenters").split() == ["dc1"]
    assert "serf_lan" in consul("info")
