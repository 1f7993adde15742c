"""The piggyback queue (gossip-wire section 11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.gossip.broadcasts import BroadcastQueue, retransmit_limit


@pytest.mark.parametrize(("members", "limit"), [(1, 4), (2, 4), (9, 4), (10, 8), (99, 8), (100, 12)])
def test_a_broadcast_is_sent_more_often_in_a_larger_pool(members: int, limit: int) -> None:
    queue = BroadcastQueue(4)
    number = queue.add(b"news")
    for _ in range(limit - 1):
        assert queue.take(100, 2, members, 255) == [b"news"]
        assert queue.is_pending(number)
    assert queue.take(100, 2, members, 255) == [b"news"]
    assert not queue.is_pending(number)
    assert queue.take(100, 2, members, 255) == []
    assert retransmit_limit(4, members) == limit


def test_the_least_sent_goes_first_then_the_longest_then_the_newest() -> None:
    queue = BroadcastQueue(4)
    for message in (b"sent", b"long one", b"new1", b"new2"):
        queue.add(message)
        if message == b"sent":
            queue.take(100, 2, 1, 255)
    assert queue.take(1000, 2, 1, 255) == [b"long one", b"new2", b"new1", b"sent"]


def test_what_does_not_fit_is_passed_over_for_what_does() -> None:
    queue = BroadcastQueue(4)
    for size in (10, 20, 30, 40):
        queue.add(bytes(size))
    assert [len(message) for message in queue.take(45, 2, 1, 255)] == [40]
    assert [len(message) for message in queue.take(36, 2, 1, 255)] == [30]
    assert [len(message) for message in queue.take(34, 2, 1, 255)] == [20, 10]
    assert queue.take(11, 2, 1, 255) == []


def test_no_more_than_asked_for_are_taken() -> None:
    queue = BroadcastQueue(4)
    for number in range(300):
        queue.add(bytes((number % 256, number // 256)))
    assert len(queue.take(60_000, 2, 1, 255)) == 255


def test_news_about_a_subject_overtake_older_news_about_it() -> None:
    queue = BroadcastQueue(4)
    old = queue.add(b"suspect", "peer")
    queue.add(b"other", "third")
    queue.add(b"alive", "peer")
    assert not queue.is_pending(old)
    assert sorted(queue.take(100, 2, 1, 255)) == [b"alive", b"other"]


def test_a_full_queue_drops_what_was_sent_most_often() -> None:
    queue = BroadcastQueue(4, max_depth=3)
    queue.add(b"old")
    queue.take(100, 2, 1, 255)
    for message in (b"1", b"2", b"3"):
        queue.add(message)
    assert sorted(queue.take(100, 2, 1, 255)) == [b"1", b"2", b"3"]


operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.binary(max_size=60), st.one_of(st.none(), st.sampled_from("abc"))),
        st.tuples(st.just("take"), st.integers(0, 150), st.integers(1, 200)),
    ),
    max_size=40,
)


@given(operations)
def test_a_taken_batch_always_fits_and_nothing_is_sent_too_often(steps: list[tuple[str, bytes | int, str | int | None]]) -> None:
    queue = BroadcastQueue(2, max_depth=10)
    sent: dict[bytes, int] = {}
    added: dict[bytes, int] = {}
    for kind, first, second in steps:
        if kind == "add":
            assert isinstance(first, bytes)
            added[first] = added.get(first, 0) + 1
            queue.add(first, second)
        else:
            assert isinstance(first, int)
            assert isinstance(second, int)
            batch = queue.take(first, 2, second, 255)
            assert sum(len(message) + 2 for message in batch) <= first
            for message in batch:
                sent[message] = sent.get(message, 0) + 1
        assert len(queue) <= 10
    for message, times in sent.items():
        assert times <= added[message] * retransmit_limit(2, 200)
