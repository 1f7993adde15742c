"""Starts that cannot succeed: one clear line that names the culprit, exit code 1, nothing left."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import Start
from .harness.deployment import HOST, Deployment
from .harness.ports import Ports
from .harness.program import Program
from .harness.system import files_below

pytestmark = pytest.mark.process

DOORS = [
    ("http", socket.SOCK_STREAM, "HTTP"),
    ("dns", socket.SOCK_STREAM, "DNS"),
    ("dns", socket.SOCK_DGRAM, "DNS"),
    ("grpc", socket.SOCK_STREAM, "gRPC"),
    ("server", socket.SOCK_STREAM, "server"),
    ("serf_lan", socket.SOCK_STREAM, "gossip"),
    ("serf_lan", socket.SOCK_DGRAM, "gossip"),
    ("serf_wan", socket.SOCK_STREAM, "gossip"),
    ("serf_wan", socket.SOCK_DGRAM, "gossip"),
]


@contextmanager
def taken(port: int, kind: socket.SocketKind) -> Iterator[None]:
    """Somebody else has this port."""
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind((HOST, port))
        if kind is socket.SOCK_STREAM:
            other.listen()
        yield


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error of a start that failed."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(("door", "kind", "called"), DOORS, ids=[f"{door} {kind.name[5:]}" for door, kind, _ in DOORS])
def test_a_port_that_is_taken_is_named(program: Program, tmp_path: Path, door: str, kind: socket.SocketKind, called: str) -> None:
    ports = Ports.free()
    with taken(getattr(ports, door), kind):
        line = refusal(program.run(tmp_path, "agent", "-dev", "-node=n", *ports.flags()))
    assert str(getattr(ports, door)) in line
    assert called.lower() in line.lower()
    assert "in use" in line.lower()


def test_after_a_refusal_the_other_ports_are_free_again(program: Program, tmp_path: Path) -> None:
    ports = Ports.free()
    with taken(ports.grpc, socket.SOCK_STREAM):
        refusal(program.run(tmp_path, "agent", "-dev", "-node=n", *ports.flags()))
    for port in (ports.http, ports.dns, ports.server, ports.serf_lan, ports.serf_wan):
        with taken(port, socket.SOCK_STREAM), taken(port, socket.SOCK_DGRAM):
            pass


def test_an_unknown_flag_is_named_with_the_nearest_one(program: Program, tmp_path: Path) -> None:
    line = refusal(program.run(tmp_path, "agent", "-dev", "-htp-port=1"))
    assert "-htp-port" in line
    assert "-http-port" in line


@pytest.mark.parametrize(
    ("name", "text", "culprits"),
    [
        ("broken.hcl", 'datacenter = "dc1"\nports {\n  http = \n}\n', ["broken.hcl:4", "value"]),
        ("broken.json", '{"datacenter": "dc1",\n "ports": }', ["broken.json:2"]),
        ("unknown.hcl", 'datacenter = "dc1"\n\ndatacentre = "x"\n', ["unknown.hcl:3", "datacentre", "datacenter"]),
        ("wrong.json", '{"ports": {"http": "many"}}', ["wrong.json", "ports.http"]),
    ],
)
def test_a_broken_configuration_file_is_named_with_the_line(
    program: Program, tmp_path: Path, name: str, text: str, culprits: list[str]
) -> None:
    (tmp_path / name).write_text(text)
    line = refusal(program.run(tmp_path, "agent", "-dev", f"-config-file={tmp_path / name}"))
    for culprit in culprits:
        assert culprit in line


def test_all_problems_are_told_at_once(program: Program, tmp_path: Path) -> None:
    done = program.run(tmp_path, "agent", "-dev", "-nonsense=1", "-http-port=x", "-datacenter=")
    assert done.returncode == 1
    for culprit in ("-nonsense", "-http-port"):
        assert culprit in done.stderr


@pytest.mark.parametrize(
    "flag", ["-hcl=acl { enabled = true }", '-hcl=acl { tokens { agent = "5cT+2JVJqL4m" } }', "-hcl=auto_encrypt { tls = true }"]
)
def test_a_security_setting_is_refused_and_never_ignored(program: Program, tmp_path: Path, flag: str) -> None:
    line = refusal(program.run(tmp_path, "agent", "-dev", flag))
    assert "not in this version" in line
    assert "5cT+" not in line


def test_a_server_without_a_data_folder_is_told_what_to_add(program: Program, tmp_path: Path) -> None:
    assert "-data-dir" in refusal(program.run(tmp_path, "agent", "-server", "-bootstrap", f"-bind={HOST}"))


def test_a_server_that_can_neither_bootstrap_nor_join_is_told_what_to_add(program: Program, tmp_path: Path) -> None:
    line = refusal(program.run(tmp_path, "agent", "-server", f"-bind={HOST}", f"-data-dir={tmp_path / 'data'}"))
    assert "-bootstrap" in line
    assert "-retry-join" in line
    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_made_is_named(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    ports = Ports.free()
    done = program.run(tmp_path, "agent", "-server", "-bootstrap", f"-bind={HOST}", f"-data-dir={file}", *ports.flags())
    assert str(file) in refusal(done)


def test_a_refused_dev_start_leaves_no_file(program: Program, tmp_path: Path) -> None:
    ports = Ports.free()
    with taken(ports.http, socket.SOCK_STREAM):
        refusal(program.run(tmp_path, "agent", "-dev", *ports.flags()))
    assert files_below(tmp_path) == {"home", "tmp", "work"}


def test_a_second_agent_on_the_same_folder_is_refused(start_durable: Start, program: Program, tmp_path: Path) -> None:
    first = start_durable()
    ports = Ports.free()
    done = program.run(tmp_path, "agent", "-server", "-bootstrap", f"-bind={HOST}", f"-data-dir={first.data}", *ports.flags())
    line = refusal(done)
    assert str(first.data) in line
    assert str(first.only.pid) in line
    first.assert_alive()


def test_a_second_role_process_on_the_same_folder_is_refused(six: Deployment) -> None:
    for role in ("gossip", "catalog"):
        line = refusal(six.program.run(six.folder, *six.commands[role]))
        assert role in line
        assert str(six.running[role].pid) in line


def test_a_role_that_was_configured_to_be_another_node_refuses_to_serve(six: Deployment) -> None:
    ports = Ports.free()
    upstreams = [f"-{role}=unix:{six.data}/{role}.sock" for role in ("gossip", "catalog")]
    own_door = f"-grpc-addr={HOST}:{ports.grpc}"
    line = refusal(six.program.run(six.folder, "dns", *upstreams, "-node=other", *ports.flags("dns"), own_door))
    assert "other" in line
    assert six.node in line
