"""How an agent ends: signals, and what its log says of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from .conftest import Start
from .harness.deployment import HOST, ROLES, Deployment
from .harness.system import Listener, listeners
from .harness.waiting import Stopwatch, eventually

pytestmark = pytest.mark.process


def assert_nothing_is_left(deployment: Deployment, before: set[Listener]) -> None:
    """Its ports can be taken again at once, which a second start shows best."""
    deployment.start()
    assert {each.port for each in listeners(deployment.only.pid)} == {each.port for each in before}


def test_ctrl_c_leaves_says_so_step_by_step_and_exits_0(start_dev: Start) -> None:
    agent = start_dev()
    before = listeners(agent.only.pid)
    process = agent.only
    process.send(signal.SIGINT)
    assert process.wait(10.0) == 0
    for step in (
        "caught signal.*interrupt",
        "graceful leave started",
        "(?i)leaving.*WAN",
        "(?i)leaving.*LAN",
        "left the gossip pools",
        "stopped",
    ):
        process.wait_for_line(step, 0.1)
    assert process.errors == []
    assert not [line for line in process.lines if "[ERROR]" in line or "Traceback" in line]
    assert_nothing_is_left(agent, before)


def test_signals_that_come_when_it_has_stopped_make_no_failure_of_it(start_dev: Start) -> None:
    process = start_dev().only
    process.send(signal.SIGTERM)
    process.wait_for_line("agent: stopped")
    while process.is_running:
        process.send(signal.SIGINT)
    assert process.wait() == 0


def test_ctrl_c_tells_the_others_that_the_node_left(start_dev: Start) -> None:
    stays, goes = start_dev(node="stays"), start_dev(node="goes")
    stays.cli("join", f"{HOST}:{goes.ports.serf_lan}")
    eventually(lambda: len(stays.api.get("/v1/agent/members").json()) == 2, 5.0, "both are members")
    goes.only.send(signal.SIGINT)
    assert goes.only.wait(15.0) == 0
    eventually(lambda: _statuses(stays) == {"stays": 1, "goes": 3}, 3.0, "the other is seen as left")


def _statuses(agent: Deployment) -> dict[str, int]:
    return {member["Name"]: member["Status"] for member in agent.api.get("/v1/agent/members").json()}


def test_a_second_ctrl_c_ends_it_at_once(start_dev: Start) -> None:
    """The node drains for 5 s when others are there: the second signal does not wait for that."""
    first, second = start_dev(node="first"), start_dev(node="second")
    first.cli("join", f"{HOST}:{second.ports.serf_lan}")
    eventually(lambda: len(_statuses(second)) == 2, 5.0, "both are members")
    process = second.only
    process.send(signal.SIGINT)
    process.wait_for_line("graceful leave started")
    watch = Stopwatch()
    process.send(signal.SIGINT)
    assert process.wait(2.0) == 1
    assert watch.is_within(0.5)
    process.wait_for_line("second signal", 0.1)


def test_sigterm_only_stops_a_server(start_dev: Start) -> None:
    process = start_dev().only
    process.send(signal.SIGTERM)
    assert process.wait(10.0) == 0
    process.wait_for_line("caught signal.*terminated", 0.1)
    assert not [line for line in process.lines if "graceful leave" in line]
    assert process.errors == []


def test_leave_on_terminate_makes_sigterm_leave(start_dev: Start) -> None:
    process = start_dev("-hcl=leave_on_terminate = true").only
    process.send(signal.SIGTERM)
    assert process.wait(10.0) == 0
    process.wait_for_line("graceful leave started", 0.1)


def test_skip_leave_on_interrupt_makes_ctrl_c_only_stop(start_dev: Start) -> None:
    process = start_dev("-hcl=skip_leave_on_interrupt = true").only
    process.send(signal.SIGINT)
    assert process.wait(10.0) == 0
    assert not [line for line in process.lines if "graceful leave" in line]


def test_sighup_reads_the_configuration_again(start_dev: Start) -> None:
    agent = start_dev()
    agent.only.send(signal.SIGHUP)
    agent.only.wait_for_line("configuration reloaded")
    agent.assert_alive()


def test_files_that_take_long_to_read_hold_up_nothing(start_dev: Start, tmp_path: Path) -> None:
    """Thousands of definitions take seconds; here the file is a pipe, and takes as long as the test wants."""
    file = tmp_path / "agent.json"
    file.write_text("{}")
    agent = start_dev(f"-config-file={file}")
    file.unlink()
    os.mkfifo(file)
    agent.only.send(signal.SIGHUP)
    with file.open("w") as pipe:  # which waits until somebody reads
        agent.api.register("n1", "127.0.0.9")
        assert agent.dns.addresses("n1.node.consul") == ["127.0.0.9"]
        pipe.write('{"service": {"name": "late", "port": 80}}')
    agent.only.wait_for_line("configuration reloaded")
    assert "late" in agent.api.get("/v1/agent/services").json()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_roles_alone_only_stop_on_either_signal(start_six: Start, number: signal.Signals) -> None:
    node = start_six()
    for role in reversed(ROLES):
        process = node.running[role]
        process.send(number)
        assert process.wait(10.0) == 0, process.output
        assert process.errors == [], role
        assert not [line for line in process.lines if "leaving" in line or "Traceback" in line], role
    assert node.data is not None
    assert not list(node.data.glob("*.sock"))
