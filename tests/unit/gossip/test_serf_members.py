"""A member's status in Serf's eyes: every transition (gossip-wire section 12.3)."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from rostra.gossip.address import Address
from rostra.gossip.membership import Node, NodeState
from rostra.gossip.serf_members import SerfMembers
from rostra.gossip.timing import LAN
from rostra.gossip.versions import OURS
from rostra.gossip.wire.serf_messages import JoinIntent, LeaveIntent, encode_status_ltime
from rostra.gossip.wire.tags import encode_tags
from rostra.model.members import MemberChangeKind, MemberStatus

NODE = Node("peer", Address(bytes((10, 0, 0, 2)), 7946), encode_tags({"role": "web"}), OURS, 3, NodeState.ALIVE, 0.0)
HOUR = 3600.0


class Bench(SerfMembers):
    def __init__(self) -> None:
        super().__init__("me", LAN, random.Random(1))

    def kinds(self) -> list[MemberChangeKind]:
        return [change.kind for change in self.take_changes()]

    def status(self, name: str = "peer") -> MemberStatus | None:
        member = self.member(name)
        return member.status if member else None

    def join(self, ltime: int, name: str = "peer", now: float = 10.0) -> bool:
        return self.on_join_intent(JoinIntent(ltime=ltime, node=name), now)

    def leave(self, ltime: int, name: str = "peer", now: float = 10.0, *, prune: bool = False) -> bool:
        return self.on_leave_intent(LeaveIntent(ltime=ltime, node=name, prune=prune), now)

    def reap(self, now: float, *, alive: bool = True) -> list[str]:
        return self.tick(now, lambda name: alive)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def met(bench: Bench) -> Bench:
    bench.on_joined(NODE, 0.0)
    bench.take_changes()
    return bench


@pytest.mark.parametrize(("asked", "kept_s"), [("90s", 90.0), ("0s", 72 * HOUR), ("-1h", 72 * HOUR), ("soon", 72 * HOUR), ("", 72 * HOUR)])
def test_a_failed_member_is_waited_for_as_long_as_it_asked(bench: Bench, asked: str, kept_s: float) -> None:
    node = replace(NODE, meta=encode_tags({"rc_tm": asked}))
    bench.on_joined(node, 0.0)
    bench.on_gone(node, 100.0)
    assert bench.reap(100.0 + kept_s) == []
    assert bench.reap(100.1 + kept_s) == ["peer"]


def test_a_newcomer_is_alive_with_its_tags(bench: Bench) -> None:
    bench.on_joined(NODE, 0.0)
    assert bench.kinds() == [MemberChangeKind.JOINED]
    member = bench.member("peer")
    assert member is not None
    assert (member.address, member.port, dict(member.tags), member.incarnation) == ("10.0.0.2", 7946, {"role": "web"}, 3)
    assert (member.status, member.status_ltime, member.dcur) == (MemberStatus.ALIVE, 0, 4)


def test_intent_then_death_is_left(met: Bench) -> None:
    assert met.leave(5)
    assert met.kinds() == [MemberChangeKind.LEAVING]
    met.on_gone(NODE, 10.0)
    assert met.kinds() == [MemberChangeKind.LEFT]
    assert met.left_members() == ("peer",)


def test_a_death_verdict_of_others_is_failed_and_an_intent_after_it_makes_it_left(met: Bench) -> None:
    met.on_gone(NODE, 10.0)
    assert met.kinds() == [MemberChangeKind.FAILED]
    assert met.leave(5)
    assert met.kinds() == [MemberChangeKind.LEFT]


def test_a_goodbye_whose_intent_was_lost_is_a_goodbye_all_the_same(met: Bench) -> None:
    met.on_gone(replace(NODE, state=NodeState.LEFT), 10.0)
    assert met.kinds() == [MemberChangeKind.LEFT]
    assert met.left_members() == ("peer",)
    assert met.leave(5)  # the intent, late: passed on, and nothing changes
    assert met.kinds() == []
    assert (met.status(), met.status_ltime("peer")) == (MemberStatus.LEFT, 5)


def test_who_was_taken_for_failed_and_had_left_has_left(met: Bench) -> None:
    met.on_gone(replace(NODE, state=NodeState.DEAD), 10.0)
    met.on_gone(replace(NODE, state=NodeState.LEFT), 20.0)
    met.on_gone(replace(NODE, state=NodeState.LEFT), 30.0)
    met.on_gone(replace(NODE, state=NodeState.DEAD), 40.0)
    assert met.kinds() == [MemberChangeKind.FAILED, MemberChangeKind.LEFT]
    assert met.reap(10.0 + 24 * HOUR) == []
    assert met.reap(10.1 + 24 * HOUR) == ["peer"]


def test_a_join_intent_takes_a_leave_intent_back(met: Bench) -> None:
    met.leave(5)
    assert not met.join(5)
    assert met.status() is MemberStatus.LEAVING
    assert met.join(6)
    assert met.status() is MemberStatus.ALIVE


def test_old_intents_are_not_passed_on(met: Bench) -> None:
    assert met.join(7)
    assert not met.join(7)
    assert not met.leave(7)
    assert not met.leave(6)
    assert met.status() is MemberStatus.ALIVE
    assert met.status_ltime("peer") == 7
    assert list(met.encoded_status_ltimes) == [encode_status_ltime("peer", 7)]


@pytest.mark.parametrize(
    ("before", "kind"), [("failed", MemberChangeKind.RETURNED), ("left", MemberChangeKind.JOINED), ("leaving", MemberChangeKind.JOINED)]
)
def test_who_was_gone_comes_back(met: Bench, before: str, kind: MemberChangeKind) -> None:
    if before != "failed":
        met.leave(5)
    if before != "leaving":
        met.on_gone(NODE, 10.0)
    met.take_changes()
    met.on_joined(NODE, 20.0)
    assert met.kinds() == [kind]
    assert met.status() is MemberStatus.ALIVE


@pytest.mark.parametrize(("leaves", "status"), [(True, MemberStatus.LEAVING), (False, MemberStatus.ALIVE)])
def test_an_intent_about_a_stranger_waits_until_it_is_met(bench: Bench, leaves: bool, status: MemberStatus) -> None:
    assert bench.leave(9) if leaves else bench.join(9)
    assert not bench.join(9)
    assert not bench.leave(8)
    bench.on_joined(NODE, 20.0)
    member = bench.member("peer")
    assert member is not None
    assert (member.status, member.status_ltime) == (status, 9)


def test_an_intent_about_a_stranger_is_forgotten_after_five_minutes(bench: Bench) -> None:
    bench.leave(9, now=10.0)
    bench.reap(310.1)
    bench.on_joined(NODE, 320.0)
    assert bench.status() is MemberStatus.ALIVE


def test_strangers_in_any_number_cost_bounded_memory(bench: Bench) -> None:
    accepted = sum(bench.join(1, f"stranger{number}") for number in range(20_000))
    assert accepted == 16_384


def test_clocks_are_ahead_of_everything_seen(bench: Bench) -> None:
    assert bench.clock.time == 1
    bench.join(41)
    assert bench.clock.time == 42
    bench.leave(3)
    assert bench.clock.time == 42
    bench.join(2**64 - 1)
    assert bench.clock.time < 2**64
    assert bench.clock.increment() < 2**64


def test_what_is_later_about_us_than_we_said_must_be_contradicted(bench: Bench) -> None:
    local = Node("me", Address(bytes((10, 0, 0, 1)), 7946), b"", OURS, 1, NodeState.ALIVE, 0.0)
    bench.on_joined(local, 0.0)
    bench.join(5, "me")
    assert not bench.must_contradict(LeaveIntent(ltime=5, node="me"))
    assert bench.must_contradict(LeaveIntent(ltime=6, node="me"))
    assert bench.must_contradict(JoinIntent(ltime=6, node="me"))
    assert not bench.must_contradict(LeaveIntent(ltime=6, node="peer"))
    bench.is_leaving = True
    assert not bench.must_contradict(LeaveIntent(ltime=6, node="me"))


def test_failed_members_are_kept_three_days_and_left_ones_one(met: Bench) -> None:
    met.on_joined(Node("other", NODE.address, NODE.meta, OURS, 1, NodeState.ALIVE, 0.0), 0.0)
    met.leave(5, "other", now=100.0)
    met.on_gone(NODE, 100.0)
    met.on_gone(Node("other", NODE.address, NODE.meta, OURS, 1, NodeState.LEFT, 0.0), 100.0)
    met.take_changes()
    assert met.reap(100.0 + 24 * HOUR) == []
    assert met.reap(101.0 + 24 * HOUR) == ["other"]
    assert met.kinds() == [MemberChangeKind.REAPED]
    assert met.reap(100.0 + 72 * HOUR) == []
    assert met.reap(101.0 + 72 * HOUR) == ["peer"]


def test_prune_erases_who_failed_at_once(met: Bench) -> None:
    met.on_gone(NODE, 10.0)
    met.leave(5, now=20.0, prune=True)
    assert met.reap(20.0) == ["peer"]
    assert met.member("peer") is None


def test_prune_lets_who_is_leaving_say_goodbye_first(met: Bench) -> None:
    met.leave(5, now=20.0, prune=True)
    met.on_gone(NODE, 22.0)
    assert met.reap(27.9) == []
    assert met.reap(28.0) == ["peer"]


def test_prune_is_off_when_the_member_came_back(met: Bench) -> None:
    met.leave(5, now=20.0, prune=True)
    met.join(6, now=21.0)
    assert met.reap(30.0) == []
    met.on_gone(NODE, 40.0)
    assert met.reap(50.0) == []


def test_who_says_to_be_leaving_and_lives_on_is_alive_after_all(met: Bench) -> None:
    met.leave(5, now=20.0)
    met.reap(46.0)
    assert met.status() is MemberStatus.LEAVING
    met.reap(46.1, alive=False)
    assert met.status() is MemberStatus.LEAVING
    met.reap(46.1)
    assert met.status() is MemberStatus.ALIVE


def test_only_failed_members_are_called_and_the_more_they_are_the_more_often(met: Bench) -> None:
    assert met.choose_failed() is None
    met.on_gone(NODE, 10.0)
    for number in range(4):
        met.on_joined(Node(f"n{number}", NODE.address, NODE.meta, OURS, 1, NodeState.ALIVE, 0.0), 0.0)
    calls = sum(met.choose_failed() is not None for _ in range(1000))
    assert 200 < calls < 300  # one failed among four alive
