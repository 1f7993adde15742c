"""Writes under way, without a stream."""

from __future__ import annotations

import pytest

from rostra.errors import BadRequest, Busy, NoLeader, UnknownOutcome
from rostra.views.messages import WriteResult
from rostra.views.writes import MAX_BATCH_BYTES, MAX_BATCH_COUNT, Decided, Writes

PATIENCE_S = 2.0


@pytest.fixture
def writes() -> Writes[str, str]:
    return Writes(1000)


def test_writes_go_out_in_order_and_in_batches_of_bounded_count(writes: Writes[str, str]) -> None:
    for number in range(MAX_BATCH_COUNT + 1):
        writes.add(f"{number}", 1, "", 7.0)
    first, second = writes.take(0.0, PATIENCE_S), writes.take(0.0, PATIENCE_S)
    assert [write.payload for write in first] == [f"{number}" for number in range(MAX_BATCH_COUNT)]
    assert [write.payload for write in second] == [f"{MAX_BATCH_COUNT}"]
    assert writes.take(0.0, PATIENCE_S) == []


def test_a_batch_is_bounded_in_bytes_but_never_empty(writes: Writes[str, str]) -> None:
    for payload in "abc":
        writes.add(payload, MAX_BATCH_BYTES - 1, "", 7.0)
    assert [len(writes.take(0.0, PATIENCE_S)) for _ in range(3)] == [1, 1, 1]


def test_more_than_the_bound_are_refused_as_busy() -> None:
    writes: Writes[str, str] = Writes(2)
    writes.add("a", 1, "", 7.0)
    writes.add("b", 1, "", 7.0)
    writes.take(0.0, PATIENCE_S)
    with pytest.raises(Busy):
        writes.add("c", 1, "", 7.0)


def test_a_result_is_told_to_its_writer_whatever_the_order(writes: Writes[str, str]) -> None:
    writes.add("a", 1, "A", 7.0)
    writes.add("b", 1, "B", 7.0)
    a, b = writes.take(0.0, PATIENCE_S)
    error = BadRequest("no", field="f")
    assert writes.result(WriteResult(b.sequence, 8)) == Decided("B", 8, None)
    assert writes.result(WriteResult(a.sequence, 0, error)) == Decided("A", 0, error)
    assert writes.result(WriteResult(a.sequence, 0)) is None, "only once"
    assert len(writes) == 0


def test_after_a_broken_stream_writes_are_sent_again_in_order_before_newer_ones(writes: Writes[str, str]) -> None:
    for payload in "ab":
        writes.add(payload, 1, "", 7.0)
    old = {write.sequence for write in writes.take(0.0, PATIENCE_S)}
    writes.add("c", 1, "", 7.0)
    writes.lost()
    again = writes.take(0.0, PATIENCE_S)
    assert [write.payload for write in again] == ["a", "b", "c"]
    assert old.isdisjoint(write.sequence for write in again)
    assert [write.uncertain for write in again] == [True, True, False]


def test_the_fate_of_a_write_is_unknown_once_it_was_handed_on_and_no_leader_before(writes: Writes[str, str]) -> None:
    write = writes.add("a", 1, "", 7.0)
    assert isinstance(write.fate(), NoLeader)
    writes.take(0.0, PATIENCE_S)
    assert isinstance(write.fate(), UnknownOutcome)
    assert writes.result(WriteResult(write.sequence, 0, NoLeader())) is write
    assert isinstance(write.fate(), NoLeader), "the catalog said that it was not proposed"
    writes.take(0.0, PATIENCE_S)
    assert writes.result(WriteResult(write.sequence, 0, UnknownOutcome("?"))) is write
    writes.take(0.0, PATIENCE_S)
    assert writes.result(WriteResult(write.sequence, 0, NoLeader())) is write
    assert isinstance(write.fate(), UnknownOutcome), "an earlier attempt may have succeeded"


def test_busy_is_told_unless_an_earlier_attempt_may_have_succeeded(writes: Writes[str, str]) -> None:
    write = writes.add("a", 1, "A", 7.0)
    writes.take(0.0, PATIENCE_S)
    writes.lost()
    writes.take(0.0, PATIENCE_S)
    assert writes.result(WriteResult(write.sequence, 0, Busy("full"))) is write
    fresh = writes.add("b", 1, "B", 7.0)
    writes.take(0.0, PATIENCE_S)
    assert isinstance(writes.result(WriteResult(fresh.sequence, 0, Busy("full"))), Decided)


def test_a_forgotten_write_is_not_sent_again(writes: Writes[str, str]) -> None:
    write = writes.add("a", 1, "", 7.0)
    writes.take(0.0, PATIENCE_S)
    writes.forget(write)
    writes.lost()
    assert writes.take(0.0, PATIENCE_S) == []


def test_a_server_that_does_not_answer_in_its_time_is_overdue(writes: Writes[str, str]) -> None:
    writes.add("a", 1, "", 7.0)
    (write,) = writes.take(0.0, PATIENCE_S)
    assert write.timeout_s == PATIENCE_S
    assert not writes.overdue(2.4)
    assert writes.overdue(2.6)
