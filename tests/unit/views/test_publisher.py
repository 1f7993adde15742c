"""A topic as it is published: the ring, snapshots in parts, and what one stream sends in which order."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rostra.errors import Busy, RostraError, Unsupported
from rostra.model.catalog import Node
from rostra.model.consistency import Contact
from rostra.model.topics import NODES, Entry, Topic, TopicKind
from rostra.views.publisher import MAX_DELTA_BYTES, MAX_PART_BYTES, MAX_PART_ENTRIES, Publisher
from rostra.views.session import MAX_ENTRY_BYTES, SendContact, SendDelta, SendEnded, SendPart, SendReached, SendResumed, WatchSession


def entry(name: str, index: int, *, gone: bool = False) -> Entry:
    return Entry(name, index, None if gone else Node(name, f"10.0.0.{index}"))


def encode(each: Entry) -> bytes:
    return f"{each.key}@{each.index if each.value is not None else 'gone'};".encode()


def publisher(*names: str, ring_deltas: int = 4) -> Publisher:
    return Publisher(NODES, 1, [entry(name, 1) for name in names], encode, ring_deltas=ring_deltas)


class Watcher:
    """The other end of a session: what it was sent, and a view of it."""

    def __init__(self) -> None:
        self.wakes = 0
        self.session = WatchSession(self.wake)
        self.view: dict[str, str] = {}
        self.index = 0
        self.live = self.in_snapshot = False
        self.log: list[str] = []
        self.reached: list[int] = []

    def wake(self) -> None:
        self.wakes += 1

    def turn(self) -> bool:
        sends = self.session.turn()
        for send in sends:
            match send:
                case SendPart():
                    self.view = self.view if self.in_snapshot else {}
                    self.in_snapshot, self.live = send.part.more, not send.part.more
                    self._merge(send.part.entries, send.part.index)
                    self.log.append("part")
                case SendDelta():
                    assert send.delta.index > self.index
                    self._merge(send.delta.entries, send.delta.index)
                    self.log.append("delta")
                case SendResumed():
                    self.live = True
                    self.log.append("resumed")
                case SendReached():
                    if self.live:  # a barrier covers the topics that were live before it
                        self.reached.append(send.index)
                    self.log.append("reached")
                case SendEnded() | SendContact():
                    self.log.append("other")
        return bool(sends)

    def drain(self) -> None:
        while self.turn():
            pass

    def _merge(self, entries: bytes, index: int) -> None:
        self.index = index
        for each in entries.decode().split(";")[:-1]:
            key, _, at = each.partition("@")
            if at == "gone":
                self.view.pop(key, None)
            else:
                self.view[key] = at


def test_deltas_after_an_index_come_from_the_ring_until_it_has_turned() -> None:
    topic = publisher("a", ring_deltas=2)
    for index in (3, 5, 9):
        topic.publish(index, [entry("a", index)])
    assert [delta.index for delta in topic.after(4) or ()] == [5, 9]
    assert [delta.index for delta in topic.after(3) or ()] == [5, 9]
    assert topic.after(2) is None
    assert list(topic.after(9) or ()) == list(topic.after(100) or ()) == []


def test_a_delta_too_large_for_a_message_makes_everyone_take_a_snapshot() -> None:
    topic = Publisher(NODES, 1, [], lambda each: b"x" * (MAX_DELTA_BYTES + 1))
    topic.publish(2, [entry("a", 2)])
    assert topic.after(1) is None


def test_a_part_is_of_bounded_size_unless_one_entry_alone_is_larger() -> None:
    sizes = {"a": MAX_PART_BYTES - 1, "b": 2, "c": MAX_PART_BYTES * 3, "d": 1, "e": 1}
    snapshot = Publisher(NODES, 1, [entry(name, 1) for name in sizes], lambda each: bytes(sizes[each.key])).snapshot()
    parts = [snapshot.next_part() for _ in range(4)]
    assert [(len(part.entries), part.more) for part in parts] == [
        (MAX_PART_BYTES - 1, True),
        (2, True),
        (MAX_PART_BYTES * 3, True),
        (2, False),
    ]


def test_an_entry_that_no_message_can_hold_ends_its_topic_and_no_other_and_is_told_again_once_it_is_smaller() -> None:
    """It may have grown by writes each of which was small."""
    size = MAX_ENTRY_BYTES
    large = Publisher(Topic(TopicKind.SERVICE, "web"), 1, [entry("a", 1)], lambda _: bytes(size))
    small, watcher = publisher("b"), Watcher()
    watcher.session.subscribe(1, large)
    watcher.session.subscribe(2, small)
    watcher.drain()
    assert watcher.log == ["part", "part"]
    size += 1
    large.publish(2, [entry("a", 2)])
    sends = [*watcher.session.turn(), *watcher.session.turn()]
    assert [type(send) for send in sends] == [SendEnded]
    assert isinstance(sends[0], SendEnded)
    assert isinstance(sends[0].error, Unsupported)
    small.publish(2, [entry("b", 2)])
    watcher.session.answer_barrier(1, 2)
    assert [type(send) for send in watcher.session.turn()] == [SendDelta, SendReached]
    size -= 1
    large.publish(3, [entry("a", 3)])
    watcher.session.subscribe(3, large)
    assert [type(send) for send in watcher.session.turn()] == [SendPart]


def test_an_entry_is_encoded_once_whoever_watches() -> None:
    encoded: list[str] = []

    def counting(each: Entry) -> bytes:
        encoded.append(each.key)
        return encode(each)

    topic = Publisher(NODES, 1, [entry("a", 1), entry("b", 1)], counting)
    watchers = [Watcher() for _ in range(3)]
    for watcher in watchers:
        watcher.session.subscribe(1, topic)
        watcher.drain()
    topic.publish(2, [entry("b", 2)])
    for watcher in watchers:
        watcher.drain()
        assert watcher.view == {"a": "1", "b": "2"}
    assert encoded == ["a", "b", "b"]


def test_a_snapshot_is_of_one_index_whatever_changes_while_it_is_sent() -> None:
    names = [f"n{number:04}" for number in range(MAX_PART_ENTRIES * 3)]
    topic, watcher = publisher(*names), Watcher()
    watcher.session.subscribe(1, topic)
    watcher.turn()
    topic.publish(2, [entry(names[-1], 2), entry(names[0], 2, gone=True)])
    watcher.turn()
    watcher.turn()
    assert watcher.live
    assert watcher.view == dict.fromkeys(names, "1")
    watcher.drain()
    assert watcher.view == {name: "2" if name == names[-1] else "1" for name in names[1:]}


def test_a_large_snapshot_holds_up_neither_deltas_nor_barriers() -> None:
    small, large, watcher = publisher("a"), publisher(*map(str, range(1000))), Watcher()
    watcher.session.subscribe(1, small)
    watcher.drain()
    watcher.session.subscribe(2, large)
    watcher.turn()
    watcher.log.clear()
    small.publish(2, [entry("a", 2)])
    watcher.session.answer_barrier(1, 2)
    watcher.turn()
    assert watcher.log == ["delta", "reached", "part"]


def test_a_barrier_waits_for_a_live_topic_that_fell_behind_the_ring() -> None:
    topic, watcher = publisher(*map(str, range(300)), ring_deltas=1), Watcher()
    watcher.session.subscribe(1, topic)
    watcher.drain()
    for index in (2, 3, 4):
        topic.publish(index, [entry("x", index)])
    watcher.log.clear()
    watcher.session.answer_barrier(1, 4)
    watcher.drain()
    assert watcher.log == ["part", "part", "part", "reached"]
    assert watcher.view["x"] == "4"


def test_progress_is_said_once_behind_all_deltas_up_to_it_and_not_while_a_live_topic_catches_up() -> None:
    topic, watcher = publisher(*map(str, range(300)), ring_deltas=1), Watcher()
    watcher.session.subscribe(1, topic)
    watcher.drain()
    watcher.log.clear()
    topic.publish(2, [entry("x", 2)])
    watcher.session.tell_progress(2)
    watcher.session.tell_progress(1)
    assert not watcher.session.is_quiet, "who asks beside the stream is not told more than the stream has said"
    watcher.drain()
    assert watcher.session.is_quiet
    assert (watcher.log, watcher.reached) == (["delta", "reached"], [2])
    watcher.log.clear()
    for index in (3, 4, 5):
        topic.publish(index, [entry("x", index)])
    watcher.session.tell_progress(5)
    watcher.drain()
    assert watcher.log == ["part", "part", "part", "reached"]
    assert watcher.view["x"] == "5"


def test_a_watcher_resumes_where_it_was_or_takes_a_snapshot() -> None:
    topic = publisher("a", ring_deltas=2)
    topic.publish(2, [entry("b", 2)])
    near, far = Watcher(), Watcher()
    near.session.subscribe(1, topic, 1)
    near.drain()
    assert near.log == ["resumed", "delta"]
    far.session.subscribe(1, topic, 0)
    far.drain()
    assert far.log == ["part"]


def test_a_watcher_ahead_of_this_catalog_is_sent_only_what_is_newer() -> None:
    topic, watcher = publisher("a"), Watcher()
    watcher.session.subscribe(1, topic, 5)
    watcher.index = 5
    for index in (4, 5, 6):
        topic.publish(index, [entry("a", index)])
    watcher.drain()
    assert watcher.log == ["resumed", "delta"]
    assert watcher.index == 6


def test_only_the_newest_contact_is_sent() -> None:
    watcher = Watcher()
    for _ in range(3):
        watcher.session.tell_contact(Contact())
    assert watcher.session.turn() == [SendContact(Contact())]


def test_a_stream_has_so_many_topics_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rostra.views.session.MAX_SUBSCRIPTIONS", 1)
    watcher, topic = Watcher(), publisher()
    watcher.session.subscribe(1, topic)
    watcher.session.subscribe(2, topic)
    ended = [send for send in watcher.session.turn() if isinstance(send, SendEnded)]
    assert [send.subscription for send in ended] == [2]
    assert isinstance(ended[0].error, Busy)
    assert isinstance(ended[0].error, RostraError)


def test_an_ended_subscription_is_sent_nothing_and_listens_no_more() -> None:
    topic, watcher = publisher("a"), Watcher()
    watcher.session.subscribe(1, topic)
    watcher.session.unsubscribe(1)
    topic.publish(2, [entry("a", 2)])
    watcher.drain()
    assert not watcher.log
    assert not topic.watched


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abcdef")),
        st.tuples(st.just("drop"), st.sampled_from("abcdef")),
        st.tuples(st.sampled_from(["turn", "barrier", "drain", "reconnect", "reset"]), st.just("")),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 4), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_a_topic_never_lies_and_a_barrier_never_comes_early(steps: Sequence[tuple[str, str]], ring: int, rng: random.Random) -> None:
    """However writes, turns and reconnections interleave."""
    topic, watcher = publisher("a", ring_deltas=ring), Watcher()
    truth, history, index = {"a": "1"}, {1: {"a": "1"}}, 1
    watcher.session.subscribe(1, topic)
    for kind, name in steps:
        if kind in ("put", "drop"):
            index += rng.randint(1, 3)
            truth = {key: at for key, at in truth.items() if key != name} | ({name: str(index)} if kind == "put" else {})
            history[index] = truth
            topic.publish(index, [entry(name, index, gone=kind == "drop")])
        elif kind == "barrier":
            watcher.session.answer_barrier(1, index)
        elif kind == "reset":
            topic.reset(index, [Entry(key, int(at), Node(key, "x")) for key, at in truth.items()])
        elif kind == "reconnect":
            view, at, live = watcher.view, watcher.index, watcher.live
            watcher.session.close()
            watcher = Watcher()
            watcher.view, watcher.index = (dict(view), at) if live else ({}, 0)
            watcher.session.subscribe(1, topic, at if live else None)
        else:
            watcher.turn() if kind == "turn" else watcher.drain()
        if watcher.live:
            assert watcher.view == history[watcher.index]
            for reached in watcher.reached:
                assert watcher.index >= max(at for at in history if at <= reached)
            watcher.reached.clear()
    watcher.drain()
    assert watcher.view == truth
