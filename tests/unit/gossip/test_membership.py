"""The rules of membership, one by one (gossip-wire section 9), and as properties of any sequence of messages."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.gossip.address import Address
from rostra.gossip.awareness import Awareness
from rostra.gossip.broadcasts import BroadcastQueue
from rostra.gossip.membership import (
    Membership,
    NameClaimed,
    Node,
    NodeGone,
    NodeJoined,
    NodeState,
    NodeSuspected,
    NodeUpdated,
    Refuted,
    SameNode,
    nobody_tells,
)
from rostra.gossip.timing import LAN
from rostra.gossip.versions import OURS
from rostra.gossip.wire import limits
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.messages import Alive, Dead, PacketMessage, Row, RowState, Suspect, decode_row
from rostra.gossip.wire.packets import decode_packet
from rostra.gossip.wire.tags import encode_tags, same_id

HOME = Address(bytes((10, 0, 0, 1)), 7946)
ELSEWHERE = Address(bytes((10, 0, 0, 9)), 7946)


class Bench:
    """A membership of ``me``, and what it would broadcast."""

    def __init__(self, same_node: SameNode = nobody_tells) -> None:
        self.queue = BroadcastQueue(LAN.retransmit_mult)
        self.awareness = Awareness(LAN.awareness_max_multiplier)
        local = Node("me", HOME, b"meta", OURS, 1, NodeState.ALIVE, 0.0)
        self.membership = Membership(
            local, timing=LAN, awareness=self.awareness, broadcasts=self.queue, rng=random.Random(1), same_node=same_node
        )
        self.membership.take_events()
        self.broadcasts()

    def node(self, name: str = "peer") -> Node:
        return self.membership.nodes[name]

    def events(self) -> list[type]:
        return [type(event) for event in self.membership.take_events()]

    def broadcasts(self) -> list[PacketMessage]:
        """What is queued, once each; the queue is empty afterwards."""
        messages = []
        while self.queue:
            for part in self.queue.take(60_000, 2, 1, 255):
                messages += decode_packet(part).messages
        return list(dict.fromkeys(messages))

    def hear(self, message: PacketMessage, now: float = 10.0) -> None:
        match message:
            case Alive():
                self.membership.on_alive(message, now)
            case Suspect():
                self.membership.on_suspect(message, now)
            case Dead():
                self.membership.on_dead(message, now)


def alive(incarnation: int = 1, node: str = "peer", *, address: Address = HOME, meta: bytes = b"m", versions: bytes = bytes(OURS)) -> Alive:
    return Alive(incarnation=incarnation, node=node, ip=address.ip, port=address.port, meta=meta, versions=versions)


def suspect(incarnation: int = 1, node: str = "peer", accuser: str = "other") -> Suspect:
    return Suspect(incarnation=incarnation, node=node, accuser=accuser)


def dead(incarnation: int = 1, node: str = "peer", accuser: str = "other") -> Dead:
    return Dead(incarnation=incarnation, node=node, accuser=accuser)


def left(incarnation: int = 1, node: str = "peer") -> Dead:
    return dead(incarnation, node, node)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def met(bench: Bench) -> Bench:
    bench.hear(alive())
    bench.membership.take_events()
    bench.broadcasts()
    return bench


def test_a_new_member_starts_by_telling_of_itself() -> None:
    queue = BroadcastQueue(4)
    local = Node("me", HOME, b"meta", OURS, 1, NodeState.ALIVE, 0.0)
    membership = Membership(local, timing=LAN, awareness=Awareness(8), broadcasts=queue, rng=random.Random(1))
    assert membership.take_events() == [NodeJoined(local)]
    assert decode_packet(queue.take(1400, 2, 1, 255)[0]).messages == [alive(1, "me", meta=b"meta")]


def test_an_unknown_name_joins_and_is_passed_on_unchanged(bench: Bench) -> None:
    bench.hear(alive(7))
    assert bench.events() == [NodeJoined]
    assert bench.broadcasts() == [alive(7)]
    assert (bench.node().incarnation, bench.node().state) == (7, NodeState.ALIVE)
    assert "peer" in bench.membership.ring


def test_a_first_alive_with_incarnation_zero_is_ignored(bench: Bench) -> None:
    bench.hear(alive(0))
    assert "peer" not in bench.membership.nodes
    assert bench.broadcasts() == []


@pytest.mark.parametrize("incarnation", [0, 1])
def test_alive_that_is_not_newer_changes_nothing(met: Bench, incarnation: int) -> None:
    met.hear(alive(incarnation, meta=b"other"))
    assert met.node().meta == b"m"
    assert met.events() == []
    assert met.broadcasts() == []


def test_newer_meta_is_an_update(met: Bench) -> None:
    met.hear(alive(2, meta=b"new"))
    assert met.membership.take_events() == [NodeUpdated(met.node(), meta_changed=True)]
    assert met.broadcasts() == [alive(2, meta=b"new")]


@pytest.mark.parametrize("message", [suspect(5, "stranger"), dead(5, "stranger"), left(5, "stranger")])
def test_accusations_of_strangers_are_ignored(bench: Bench, message: PacketMessage) -> None:
    bench.hear(message)
    assert "stranger" not in bench.membership.nodes
    assert bench.broadcasts() == []


def test_a_suspicion_is_passed_on_and_becomes_a_verdict_in_time(met: Bench) -> None:
    met.hear(suspect(), now=10.0)
    assert met.events() == [NodeSuspected]
    assert met.broadcasts() == [suspect()]
    assert met.membership.deadline == 14.0  # two members: nobody to confirm, the minimum of 4 s
    met.membership.expire(13.9)
    assert met.node().state is NodeState.SUSPECT
    met.membership.expire(14.0)
    assert met.node().state is NodeState.DEAD
    assert met.events() == [NodeGone]
    assert met.broadcasts() == [dead(1, "peer", "me")]
    assert met.membership.deadline == float("inf")


def test_only_news_confirm_a_suspicion_and_are_passed_on(met: Bench) -> None:
    for number in range(5):
        met.hear(alive(1, f"n{number}"))
    met.hear(suspect(accuser="a"), now=10.0)
    met.broadcasts()
    deadlines = []
    for accuser in ("a", "b", "b", "c", "d"):
        met.hear(suspect(accuser=accuser), now=11.0)
        deadlines.append(round(met.membership.deadline, 3))
    assert deadlines == [34.0, 21.381, 21.381, 14.0, 14.0]
    assert met.broadcasts() == [suspect(accuser="c")]  # the later one overtook b's


def test_a_suspicion_at_a_higher_incarnation_starts_anew(met: Bench) -> None:
    met.hear(suspect(1), now=10.0)
    met.hear(suspect(2), now=13.0)
    assert met.node().incarnation == 2
    assert met.broadcasts() == [suspect(2)]
    met.membership.expire(16.9)
    assert met.node().state is NodeState.SUSPECT
    met.membership.expire(17.0)
    assert met.node().state is NodeState.DEAD


def test_alive_with_a_higher_incarnation_ends_a_suspicion(met: Bench) -> None:
    met.hear(suspect())
    met.hear(alive(1))
    assert met.node().state is NodeState.SUSPECT
    met.hear(alive(2))
    assert met.node().state is NodeState.ALIVE
    assert met.membership.deadline == float("inf")


def test_dead_says_who_left_and_who_failed(bench: Bench) -> None:
    bench.hear(alive(1, "a"))
    bench.hear(alive(1, "b"))
    bench.hear(left(1, "a"))
    bench.hear(dead(1, "b"))
    assert (bench.node("a").state, bench.node("b").state) == (NodeState.LEFT, NodeState.DEAD)


def test_a_second_verdict_is_not_passed_on(met: Bench) -> None:
    met.hear(dead())
    met.broadcasts()
    met.hear(dead(accuser="third"))
    met.hear(dead(3, accuser="third"))
    assert met.broadcasts() == []
    assert met.node().incarnation == 3


def test_a_goodbye_after_a_death_verdict_is_reported_and_not_passed_on(met: Bench) -> None:
    met.hear(dead())
    met.membership.take_events()
    met.broadcasts()
    met.hear(left())
    assert met.node().state is NodeState.LEFT
    assert met.events() == [NodeGone]
    met.hear(left())
    met.hear(dead())
    assert met.events() == []
    assert met.broadcasts() == []


def test_a_dead_member_that_speaks_up_has_joined_again(met: Bench) -> None:
    met.hear(dead(4))
    met.events()
    met.hear(alive(4))
    assert met.events() == []
    met.hear(alive(5))
    assert met.events() == [NodeJoined]


@pytest.mark.parametrize(
    ("accusation", "incarnation"), [(suspect(1, "me"), 2), (dead(40, "me"), 41), (left(3, "me"), 4), (alive(1, "me", meta=b"?"), 2)]
)
def test_what_is_wrong_about_us_is_refuted_with_a_higher_incarnation(bench: Bench, accusation: PacketMessage, incarnation: int) -> None:
    bench.hear(accusation)
    assert bench.broadcasts() == [alive(incarnation, "me", meta=b"meta")]
    assert bench.events() == [Refuted, NodeUpdated]
    assert bench.awareness.score == 1


@pytest.mark.parametrize("message", [alive(1, "me", meta=b"meta"), suspect(0, "me"), dead(0, "me")])
def test_what_is_right_or_old_about_us_is_not_refuted(bench: Bench, message: PacketMessage) -> None:
    bench.hear(message)
    assert bench.broadcasts() == []


def test_while_leaving_nothing_is_refuted(bench: Bench) -> None:
    bench.membership.leave(5.0)
    assert bench.broadcasts() == [left(1, "me")]
    bench.hear(suspect(9, "me"))
    bench.hear(alive(9, "me"))
    assert bench.broadcasts() == []
    assert bench.membership.local.state is NodeState.LEFT


@pytest.mark.parametrize("forged", [alive(2**32 - 1), suspect(2**32 - 1), dead(2**32 - 1), dead(2**32 - 1, "me")])
def test_the_highest_incarnation_is_refused_for_it_could_not_be_refuted(met: Bench, forged: PacketMessage) -> None:
    with pytest.raises(WireError) as refusal:
        met.hear(forged)
    assert refusal.value.reason is Reason.BAD_INCARNATION
    met.hear(dead(2**32 - 2, "me"))
    assert met.membership.local.incarnation == 2**32 - 1


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (alive(versions=b"\x01\x05\x02"), Reason.BAD_VERSIONS),
        (alive(versions=b""), Reason.BAD_VERSIONS),
        (alive(versions=bytes(7)), Reason.BAD_VERSIONS),
        (alive(versions=bytes((0, 5, 2, 2, 5, 4))), Reason.BAD_VERSIONS),
        (alive(versions=bytes((5, 1, 2, 2, 5, 4))), Reason.BAD_VERSIONS),
        (alive(node=""), Reason.BAD_NAME),
        (alive(address=Address(b"\x01\x02", 1)), Reason.BAD_ADDRESS),
    ],
)
def test_alive_that_could_harm_others_is_refused_and_not_passed_on(bench: Bench, message: Alive, reason: Reason) -> None:
    with pytest.raises(WireError) as refusal:
        bench.hear(message)
    assert refusal.value.reason is reason
    assert bench.broadcasts() == []
    assert len(bench.membership.nodes) == 1


def test_a_member_may_have_more_tags_than_we_send_but_not_any_amount(bench: Bench) -> None:
    bench.hear(alive(1, "large", meta=bytes(limits.FOREIGN_META_BYTES)))
    with pytest.raises(WireError) as refusal:
        bench.hear(alive(1, "larger", meta=bytes(limits.FOREIGN_META_BYTES + 1)))
    assert refusal.value.reason is Reason.OVERSIZED


def test_made_up_names_cost_bounded_memory(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEMBERS", 50)
    for number in range(49):
        bench.hear(alive(1, f"n{number}"))
    with pytest.raises(WireError) as refusal:
        bench.hear(alive(1, "one too many"))
    assert refusal.value.reason is Reason.QUEUE_FULL
    bench.hear(alive(2, "n7"))
    assert bench.node("n7").incarnation == 2


def test_who_is_not_admitted_is_neither_believed_nor_passed_on() -> None:
    queue = BroadcastQueue(4)
    local = Node("me", HOME, b"meta", OURS, 1, NodeState.ALIVE, 0.0)
    membership = Membership(
        local,
        timing=LAN,
        awareness=Awareness(8),
        broadcasts=queue,
        rng=random.Random(1),
        admit=lambda name, address, meta: "not here" if meta == b"foreign" else "",
    )
    queue.clear()
    with pytest.raises(WireError) as refusal:
        membership.on_alive(alive(meta=b"foreign"), 1.0)
    assert refusal.value.reason is Reason.NOT_ADMITTED
    row = Row(name="x", ip=HOME.ip, port=1, meta=b"foreign", incarnation=1, state=RowState.ALIVE, versions=bytes(OURS))
    with pytest.raises(WireError):
        membership.check_admitted(row)
    membership.check_versions([row])
    assert len(membership.nodes) == 1
    assert len(queue) == 0


class TestAddresses:
    def test_a_living_members_name_is_not_given_to_another_address(self, met: Bench) -> None:
        met.hear(alive(9, address=ELSEWHERE))
        assert met.membership.take_events() == [NameClaimed(met.node(), ELSEWHERE)]
        assert met.node().address == HOME
        assert met.broadcasts() == []

    def test_our_own_name_claimed_elsewhere_is_reported(self, bench: Bench) -> None:
        bench.hear(alive(9, "me", address=ELSEWHERE))
        assert bench.events() == [NameClaimed]
        assert bench.membership.local.incarnation == 1

    def test_who_left_may_come_back_from_anywhere_at_once_even_with_the_same_incarnation(self, met: Bench) -> None:
        met.hear(left(1))
        met.hear(alive(1, address=ELSEWHERE))
        assert (met.node().address, met.node().state) == (ELSEWHERE, NodeState.ALIVE)

    def test_who_failed_may_come_back_from_elsewhere_after_the_reclaim_time(self, met: Bench) -> None:
        met.hear(dead(1), now=100.0)
        met.hear(alive(2, address=ELSEWHERE), now=129.0)
        assert met.node().address == HOME
        met.hear(alive(1, address=ELSEWHERE), now=131.0)
        assert met.node().address == ELSEWHERE

    def test_the_same_node_may_come_back_from_elsewhere_as_soon_as_it_is_known_to_have_failed(self) -> None:
        bench = Bench(same_node=same_id)
        own, others = encode_tags({"id": "1"}), encode_tags({"id": "2"})
        bench.hear(alive(1, meta=own))
        bench.hear(alive(2, meta=own, address=ELSEWHERE))
        assert bench.node().address == HOME, "it lives: there are two of it"
        bench.hear(dead(1), now=100.0)
        bench.hear(alive(2, meta=others, address=ELSEWHERE), now=101.0)
        bench.hear(alive(1, meta=own, address=ELSEWHERE), now=101.0)
        assert bench.node().address == HOME, "another node, or old news"
        bench.hear(alive(2, meta=own, address=ELSEWHERE), now=101.0)
        assert (bench.node().address, bench.node().state) == (ELSEWHERE, NodeState.ALIVE)

    def test_the_same_ipv4_address_in_sixteen_bytes_is_another(self, met: Bench) -> None:
        met.hear(alive(2, address=Address(bytes(10) + b"\xff\xff" + HOME.ip, HOME.port)))
        assert met.node().incarnation == 1

    def test_port_zero_means_our_own_port(self, bench: Bench) -> None:
        bench.hear(alive(address=Address(HOME.ip, 0)))
        assert bench.node().address.port == HOME.port


class TestPushPull:
    def row(self, state: RowState, incarnation: int = 1, name: str = "peer") -> Row:
        return Row(name=name, ip=HOME.ip, port=HOME.port, meta=b"m", incarnation=incarnation, state=state, versions=bytes(OURS))

    @pytest.mark.parametrize("state", [RowState.DEAD, RowState.SUSPECT])
    def test_dead_there_is_only_suspect_here(self, met: Bench, state: RowState) -> None:
        met.membership.on_row(self.row(state), 10.0)
        assert met.node().state is NodeState.SUSPECT
        assert met.broadcasts() == [suspect(1, "peer", "me")]

    def test_left_there_is_left_here(self, met: Bench) -> None:
        met.membership.on_row(self.row(RowState.LEFT), 10.0)
        assert met.node().state is NodeState.LEFT

    def test_a_row_that_says_we_left_is_refuted(self, bench: Bench) -> None:
        bench.membership.on_row(self.row(RowState.LEFT, 1, "me"), 10.0)
        assert bench.membership.local.incarnation == 2

    def test_our_rows_say_what_we_know(self, met: Bench) -> None:
        met.hear(dead(3))
        assert [decode_row(row) for row in met.membership.rows()][1:] == [self.row(RowState.DEAD, 3)]

    def test_a_pool_that_speaks_another_version_is_refused_as_a_whole(self, met: Bench) -> None:
        foreign = Row(name="x", ip=HOME.ip, port=1, meta=b"", incarnation=1, state=RowState.ALIVE, versions=bytes((1, 5, 2, 2, 3, 3)))
        with pytest.raises(WireError) as refusal:
            met.membership.check_versions([foreign])
        assert refusal.value.reason is Reason.BAD_VERSIONS
        met.membership.check_versions([self.row(RowState.ALIVE, 1, "x")])


def test_who_is_long_dead_is_forgotten_when_a_round_begins(met: Bench) -> None:
    met.hear(dead(), now=100.0)
    met.membership.begin_round(130.0)
    assert "peer" in met.membership.nodes
    met.membership.begin_round(130.1)
    assert "peer" not in met.membership.nodes
    assert list(met.membership.ring) == ["me"]


# Properties

accusations = st.sampled_from(["a", "b", "peer"])
incarnations = st.integers(1, 4)
verdicts = st.one_of(st.builds(alive, incarnations), st.builds(dead, incarnations, accuser=accusations))
anything = st.one_of(verdicts, st.builds(suspect, incarnations, accuser=accusations))


def after(messages: Sequence[PacketMessage]) -> Bench:
    bench = Bench()
    bench.hear(alive(1))
    for message in messages:
        bench.hear(message)
    return bench


def state(bench: Bench) -> tuple[int, NodeState]:
    return bench.node().incarnation, bench.node().state


@given(st.lists(verdicts, max_size=7).flatmap(lambda messages: st.tuples(st.just(messages), st.permutations(messages))))
def test_the_order_in_which_alive_dead_and_left_arrive_does_not_matter(orders: tuple[list[PacketMessage], list[PacketMessage]]) -> None:
    one, other = orders
    assert state(after(one)) == state(after(other))


@given(
    st.lists(st.one_of(st.builds(alive, incarnations), st.builds(suspect, incarnations, accuser=accusations)), max_size=7).flatmap(
        lambda messages: st.tuples(st.just(messages), st.permutations(messages))
    )
)
def test_the_order_in_which_alive_and_suspect_arrive_does_not_matter(orders: tuple[list[PacketMessage], list[PacketMessage]]) -> None:
    one, other = orders
    assert state(after(one)) == state(after(other))


@given(st.lists(anything, max_size=10), anything)
def test_a_message_heard_twice_is_as_good_as_once(messages: list[PacketMessage], message: PacketMessage) -> None:
    bench = after([*messages, message])
    before = state(bench)
    bench.hear(message)
    assert state(bench) == before


@given(st.lists(anything, max_size=12))
def test_a_stale_message_never_undoes_a_newer_one(messages: list[PacketMessage]) -> None:
    """Incarnation and, within it, the state only ever rise; below that order nothing has any effect."""
    bench = after([])
    for message in messages:
        before = state(bench)
        bench.hear(message)
        assert state(bench) >= before


@given(st.lists(st.one_of(st.builds(suspect, incarnations, st.just("me")), st.builds(dead, incarnations, st.just("me"))), max_size=8))
def test_we_never_believe_that_we_are_dead(messages: list[PacketMessage]) -> None:
    bench = Bench()
    for message in messages:
        bench.hear(message)
        assert bench.membership.local.state is NodeState.ALIVE
        assert isinstance(message, Suspect | Dead)
        assert bench.membership.local.incarnation > message.incarnation or bench.membership.local.incarnation > 1


@given(st.lists(anything, max_size=12), st.integers(0, 3))
def test_choosing_members_gives_distinct_ones_that_were_accepted(messages: list[PacketMessage], count: int) -> None:
    bench = after(messages)
    accept: Callable[[Node], bool] = lambda node: node.state is NodeState.ALIVE  # noqa: E731
    chosen = bench.membership.choose(count, accept)
    assert len({node.name for node in chosen}) == len(chosen) <= count
    assert all(map(accept, chosen))
