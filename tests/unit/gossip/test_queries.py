"""Queries and user events of one member (gossip-wire section 12.6 and 12.7)."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from rostra.errors import BadRequest, NotFound
from rostra.gossip.address import Address
from rostra.gossip.answering import KeysChanged, QueryReceived
from rostra.gossip.awareness import Awareness
from rostra.gossip.broadcasts import BroadcastQueue
from rostra.gossip.dissemination import SerfQueues
from rostra.gossip.events import RING_SLOTS, UserEvents
from rostra.gossip.keyring import Keyring, encode_key
from rostra.gossip.membership import Membership, NameClaimed, Node, NodeState
from rostra.gossip.queries import QueryAcked, QueryAnswered, QueryClosed, QueryRequest, default_timeout_s
from rostra.gossip.serf import NameLost, SerfEvent, SerfLayer
from rostra.gossip.timing import LAN
from rostra.gossip.versions import OURS
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.filters import NodeFilter, TagFilter, encode_filters
from rostra.gossip.wire.messages import Alive
from rostra.gossip.wire.serf_messages import (
    ConflictResponse,
    KeyRequest,
    KeyResponse,
    PastEvents,
    Query,
    QueryFlag,
    QueryResponse,
    Relay,
    UserEvent,
    decode_query_payload,
    decode_serf,
    encode_nobody,
    encode_serf,
)
from rostra.gossip.wire.tags import encode_tags

HOME = Address(bytes((10, 0, 0, 1)), 7946)
ASKER = Address(bytes((10, 0, 0, 2)), 7946)
THIRD = Address(bytes((10, 0, 0, 3)), 7946)
KEY = bytes(range(16))


class Bench(SerfLayer):
    """``me`` with role web, and the members ``asker`` and ``third``."""

    def __init__(self, keyring: Keyring | None = None, *, votes: bool = False) -> None:
        local = Node("me", HOME, encode_tags({"role": "web"}), OURS, 1, NodeState.ALIVE, 0.0)
        rng = random.Random(1)
        self.membership = Membership(local, timing=LAN, awareness=Awareness(8), broadcasts=BroadcastQueue(4), rng=rng)
        self.queues = SerfQueues(LAN)
        super().__init__(self.membership, self.queues, keyring, LAN, rng, votes_on_names=votes)
        for name, where in (("asker", ASKER), ("third", THIRD)):
            self.membership.on_alive(
                Alive(incarnation=1, node=name, ip=where.ip, port=where.port, meta=b"\xff\x80", versions=bytes(OURS)), 0.0
            )
        for event in self.membership.take_events():
            self.on_node_event(event, 0.0)
        self.take_events()

    def hear(self, message: Query | QueryResponse | Relay | UserEvent, now: float = 10.0) -> list[SerfEvent]:
        self.on_message(encode_serf(message), now)
        return self.take_events()

    def sent(self) -> list[tuple[Address, QueryResponse | Relay]]:
        found: list[tuple[Address, QueryResponse | Relay]] = []
        for address, payload in self.take_direct():
            message = decode_serf(payload)
            assert isinstance(message, QueryResponse | Relay)
            found.append((address, message))
        return found


def query(name: str = "load", **changes: object) -> Query:
    values: dict[str, object] = {
        "ltime": 5,
        "query_id": 99,
        "ip": ASKER.ip,
        "port": ASKER.port,
        "source_node": "asker",
        "filters": (),
        "flags": 0,
        "relay_factor": 0,
        "timeout_ns": 2_000_000_000,
        "name": name,
        "payload": b"please",
    }
    return Query(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def bench() -> Bench:
    return Bench()


class TestAnswering:
    def test_a_query_is_delivered_and_passed_on_once(self, bench: Bench) -> None:
        assert bench.hear(query()) == [QueryReceived((5, 99), "load", b"please", "asker", 12.0)]
        assert len(bench.queues.queries) == 1
        assert bench.hear(query()) == []
        assert len(bench.queues.queries) == 1
        assert bench.sent() == []

    def test_an_answer_goes_to_the_asker_once_and_in_time(self, bench: Bench) -> None:
        bench.hear(query())
        bench.respond((5, 99), b"0.4", 11.0)
        assert bench.sent() == [(ASKER, QueryResponse(ltime=5, query_id=99, responder="me", flags=0, payload=b"0.4"))]
        with pytest.raises(NotFound):
            bench.respond((5, 99), b"0.5", 11.0)
        bench.hear(query(query_id=100))
        with pytest.raises(NotFound):
            bench.respond((5, 100), b"late", 12.0)

    def test_an_answer_beyond_the_limit_is_the_applications_fault(self, bench: Bench) -> None:
        bench.hear(query())
        with pytest.raises(BadRequest):
            bench.respond((5, 99), bytes(1024), 11.0)
        bench.respond((5, 99), bytes(900), 11.0)

    def test_an_ack_is_sent_at_once_where_it_is_wanted(self, bench: Bench) -> None:
        bench.hear(query(flags=QueryFlag.ACK))
        assert bench.sent() == [(ASKER, QueryResponse(ltime=5, query_id=99, responder="me", flags=1))]

    def test_what_is_so_old_that_nobody_can_tell_whether_it_was_answered_is_refused(self, bench: Bench) -> None:
        bench.hear(query(ltime=1000))
        with pytest.raises(WireError, match=Reason.STALE):
            bench.hear(query(ltime=1000 - RING_SLOTS))

    def test_queries_of_a_former_run_are_not_answered_again(self, bench: Bench) -> None:
        bench.restore_clocks(1, 1, 5)
        with pytest.raises(WireError, match=Reason.STALE):
            bench.hear(query(ltime=4))
        assert bench.hear(query(ltime=5)) != []

    def test_a_query_may_ask_not_to_be_passed_on(self, bench: Bench) -> None:
        bench.hear(query(flags=QueryFlag.NO_BROADCAST))
        assert len(bench.queues.queries) == 0

    @pytest.mark.parametrize(
        ("filters", "is_meant"),
        [
            ([NodeFilter(("me", "x"))], True),
            ([NodeFilter(("x",))], False),
            ([TagFilter("role", "^w.b$")], True),
            ([TagFilter("role", "^eb")], False),
            ([TagFilter("none", "^$")], True),
            ([NodeFilter(("me",)), TagFilter("role", "db")], False),
            ([TagFilter("role", "(")], False),
            ([TagFilter("role", "(?P<x>w)")], False),
        ],
    )
    def test_filters_all_have_to_match(self, bench: Bench, filters: list[NodeFilter | TagFilter], is_meant: bool) -> None:
        events = bench.hear(query(filters=encode_filters(filters), flags=QueryFlag.ACK))
        assert bool(events) is is_meant
        assert bool(bench.sent()) is is_meant
        assert len(bench.queues.queries) == 1  # passed on either way

    @pytest.mark.parametrize("data", [b"", b"\x07\x80", b"\x00\xc1", b"\x01\x90"])
    def test_an_unknown_filter_means_nobody(self, bench: Bench, data: bytes) -> None:
        assert bench.hear(query(filters=(data,))) == []

    def test_answers_go_through_relays_too(self, bench: Bench) -> None:
        bench.hear(query(flags=QueryFlag.ACK, relay_factor=2))
        direct, *relayed = bench.sent()
        assert direct[0] == ASKER
        assert {address for address, _ in relayed} == {ASKER, THIRD}
        for _, message in relayed:
            assert isinstance(message, Relay)
            assert (message.ip, message.port, message.node) == (ASKER.ip, ASKER.port, "asker")
            assert decode_serf(message.message) == direct[1]

    def test_no_relays_where_there_are_too_few_members(self, bench: Bench) -> None:
        bench.hear(query(flags=QueryFlag.ACK, relay_factor=3))
        assert len(bench.sent()) == 1

    def test_we_relay_to_members_only(self, bench: Bench) -> None:
        message = encode_serf(QueryResponse(ltime=1, query_id=1, responder="third", flags=0))
        bench.hear(Relay(ip=ASKER.ip, port=ASKER.port, node="asker", message=message))
        assert bench.take_direct() == [(ASKER, message)]
        with pytest.raises(WireError) as refusal:
            bench.hear(Relay(ip=bytes((8, 8, 8, 8)), port=53, node="asker", message=message))
        assert refusal.value.reason is Reason.BAD_ADDRESS

    def test_unanswered_queries_are_bounded(self, bench: Bench) -> None:
        for number in range(4 * 256):
            bench.hear(query(ltime=5 + number // 256, query_id=number))
        with pytest.raises(WireError) as refusal:
            bench.hear(query(ltime=20, query_id=5000))
        assert refusal.value.reason is Reason.QUEUE_FULL
        bench.hear(query(ltime=21, query_id=5001), now=13.0)


class TestAsking:
    def test_each_member_counts_once_and_the_end_comes(self, bench: Bench) -> None:
        key = bench.ask(QueryRequest("load", wants_acks=True, timeout_s=2.0), 10.0)
        assert [type(event) for event in bench.take_events()] == [QueryReceived]
        ack = QueryResponse(ltime=key[0], query_id=key[1], responder="third", flags=1)
        answer = QueryResponse(ltime=key[0], query_id=key[1], responder="third", flags=0, payload=b"x")
        assert bench.hear(ack) == [QueryAcked(key, "third")]
        assert bench.hear(answer) == [QueryAnswered(key, "third", b"x")]
        assert bench.hear(ack) == bench.hear(answer) == []
        assert bench.deadline == 12.0
        bench.tick(12.0)
        assert bench.take_events() == [QueryClosed(key)]
        with pytest.raises(WireError, match=Reason.STALE):
            bench.hear(QueryResponse(ltime=key[0], query_id=key[1], responder="asker", flags=0))

    def test_answers_from_nobody_known_are_refused(self, bench: Bench) -> None:
        key = bench.ask(QueryRequest("load"), 10.0)
        with pytest.raises(WireError):
            bench.hear(QueryResponse(ltime=key[0], query_id=key[1], responder="stranger", flags=0))

    def test_a_query_beyond_the_limit_is_refused_and_leaves_nothing_behind(self, bench: Bench) -> None:
        with pytest.raises(BadRequest):
            bench.ask(QueryRequest("load", bytes(1024)), 10.0)
        assert bench.deadline == float("inf")

    def test_the_default_time_grows_with_the_pool(self) -> None:
        assert [default_timeout_s(0.2, 16, members) for members in (1, 9, 10, 100)] == pytest.approx([3.2, 3.2, 6.4, 9.6])


class TestKeys:
    def request(self, bench: Bench, name: str, key: bytes = b"") -> KeyResponse:
        bench.hear(query(f"_serf_{name}", payload=encode_serf(KeyRequest(key=key)), query_id=random.getrandbits(31)))
        ((_, response),) = bench.sent()
        assert isinstance(response, QueryResponse)
        answer = decode_query_payload(response.payload)
        assert isinstance(answer, KeyResponse)
        return answer

    def test_keys_are_installed_used_removed_and_listed(self) -> None:
        ring = Keyring([KEY])
        bench = Bench(ring)
        new = bytes(32)
        assert self.request(bench, "install-key", new).result
        assert list(ring.keys) == [KEY, new]
        assert self.request(bench, "use-key", new).result
        assert self.request(bench, "remove-key", KEY).result
        assert list(ring.keys) == [new]
        assert self.request(bench, "list-keys") == KeyResponse(result=True, keys=(encode_key(new),), primary_key=encode_key(new))

    def test_every_change_is_told_so_that_it_is_kept(self) -> None:
        bench = Bench(Keyring([KEY]))
        assert bench.hear(query("_serf_install-key", payload=encode_serf(KeyRequest(key=bytes(16))))) == [KeysChanged((KEY, bytes(16)))]

    @pytest.mark.parametrize(("name", "key"), [("use-key", bytes(16)), ("remove-key", KEY), ("install-key", b"short")])
    def test_what_cannot_be_done_is_answered_with_why_not(self, name: str, key: bytes) -> None:
        bench = Bench(Keyring([KEY]))
        answer = self.request(bench, name, key)
        assert not answer.result
        assert answer.message

    def test_without_a_keyring_the_answer_is_no(self, bench: Bench) -> None:
        assert not self.request(bench, "list-keys").result

    def test_a_list_too_long_for_an_answer_is_cut_and_says_so(self) -> None:
        bench = Bench(Keyring([bytes((number,)) * 32 for number in range(40)]))
        answer = self.request(bench, "list-keys")
        assert len(answer.keys) == 16
        assert "16 of 40" in answer.message


class TestNames:
    def test_we_tell_what_we_know_of_a_contested_name(self, bench: Bench) -> None:
        bench.hear(query("_serf_conflict", payload=b"third"))
        ((_, response),) = bench.sent()
        assert isinstance(response, QueryResponse)
        member = decode_query_payload(response.payload)
        assert isinstance(member, ConflictResponse)
        assert (member.name, member.ip, member.port, member.status) == ("third", THIRD.ip, THIRD.port, 1)

    def test_of_a_stranger_we_know_nobody_and_of_ourselves_we_say_nothing(self, bench: Bench) -> None:
        bench.hear(query("_serf_conflict", payload=b"stranger"))
        ((_, response),) = bench.sent()
        assert isinstance(response, QueryResponse)
        assert response.payload == encode_nobody()
        bench.hear(query("_serf_conflict", payload=b"me", query_id=100))
        assert bench.sent() == []

    @pytest.mark.parametrize(
        ("known_at", "stays"), [([HOME, HOME], True), ([HOME, THIRD], False), ([THIRD], False), ([], False), ([HOME, HOME, None], True)]
    )
    def test_the_majority_of_answers_decides_who_keeps_the_name(self, known_at: list[Address | None], stays: bool) -> None:
        bench = Bench(votes=True)
        bench.on_node_event(NameClaimed(bench.membership.local, THIRD), 10.0)
        for responder, where in zip(("asker", "third", "me"), known_at, strict=False):
            payload = encode_nobody()
            if where is not None:
                payload = encode_serf(ConflictResponse(name="me", ip=where.ip, port=where.port, tags={}, status=1))
            bench.hear(QueryResponse(ltime=1, query_id=conflict_id(bench), responder=responder, flags=0, payload=payload))
        bench.tick(100.0)
        lost = [event for event in bench.take_events() if isinstance(event, NameLost)]
        assert bool(lost) is not stays

    def test_without_voting_a_claim_is_only_reported(self, bench: Bench) -> None:
        claim = NameClaimed(bench.membership.local, THIRD)
        bench.on_node_event(claim, 10.0)
        assert bench.take_events() == [claim]
        assert len(bench.queues.queries) == 0


def conflict_id(bench: Bench) -> int:
    ((_, query_id),) = bench.queries._open
    return query_id


class TestUserEvents:
    def event(self, ltime: int, name: str = "deploy") -> UserEvent:
        return UserEvent(ltime=ltime, name=name, payload=b"x")

    def test_an_event_is_delivered_and_passed_on_once(self, bench: Bench) -> None:
        assert bench.hear(self.event(3)) == [self.event(3)]
        assert bench.hear(self.event(3)) == []
        assert len(bench.queues.events) == 1
        assert bench.events.clock.time == 4

    def test_our_own_event_is_delivered_to_ourselves(self, bench: Bench) -> None:
        bench.user_event("deploy", b"x", coalesce=True)
        assert bench.take_events() == [UserEvent(ltime=1, name="deploy", payload=b"x", coalesce=True)]

    def test_name_and_payload_have_512_bytes(self, bench: Bench) -> None:
        bench.user_event("n" * 12, bytes(500), coalesce=False)
        with pytest.raises(BadRequest):
            bench.user_event("n" * 12, bytes(501), coalesce=False)

    def test_events_older_than_the_ring_are_dropped(self) -> None:
        events = UserEvents()
        assert events.receive(self.event(1000))
        with pytest.raises(WireError, match=Reason.STALE):
            events.receive(self.event(1000 + 1 - RING_SLOTS - 1))
        assert events.receive(self.event(1000 + 1 - RING_SLOTS))

    def test_what_happened_before_we_joined_is_dropped(self) -> None:
        events = UserEvents()
        events.ignore_before(10)
        assert not events.receive(self.event(9))
        assert events.receive(self.event(10))

    def test_a_newcomer_is_told_the_ring(self) -> None:
        events, newcomer = UserEvents(), UserEvents()
        for ltime in (1, 1, 2, 400):
            events.receive(self.event(ltime))
        events.receive(self.event(2, "other"))
        refused: Counter[Reason] = Counter()

        def tell() -> list[UserEvent]:
            return [event for past in events.past() for event in newcomer.receive_past(past, refused)]

        told = tell()
        assert [(event.ltime, event.name) for event in told] == [(1, "deploy"), (2, "deploy"), (2, "other"), (400, "deploy")]
        assert tell() == []
        assert not refused

    def test_one_event_too_many_does_not_hide_the_others_of_its_time(self) -> None:
        refused: Counter[Reason] = Counter()
        past = PastEvents(7, tuple((f"event{number}", b"") for number in range(70)))
        assert len(UserEvents().receive_past(past, refused)) == 64
        assert refused == {Reason.QUEUE_FULL: 6}

    def test_many_events_of_one_time_cost_bounded_memory(self) -> None:
        events = UserEvents()
        reasons = []
        for number in range(1000):
            ltime, size = (7, 1) if number < 100 else (number, 60_000)
            try:
                events.receive(UserEvent(ltime=ltime, name=f"event{number}", payload=bytes(size)))
            except WireError as error:
                reasons.append(error.reason)
        assert set(reasons) == {Reason.QUEUE_FULL}
        assert len(reasons) > 100 - 64
        assert sum(len(payload) for past in events.past() for _, payload in past.events) <= 4 * 1024 * 1024
