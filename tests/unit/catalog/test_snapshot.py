"""Equal states have equal bytes; a snapshot is loaded whole or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rostra.catalog.entries import normalized, topic_entry
from rostra.catalog.frames import PIECE_SIZE
from rostra.catalog.snapshot import Saver
from rostra.catalog.state import CatalogState
from rostra.errors import Conflict
from rostra.model.autopilot import AutopilotChange, AutopilotConfiguration
from rostra.model.catalog import CommandGroup, Deregistration, HealthStatus
from rostra.model.topics import ANY_CHECKS, NODES, SERVICES, Topic, TopicKind, Value

from .helpers import ID_1, ID_2, Book, check, content, load, registration, save, service

NAMES = st.sampled_from(["a", "A", "b", "c"])
IDS = st.sampled_from(["", ID_1, ID_2])
SERVICES_ = st.sampled_from(["web", "Web", "db"])
TAGS = st.lists(st.sampled_from(["x", "y"]), max_size=2).map(tuple)
CHECK_IDS = st.sampled_from(["serfHealth", "c1", "C1", "c2"])

CHECKS = st.builds(
    check, CHECK_IDS, st.sampled_from(HealthStatus), service_id=st.sampled_from(["", "web", "db"]), output=st.sampled_from(["", "o"])
)
REGISTRATIONS = st.builds(
    registration,
    NAMES,
    st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    node_id=IDS,
    meta=st.dictionaries(st.sampled_from("kl"), st.sampled_from("12")),
    skip=st.booleans(),
    service=st.none() | st.builds(service, SERVICES_, SERVICES_, tags=TAGS, port=st.sampled_from([0, 80])),
    checks=st.lists(CHECKS, max_size=2).map(tuple),
)
DEREGISTRATIONS = st.builds(Deregistration, NAMES, st.sampled_from(["", "", "web"]), st.sampled_from(["", "", "c1"]))
AUTOPILOT = st.builds(
    AutopilotChange, st.builds(AutopilotConfiguration, min_quorum=st.integers(0, 3)), st.sampled_from([None, None, 0, 1, 2, 3])
)
COMMANDS = (
    AUTOPILOT | REGISTRATIONS | DEREGISTRATIONS | st.builds(CommandGroup, st.lists(REGISTRATIONS | DEREGISTRATIONS, max_size=3).map(tuple))
)
REQUESTS = st.lists(st.tuples(COMMANDS, st.sampled_from([b"", b"", b"1", b"2"])), max_size=25)

TOPICS = [
    NODES,
    SERVICES,
    ANY_CHECKS,
    *(Topic(TopicKind.CHECKS, status.value) for status in HealthStatus),
    *(Topic(TopicKind.NODE, name) for name in "abc"),
    *(Topic(TopicKind.SERVICE, name) for name in ("web", "db")),
]


@given(REQUESTS, st.data())
@settings(max_examples=150, deadline=None)
def test_a_catalog_that_went_through_a_snapshot_ends_with_the_same_bytes(requests: list[Any], data: st.DataObject) -> None:
    straight, restored = Book(), Book()
    place = data.draw(st.integers(0, len(requests)))
    for number, (command, request_id) in enumerate(requests):
        if number == place:
            restored = Book(load(save(restored.state), step=data.draw(st.integers(1, 400))))
        assert straight.do(command, request_id).outcome.index == restored.do(command, request_id).outcome.index
    assert save(straight.state) == save(restored.state)
    for topic in TOPICS:
        assert content(straight.state, topic) == content(restored.state, topic)


@given(REQUESTS)
@settings(max_examples=150, deadline=None)
def test_following_what_is_touched_gives_every_topic_as_it_is(requests: list[Any]) -> None:
    book = Book()
    followed: dict[Topic, dict[str, Value]] = {topic: {} for topic in TOPICS}
    for command, request_id in requests:
        before = {topic: content(book.state, topic) for topic in TOPICS}
        applied = book.do(command, request_id)
        for topic, keys in applied.touched.items():
            assert topic == normalized(topic)
            for key in keys:
                entry = topic_entry(book.state.store, topic, key, book.state.applied_index)
                if entry.value is None:
                    followed[topic].pop(key, None)
                else:
                    followed[topic][key] = entry.value
        for topic in TOPICS:
            now = content(book.state, topic)
            assert followed[topic] == now
            if now != before[topic]:
                assert book.state.topics.of(topic) == book.state.applied_index


@given(REQUESTS)
@settings(max_examples=50, deadline=None)
def test_apply_is_total_whatever_comes_and_indexes_only_grow(requests: list[Any]) -> None:
    book = Book()
    last = dict.fromkeys(TOPICS, 0)
    for command, request_id in requests:
        book.do(command, request_id)
        for topic in TOPICS:
            assert last[topic] <= book.state.topics.of(topic) <= book.state.applied_index
            last[topic] = book.state.topics.of(topic)


def filled() -> CatalogState:
    book = Book()
    for number in range(400):
        book.do(registration(f"n{number}", service=service(), checks=(check("c"),)), number.to_bytes(2, "big"))
    book.do(registration("bad", service=service("", "x")), b"refused")
    return book.state


def test_pieces_are_small_and_a_capture_does_not_follow_the_state() -> None:
    state = filled()
    saver, whole = Saver(state), save(state)
    pieces = saver.pieces()
    first = next(pieces)
    Book(state).deregister("n1")
    rest = list(pieces)
    assert b"".join([first, *rest]) == whole
    assert len(rest) > 1
    assert max(len(piece) for piece in [first, *rest]) < 2 * PIECE_SIZE


@pytest.mark.parametrize("cut", [1, 100, 5000])
def test_a_snapshot_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(Conflict):
        load(save(filled())[:-cut])


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(Conflict):
        load(save(filled()) + b"\0\0\0\0")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_snapshot_are_refused(data: bytes) -> None:
    with pytest.raises(Conflict):
        load(data)


def test_a_frame_that_is_missing_is_noticed() -> None:
    data = save(filled())
    preamble = 4 + int.from_bytes(data[:4], "big")
    node = 4 + int.from_bytes(data[preamble : preamble + 4], "big")
    with pytest.raises(Conflict):
        load(data[:preamble] + data[preamble + node :])


def test_a_check_that_is_larger_than_its_command_is_loaded_again() -> None:
    book = Book()
    book.register("n1", service=service(tags=("t" * 900_000,)))
    book.register("n1", checks=(check("c1", service_id="web", output="o" * 900_000),))
    assert save(load(save(book.state))) == save(book.state)
