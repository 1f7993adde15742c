"""The batching of barriers, on a fake clock (docs/architecture.md, "A read")."""

from __future__ import annotations

import itertools
import random

import pytest

from rostra.errors import NoLeader
from rostra.model.consistency import Consistency
from rostra.views.barriers import Barriers

HOLD_S = 7.0
PATIENCE_S = 2.0


@pytest.fixture
def barriers() -> Barriers[int]:
    tickets = itertools.count(1)
    return Barriers(itertools.count(1), random.Random(1), HOLD_S, lambda: next(tickets))


def send(barriers: Barriers[int], now: float) -> tuple[int, int]:
    """Number of the barrier sent, and how many requests it serves."""
    closed = barriers.take(now, PATIENCE_S)
    assert closed is not None
    return closed[0].number, closed[1]


def test_requests_that_came_before_the_barrier_was_sent_share_it(barriers: Barriers[int]) -> None:
    assert barriers.join(Consistency.DEFAULT, 0.0) == barriers.join(Consistency.DEFAULT, 0.0) == 1
    number, served = send(barriers, 0.0)
    assert served == 2
    reached = barriers.reached(number, 40)
    assert reached is not None
    assert reached[0].index == 40
    assert reached[1] == [1]


def test_a_request_that_came_after_the_barrier_was_sent_waits_for_the_next(barriers: Barriers[int]) -> None:
    barriers.join(Consistency.DEFAULT, 0.0)
    number, _ = send(barriers, 0.0)
    late = barriers.join(Consistency.DEFAULT, 0.1)
    reached = barriers.reached(number, 40)
    assert reached is not None
    assert late not in reached[1]
    number, served = send(barriers, 0.2)
    assert served == 1
    assert barriers.reached(number, 41) is not None


def test_one_is_in_flight_and_one_fills_for_each_mode(barriers: Barriers[int]) -> None:
    barriers.join(Consistency.DEFAULT, 0.0)
    send(barriers, 0.0)
    barriers.join(Consistency.DEFAULT, 0.0)
    assert barriers.take(0.0, PATIENCE_S) is None, "the second batch waits for the first barrier"
    barriers.join(Consistency.CONSISTENT, 0.0)
    closed = barriers.take(0.0, PATIENCE_S)
    assert closed is not None
    assert closed[0].consistency is Consistency.CONSISTENT, "the other mode does not"


def test_a_barrier_that_failed_is_sent_again_with_all_who_came_meanwhile(barriers: Barriers[int]) -> None:
    first = barriers.join(Consistency.DEFAULT, 0.0)
    number, _ = send(barriers, 0.0)
    second = barriers.join(Consistency.DEFAULT, 0.5)
    delay_s = barriers.failed(number, 1.0)
    assert 0.010 <= delay_s <= 0.500
    assert barriers.take(1.0, PATIENCE_S) is None, "not before the back-off"
    number, served = send(barriers, 1.0 + delay_s)
    assert served == 2
    reached = barriers.reached(number, 3)
    assert reached is not None
    assert reached[1] == [first, second]


def test_a_barrier_whose_stream_broke_is_sent_again_at_once_on_the_next(barriers: Barriers[int]) -> None:
    barriers.join(Consistency.DEFAULT, 0.0)
    old, _ = send(barriers, 0.0)
    barriers.lost()
    new, served = send(barriers, 0.0)
    assert (new, served) == (old + 1, 1)
    assert barriers.reached(old, 3) is None, "an answer to the old one means nothing"


def test_after_the_hold_time_everybody_is_given_up_and_new_requests_are_refused_until_a_leader_is_seen(barriers: Barriers[int]) -> None:
    first = barriers.join(Consistency.DEFAULT, 0.0)
    send(barriers, 0.0)
    second = barriers.join(Consistency.CONSISTENT, 6.0)
    assert barriers.deadline == HOLD_S
    assert barriers.expire(6.9) == ()
    assert barriers.expire(7.0) == [first, second]
    with pytest.raises(NoLeader):
        barriers.join(Consistency.DEFAULT, 7.1)
    barriers.leader_seen()
    barriers.join(Consistency.DEFAULT, 7.2)


def test_a_server_is_given_its_patience_but_never_more_than_the_requests_have(barriers: Barriers[int]) -> None:
    barriers.join(Consistency.DEFAULT, 0.0)
    closed = barriers.take(0.0, PATIENCE_S)
    assert closed is not None
    assert closed[0].timeout_s == PATIENCE_S
    assert not barriers.overdue(2.4)
    assert barriers.overdue(2.6), "it did not even say that it failed"
    barriers.lost()
    closed = barriers.take(6.0, PATIENCE_S)
    assert closed is not None
    assert closed[0].timeout_s == 1.0
