"""The checker of histories is itself checked on histories that are known to be good and bad."""

from __future__ import annotations

import pytest

from .history import Operation, find_violation


def write(began: float, ended: float, position: int) -> Operation:
    return Operation(began, ended, position, True)


def read(began: float, ended: float, position: int) -> Operation:
    return Operation(began, ended, position, False)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [write(0, 1, 1), read(2, 3, 1)],
        [write(0, 5, 1), read(1, 2, 1), read(3, 4, 1)],
        [write(0, 5, 1), read(1, 2, 0), read(3, 4, 1)],
        [write(0, 5, 2), write(1, 4, 1), read(6, 7, 2)],
        [write(0, 1, 1), write(2, 9, 2), read(3, 4, 2), read(3, 4, 1)],
        [read(0, 9, 1), write(1, 2, 1), write(3, 4, 2)],
    ],
)
def test_good_histories_pass(history: list[Operation]) -> None:
    assert find_violation(history) is None


@pytest.mark.parametrize(
    ("history", "why"),
    [
        ([write(0, 1, 1), read(2, 3, 0)], "a stale read"),
        ([write(0, 9, 1), read(1, 2, 1), read(3, 4, 0)], "reads go back in time"),
        ([write(0, 1, 2), write(2, 3, 1)], "writes in the wrong order"),
        ([write(0, 1, 1), write(2, 3, 1)], "two writes in one place"),
        ([read(0, 1, 1), write(2, 3, 1)], "a read of what was not written yet"),
        ([write(0, 1, 5), write(2, 3, 6), read(2, 2.5, 4)], "a read that misses an earlier write"),
    ],
)
def test_bad_histories_are_found(history: list[Operation], why: str) -> None:
    assert find_violation(history) is not None, why
