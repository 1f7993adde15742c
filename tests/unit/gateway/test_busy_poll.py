"""When the loop stays awake after an answer: in a quick conversation, where it pays, and for so long only."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rostra.gateway.busy_poll import LONGEST_PAUSE, QUICK_S, BusyPoll

STAY_S = 0.00005
SOON_S, LATE_S = STAY_S / 2, STAY_S * 2
FAR_S = QUICK_S * 2


class Loop:
    """A loop whose turns the test makes, and its clock. It is awake while there is a callback to call."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    @property
    def is_awake(self) -> bool:
        return bool(self._soon)

    def turn(self, after_s: float = 0.0) -> None:
        self.now += after_s
        callbacks, self._soon = self._soon, []
        for callback in callbacks:
            callback()


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    monkeypatch.setattr("rostra.gateway.busy_poll.asyncio.get_running_loop", lambda: loop)
    monkeypatch.setattr("rostra.gateway.busy_poll.time.monotonic", lambda: loop.now)
    return loop


def converse(loop: Loop, poll: BusyPoll, gaps_s: list[float]) -> list[bool]:
    """An answer after each gap, in which turns pass; and whether the loop was awake when the request for it came."""
    awake = []
    for gap_s in gaps_s:
        for _ in range(4):
            loop.turn(gap_s / 4)
        awake.append(loop.is_awake)
        poll.answered()
    return awake


def test_requests_that_follow_at_once_find_the_loop_awake(loop: Loop) -> None:
    poll = BusyPoll(STAY_S)
    assert converse(loop, poll, [1.0, SOON_S, SOON_S, SOON_S, SOON_S]) == [False, False, True, True, True]


def test_it_falls_asleep_when_the_conversation_is_over(loop: Loop) -> None:
    poll = BusyPoll(STAY_S)
    converse(loop, poll, [SOON_S, SOON_S, SOON_S])
    loop.turn(SOON_S)
    assert loop.is_awake
    loop.turn(SOON_S)
    assert not loop.is_awake


def test_requests_far_apart_never_keep_it_awake(loop: Loop) -> None:
    poll = BusyPoll(STAY_S)
    for _ in range(100):
        loop.turn(FAR_S)
        poll.answered()
        assert not loop.is_awake


def test_where_it_does_not_pay_it_is_tried_less_and_less_often(loop: Loop) -> None:
    """Requests that are quick, but not quick enough: each try is lost, so there are few of them."""
    poll = BusyPoll(STAY_S)
    tries = 0
    for _ in range(4 * LONGEST_PAUSE):
        poll.answered()
        tries += loop.is_awake
        for _ in range(4):
            loop.turn(LATE_S / 4)
    assert tries <= 14
    converse(loop, poll, [SOON_S] * (LONGEST_PAUSE + 2))
    assert converse(loop, poll, [SOON_S] * 3) == [True, True, True]  # tried again, and it pays now


def test_it_can_be_turned_off(loop: Loop) -> None:
    poll = BusyPoll(0.0)
    assert converse(loop, poll, [SOON_S] * 10) == [False] * 10
