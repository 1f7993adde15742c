"""A push-pull of any size is taken in by turns of bounded work, and by then nothing else has had to wait."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

import pytest

from rostra.gossip import merging
from rostra.gossip.address import Address
from rostra.gossip.core import Core, CoreConfig
from rostra.gossip.effects import ExchangeDone
from rostra.gossip.steps import GROUP, TURN, Steps, Turns, finish
from rostra.gossip.timing import LAN
from rostra.gossip.versions import OURS
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.messages import Ping, PushPull, Row, RowState, decode_row, encode_message, encode_row
from rostra.gossip.wire.serf_messages import SerfState, decode_serf_state, encode_serf_state
from rostra.gossip.wire.streams import decode_stream
from rostra.model.members import MemberChange, MemberStatus

HOME = Address(bytes((10, 0, 0, 1)), 7946)
NOW = 1000.0
ROWS_PER_CALL = 40
"""About a millisecond of work."""


def row(number: int, state: RowState = RowState.ALIVE, incarnation: int = 1, versions: bytes = bytes(OURS)) -> bytes:
    ip = bytes((10, 1, number >> 8 & 255, number & 255))
    name = f"m{number}"
    return encode_row(Row(name=name, ip=ip, port=7946, meta=b"", incarnation=incarnation, state=state, versions=versions))


def push_pull(rows: Iterable[bytes], *, names: int = 0, left: tuple[str, ...] = ()) -> PushPull:
    ltimes = {f"m{number}": 3 for number in range(names)}
    state = SerfState(ltime=9, status_ltimes=ltimes, left_members=left, event_ltime=1, events=(), query_ltime=1)
    return PushPull(join=False, rows=tuple(rows), user_state=encode_serf_state(state))


class Member:
    """A core, and how it goes on as its driver would let it."""

    def __init__(self) -> None:
        envelope = Envelope(entropy=random.Random(1).randbytes)
        self.core = Core(CoreConfig("alpha", HOME, {}, LAN, compress=False), envelope, random.Random(2), NOW)
        self.core.take()

    def turn(self) -> bool:
        """Tick once if work waits."""
        if self.core.stats()["queued_push_pulls"] == 0:
            return False
        assert self.core.deadline <= NOW
        self.core.tick(NOW)
        return True

    def finish(self) -> int:
        """Tick until nothing waits; how often."""
        turns = 0
        while self.turn():
            turns += 1
        return turns

    def rows(self) -> dict[str, Row]:
        return {each.name: each for each in map(decode_row, self.core.membership.rows())}


@pytest.fixture
def member() -> Member:
    return Member()


def test_one_call_into_the_core_takes_in_a_bounded_number_of_ten_thousand_rows(member: Member) -> None:
    remote = push_pull(map(row, range(10_000)), names=10_000)
    answer = member.core.receive_stream(remote, NOW)
    assert answer is not None
    known = [len(member.core.membership.nodes)]
    while member.turn():
        known.append(len(member.core.membership.nodes))
    assert known[0] <= 1 + ROWS_PER_CALL
    assert max(after - before for before, after in itertools.pairwise(known)) <= ROWS_PER_CALL
    assert known[-1] == 10_001
    assert len(member.core.serf.members) == 10_001


def test_what_is_little_is_done_when_the_call_returns(member: Member) -> None:
    member.core.receive_stream(push_pull(map(row, range(20)), names=20), NOW)
    assert not member.turn()
    assert len(member.core.membership.nodes) == 21
    assert member.core.is_settled


def test_between_two_turns_a_ping_is_answered(member: Member) -> None:
    member.core.receive_stream(push_pull(map(row, range(5000))), NOW)
    member.core.take()
    member.core.receive_packet(encode_message(Ping(sequence=7, node="alpha")), HOME, NOW)
    assert len(member.core.take().packets) == 1
    assert member.turn()


def test_a_join_is_done_when_the_last_row_is_in_and_not_before(member: Member) -> None:
    exchange = member.core.join(HOME, NOW)
    member.core.on_stream_answer(exchange, push_pull(map(row, range(2000))), NOW)
    events = member.core.take().events
    assert not any(isinstance(event, ExchangeDone) for event in events)
    assert not member.core.is_settled
    member.finish()
    events += member.core.take().events
    assert isinstance(events[-1], ExchangeDone)
    assert events[-1].error == ""
    assert sum(isinstance(event, MemberChange) for event in events) == 2000
    assert member.core.is_settled


def test_a_peer_that_knows_what_we_know_costs_no_row_decoded(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(number, RowState.LEFT if number % 10 == 0 else RowState.ALIVE) for number in range(2000)]
    alive = [row(number) for number in range(2000)]
    member.core.receive_stream(push_pull(alive), NOW)
    member.finish()
    member.core.receive_stream(push_pull(rows), NOW)
    member.finish()
    before = member.rows()

    def decode(data: bytes) -> Row:
        raise AssertionError(f"decoded {data!r}")

    monkeypatch.setattr(merging, "decode_row", decode)
    member.core.receive_stream(push_pull(rows, names=2000), NOW)
    # Looking at a row is so cheap that a turn looks at hundreds.
    assert member.finish() <= 2000 * 3 // TURN + 2
    assert member.rows() == before


def test_a_later_intent_is_taken_in_though_its_member_is_known(member: Member) -> None:
    member.core.receive_stream(push_pull(map(row, range(3)), names=3), NOW)
    members = member.core.serf.members
    assert members.status_ltime("m1") == 3
    state = SerfState(ltime=9, status_ltimes={"m1": 4, "m2": 2}, left_members=(), event_ltime=1, events=(), query_ltime=1)
    member.core.receive_stream(PushPull(join=False, rows=(), user_state=encode_serf_state(state)), NOW)
    assert (members.status_ltime("m1"), members.status_ltime("m2")) == (4, 3)


def test_a_suspicion_that_both_have_is_not_skipped_it_is_confirmed(member: Member) -> None:
    member.core.receive_stream(push_pull(map(row, range(20))), NOW)
    suspect = [row(3, RowState.SUSPECT)]
    member.core.membership.on_row(decode_row(suspect[0]), NOW)
    assert member.rows()["m3"].state is RowState.SUSPECT
    assert not member.core.membership.knows(suspect[0])


def test_a_pool_that_speaks_another_version_changes_nothing_however_late_its_row_comes(member: Member) -> None:
    foreign = row(10_000, versions=bytes((1, 5, 2, 2, 3, 3)))
    exchange = member.core.join(HOME, NOW)
    member.core.on_stream_answer(exchange, push_pull([*map(row, range(3000)), foreign], names=3000), NOW)
    member.finish()
    assert list(member.core.membership.nodes) == ["alpha"]
    assert member.core.refused == {Reason.BAD_VERSIONS: 1}
    assert [event.error != "" for event in member.core.take().events if isinstance(event, ExchangeDone)] == [True]


def test_more_push_pulls_than_can_wait_are_refused(member: Member) -> None:
    remote = PushPull(join=False, rows=tuple(map(row, range(1000))), user_state=bytes(20 * 1024 * 1024))
    exchange = member.core.join(HOME, NOW)
    answers = [member.core.receive_stream(remote, NOW) for _ in range(6)]
    member.core.on_stream_answer(exchange, remote, NOW)
    assert [answer is not None for answer in answers] == [True, True, True, False, False, False]
    assert member.core.refused[Reason.QUEUE_FULL] == 4
    assert [event.error for event in member.core.take().events if isinstance(event, ExchangeDone)] == ["too many push-pulls at once"]
    member.finish()
    assert member.core.receive_stream(remote, NOW) is not None


def test_a_member_that_said_goodbye_is_never_failed_though_its_row_comes_many_turns_later(member: Member) -> None:
    member.core.receive_stream(push_pull(map(row, range(1000))), NOW)
    member.finish()
    member.core.take()
    gone = [row(number, RowState.LEFT) for number in range(1000)]
    member.core.receive_stream(push_pull(gone, names=1000, left=tuple(f"m{number}" for number in range(1000))), NOW)
    member.finish()
    statuses = [event.member.status for event in member.core.take().events if isinstance(event, MemberChange)]
    assert MemberStatus.FAILED not in statuses
    assert statuses.count(MemberStatus.LEFT) == 1000


def test_what_is_kept_encoded_is_what_is_known(member: Member) -> None:
    """The rows and times for a push-pull are kept up to date with each change, not made from the records."""
    rng = random.Random(3)
    for _ in range(40):
        rows = [row(rng.randrange(60), rng.choice(list(RowState)), rng.randrange(1, 6)) for _ in range(30)]
        left = tuple(f"m{number}" for number in range(60) if rng.random() < 0.2)
        member.core.receive_stream(push_pull(rows, names=rng.randrange(60), left=left), NOW)
        member.finish()
        member.core.membership.expire(NOW + rng.choice((0, 0, 1000)))
        if rng.random() < 0.2:
            member.core.membership.begin_round(NOW + 100_000)
        member.core.tick(NOW)  # carries on what expired
        check_kept(member.core)


def check_kept(core: Core) -> None:
    nodes = core.membership.nodes
    rows = {each.name: each for each in map(decode_row, core.membership.rows())}
    assert {name: (row.incarnation, row.state.value) for name, row in rows.items()} == {
        name: (node.incarnation, node.state.value) for name, node in nodes.items()
    }
    assert len(core.membership.rows()) == len(nodes)
    assert core.membership._living_versions.total() == sum(not node.state.is_gone for node in nodes.values())
    assert sorted(core.membership.ring) == sorted(nodes)
    state = decode_stream_state(core)
    members = core.serf.members
    assert dict(state.status_ltimes) == {member.name: member.status_ltime for member in members.members()}
    assert set(state.left_members) == {member.name for member in members.members() if member.status is MemberStatus.LEFT}
    assert members.alive_count == sum(member.status is MemberStatus.ALIVE for member in members.members())


def decode_stream_state(core: Core) -> SerfState:
    answer = core.receive_stream(push_pull([]), NOW)
    assert answer is not None
    message = decode_stream(answer)
    assert isinstance(message, PushPull)
    return decode_serf_state(message.user_state)


class TestTurns:
    def test_a_turn_ends_with_the_step_that_exceeds_it_and_the_next_one_goes_on(self) -> None:
        done: list[float] = []

        def work() -> Steps[None]:
            now = yield 0
            for _ in range(5):
                done.append(now)
                now = yield TURN // 2

        turns = Turns()
        turns.add(work(), 0, 1.0)
        assert turns.deadline == 1.0
        for now, count in ((1.0, 2), (2.0, 4), (3.0, 5)):
            turns.run(now)
            assert len(done) == count
        assert done == [1.0, 1.0, 2.0, 2.0, 3.0]
        assert len(turns) == 0
        assert turns.deadline == float("inf")

    def test_many_small_ones_share_a_turn(self) -> None:
        def work() -> Steps[None]:
            yield 0
            yield GROUP

        turns = Turns()
        for _ in range(3):
            turns.add(work(), 0, 1.0)
        turns.run(1.0)
        assert len(turns) == 0


def test_rows_are_admitted_one_by_one_when_two_pools_join() -> None:
    envelope = Envelope(entropy=random.Random(1).randbytes)
    config = CoreConfig("alpha", HOME, {}, LAN, compress=False, admit=lambda name, *_: "no" if name == "m700" else "")
    core = Core(config, envelope, random.Random(2), NOW)
    remote = push_pull(map(row, range(1000)))
    with pytest.raises(WireError, match="not_admitted"):
        finish(
            merging.merge(
                PushPull(join=True, rows=remote.rows, user_state=b""), core.membership, core.serf, core.refused, ignore_old_events=False
            )
        )
    assert len(core.membership.nodes) == 1
