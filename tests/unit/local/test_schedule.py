"""Checks are run when they are due: spread out at first, then an interval after the last run ended."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from rostra.local.schedule import Schedule


def schedule(seed: int = 1) -> Schedule:
    return Schedule(random.Random(seed))


def test_first_runs_are_spread_over_the_interval() -> None:
    checks = schedule()
    for number in range(1000):
        checks.add(f"c{number}", 10.0, 100.0)
    counts = []
    for second in range(101, 111):
        counts.append(len(checks.due(float(second))))
    assert sum(counts) == 1000
    assert all(60 < count < 140 for count in counts)


def test_a_check_is_due_again_an_interval_after_its_run_ended_and_not_before() -> None:
    checks = schedule()
    checks.add("slow", 10.0, 0.0)
    assert checks.due(10.0) == ["slow"]
    assert (checks.due(1000.0), checks.deadline) == ([], None)
    checks.ended("slow", 1000.0)
    assert (checks.due(1009.9), checks.deadline, checks.due(1010.0)) == ([], 1010.0, ["slow"])


def test_a_slow_check_delays_no_other() -> None:
    checks = schedule()
    checks.add("slow", 1.0, 0.0)
    checks.add("quick", 1.0, 0.0)
    assert sorted(checks.due(1.0)) == ["quick", "slow"]
    for now in range(1, 10):
        checks.ended("quick", float(now))
        assert checks.due(now + 1.0) == ["quick"]


def test_what_is_removed_is_not_run_nor_does_the_end_of_its_run_bring_it_back() -> None:
    checks = schedule()
    checks.add("a", 1.0, 0.0)
    checks.remove("a")
    assert (checks.deadline, checks.due(10.0)) == (None, [])
    checks.add("a", 1.0, 0.0)
    assert checks.due(1.0) == ["a"]
    checks.remove("a")
    checks.ended("a", 2.0)
    assert checks.due(100.0) == []


def test_a_check_that_is_added_anew_follows_its_new_interval_only() -> None:
    checks = schedule()
    checks.add("a", 1.0, 0.0)
    checks.add("a", 1000.0, 0.0)
    checks.due(1000.0)
    checks.ended("a", 1000.0)
    assert checks.deadline == 2000.0


@given(
    st.lists(st.tuples(st.sampled_from(["add", "remove", "run"]), st.sampled_from("abcd"), st.floats(0.1, 20.0)), max_size=50),
    st.integers(),
)
def test_every_check_runs_within_an_interval_of_when_it_may_and_never_twice_at_a_time(
    operations: list[tuple[str, str, float]], seed: int
) -> None:
    checks, now, intervals, since, running = schedule(seed), 0.0, dict[str, float](), dict[str, float](), set[str]()
    for operation, name, amount in operations:
        if operation == "add":
            checks.add(name, amount, now)
            intervals[name], since[name] = amount, now
            running.discard(name)
        elif operation == "remove":
            checks.remove(name)
            intervals.pop(name, None)
            running.discard(name)
        else:
            now += amount
            for due in checks.due(now):
                assert due in intervals
                assert due not in running
                running.add(due)
            for name in intervals.keys() - running:
                assert now < since[name] + intervals[name]
            if running:
                ended = min(running)
                running.remove(ended)
                checks.ended(ended, now)
                since[ended] = now
