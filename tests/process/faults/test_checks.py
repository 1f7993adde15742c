"""The checks are themselves checked, on histories that are known to be good and bad."""

from __future__ import annotations

import pytest

from . import checks
from .history import Call, Fault, History, Kind


def write(began: float, ended: float, value: str, *, is_certain: bool = True) -> Call:
    return Call(Kind.WRITE, "s1", "r", began, ended, is_certain, value)


def read(began: float, ended: float, value: str, position: int) -> Call:
    return Call(Kind.READ, "s2", "r", began, ended, True, value, position)


def history(*calls: Call) -> History:
    return History(0.0, list(calls))


GOOD = [
    [],
    [write(0, 1, "a"), read(2, 3, "a", 5)],
    [write(0, 9, "a"), read(1, 2, "a", 5), read(3, 4, "a", 5)],
    [read(0, 1, "", 0), write(0, 1, "a"), write(2, 3, "b"), read(2, 4, "a", 5), read(5, 6, "b", 7)],
    [write(0, 1, "a", is_certain=False), write(2, 3, "b"), read(4, 5, "b", 7), read(6, 7, "a", 8)],  # one that came late after all
]
BAD = [
    ([write(0, 1, "a"), read(2, 3, "", 0)], "a write that nobody saw is missing"),
    ([write(0, 1, "a"), read(1, 2, "a", 5), write(3, 4, "b"), read(5, 6, "a", 5)], "an acknowledged write is missing"),
    ([write(0, 1, "a"), write(2, 3, "b"), read(4, 5, "b", 7), read(6, 7, "a", 5)], "reads go back"),
    ([write(0, 9, "a"), read(1, 2, "a", 5), read(3, 4, "", 0)], "a read goes back behind a write under way"),
    ([read(0, 1, "a", 5), write(2, 3, "a")], "a read of what was not written yet"),
    ([read(0, 1, "b", 5)], "a value out of nowhere"),
    ([write(0, 1, "a"), read(2, 3, "a", 5), read(4, 5, "a", 9)], "a write done twice"),
]


@pytest.mark.parametrize("calls", GOOD)
def test_good_histories_pass(calls: list[Call]) -> None:
    assert checks.reads_are_linearizable(history(*calls)) == []


@pytest.mark.parametrize(("calls", "why"), BAD)
def test_bad_histories_are_found(calls: list[Call], why: str) -> None:
    assert checks.reads_are_linearizable(history(*calls)) != [], why


def watch(began: float, ended: float) -> Call:
    return Call(Kind.WATCH, "s1", "r", began, ended, True, "b", 7)


def test_a_watch_that_slept_through_a_change_is_found_unless_something_was_wrong() -> None:
    slept = history(write(1, 2, "b"), watch(0, 30))
    assert checks.watches_wake_in_time(slept) != []
    slept.faults.append(Fault("kill a server", ("s1",), 0, 3, 4))
    assert checks.watches_wake_in_time(slept) == []
    assert checks.watches_wake_in_time(history(write(1, 2, "b"), watch(0, 2.5))) == []


def test_a_dead_client_in_dns_is_found_once_it_has_been_dead_for_long() -> None:
    look_ups = [Call(Kind.DNS, "s1", "web", at, at + 0.1, True, "10.0.0.4 10.0.0.5") for at in (1.0, 5.0, 20.0)]
    found = history(*look_ups)
    found.faults.append(Fault("kill a client", ("c1",), 0.5, 25, 30))
    assert len(checks.dns_forgets_the_dead(found, {"c1": "10.0.0.4", "c2": "10.0.0.5"})) == 1


def test_a_lost_registration_is_found() -> None:
    kept = history(Call(Kind.REGISTER, "s1", "kept-1", 0, 1, True, "kept-1"), Call(Kind.REGISTER, "s1", "kept-2", 0, 1, False, "kept-2"))
    assert checks.nothing_acknowledged_is_lost(kept, {"s1": {"kept-1"}, "s2": set()}) == ["s2 lacks kept-1, which was acknowledged"]


def test_an_error_without_words_or_with_the_wrong_code_is_found() -> None:
    calls = [Call(Kind.READ, "s1", "r", 0, 1, False, problem=text) for text in ("500 No cluster leader", "500 ", "404 ", "ReadTimeout")]
    assert len(checks.errors_are_clear(history(*calls))) == 2
