"""What an operator reads: constant events with fields, and no flood whatever peers do."""

from __future__ import annotations

import logging

import pytest

from rostra.gossip.departure import LeaveProgress, LeaveStep
from rostra.gossip.log import PoolLog
from rostra.model.members import Member, MemberChange, MemberChangeKind, MemberStatus


def change(kind: MemberChangeKind, name: str = "peer", role: str = "rostra") -> MemberChange:
    return MemberChange(kind, Member(name, "10.0.0.2", 8301, {"role": role}, MemberStatus.ALIVE, 1))


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="rostra.gossip")


@pytest.mark.parametrize(
    ("kind", "message", "level"),
    [
        (MemberChangeKind.JOINED, "member joined", "INFO"),
        (MemberChangeKind.UPDATED, "member updated", "INFO"),
        (MemberChangeKind.LEFT, "member left", "INFO"),
        (MemberChangeKind.FAILED, "member failed", "WARNING"),
        (MemberChangeKind.RETURNED, "member returned", "INFO"),
        (MemberChangeKind.REAPED, "member reaped", "INFO"),
    ],
)
def test_each_change_of_a_member_is_one_line(caplog: pytest.LogCaptureFixture, kind: MemberChangeKind, message: str, level: str) -> None:
    PoolLog("lan", "me").write(change(kind), 1.0)
    (record,) = caplog.records
    assert (record.getMessage(), record.levelname) == (message, level)
    assert (record.__dict__["pool"], record.__dict__["member"], record.__dict__["address"]) == ("lan", "peer", "10.0.0.2:8301")


def test_leaving_is_told_step_by_step(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="rostra.gossip")
    log = PoolLog("lan", "me")
    for step in LeaveStep:
        log.write(LeaveProgress(step), 1.0)
    assert len({record.getMessage() for record in caplog.records}) == len(LeaveStep)


def test_a_flood_is_counted_instead_of_written(caplog: pytest.LogCaptureFixture) -> None:
    log = PoolLog("lan", "me")
    for number in range(5000):
        log.write(change(MemberChangeKind.UPDATED, str(number)), 100.0)
    assert len(caplog.records) == 2000
    log.write(change(MemberChangeKind.UPDATED, "later"), 101.0)
    assert caplog.records[-2].getMessage() == "too much to log"
    assert caplog.records[-2].__dict__["lines_left_out"] == 3000
    assert caplog.records[-1].__dict__["member"] == "later"


def test_a_pool_with_consul_servers_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    log = PoolLog("lan", "me")
    for name in ("a", "b"):
        log.write(change(MemberChangeKind.JOINED, name, role="consul"), 1.0)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "Consul" in warnings[0].getMessage()
