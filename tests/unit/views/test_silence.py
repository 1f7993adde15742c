"""When a server that says nothing is taken for dead, on a fake clock."""

from __future__ import annotations

import pytest

from rostra.rpc.back_off import MIN_S
from rostra.views.limits import DEFAULT_LIMITS
from rostra.views.silence import ASKED_CONTACT_S, ASKED_LOOK_S, LOOK_S, Silence
from rostra.views.writes import SLOW_S

IDLE_S, ASKED_S = DEFAULT_LIMITS.silence_s, DEFAULT_LIMITS.asked_silence_s
FIRST_BACK_OFF_S = 2 * MIN_S


def noticed(silence: Silence, asked_at: float | None) -> tuple[float, str]:
    """When looks at their times find the server dead, and what they say."""
    while True:
        now = silence.next_look
        if reason := silence.look(now, asked_at if asked_at is not None and asked_at <= now else None):
            return now, reason
        assert now < 100.0


@pytest.mark.parametrize("asked_after_s", [0.0, 0.01, 0.25, 0.49, 0.51, 0.99])
def test_who_waits_for_a_dead_server_is_on_the_way_to_another_within_a_second(asked_after_s: float) -> None:
    """Whenever between two looks he asks: what is left of the second is for the connection, which costs milliseconds."""
    silence = Silence(IDLE_S, ASKED_S, 10.0)
    asked_at = 10.0 + asked_after_s
    at, reason = noticed(silence, asked_at)
    assert at - asked_at + FIRST_BACK_OFF_S < 0.8
    assert reason == "the server was silent for 0.5 s while somebody waited"


def test_a_write_is_noticed_in_time_too() -> None:
    """Its own watch looks, asks for a barrier, and the silence that follows counts."""
    silence = Silence(IDLE_S, ASKED_S, 10.0)
    written_at = 10.3
    asked_at = written_at + SLOW_S + ASKED_LOOK_S
    assert noticed(silence, asked_at)[0] + ASKED_LOOK_S + FIRST_BACK_OFF_S - written_at < 1.0


def test_a_server_that_says_it_still_looks_for_a_leader_is_not_left() -> None:
    silence = Silence(IDLE_S, ASKED_S, 0.0)
    said_at = 0.0
    while silence.next_look < 5.0:
        now = silence.next_look
        while said_at + ASKED_CONTACT_S <= now:
            said_at += ASKED_CONTACT_S
            silence.hear(said_at)
        assert silence.look(now, 0.1) == ""


def test_where_nobody_waits_a_server_has_three_seconds_and_is_looked_at_rarely() -> None:
    silence = Silence(IDLE_S, ASKED_S, 0.0)
    assert silence.look(silence.next_look, None) == ""
    assert silence.next_look == 2 * LOOK_S
    at, reason = noticed(silence, None)
    assert IDLE_S < at <= IDLE_S + LOOK_S
    assert reason == "the server was silent for 3 s"


@pytest.mark.parametrize("died_at", [0.0, 0.2, 0.5, 0.7, 0.99])
def test_a_server_whose_word_is_overdue_is_asked_and_then_has_half_a_second(died_at: float) -> None:
    """It says something every second, at 0 for the last time; whenever it dies before the next, its watchers are elsewhere soon."""
    silence, asked_at = Silence(IDLE_S, ASKED_S, 0.0), None
    while True:
        now = silence.next_look
        if asked_at is None and silence.is_overdue(now):
            asked_at = now
        if silence.look(now, asked_at):
            break
    assert asked_at is not None
    assert asked_at > 1.0, "not before it could have said it"
    assert now - died_at < 2.5


def test_a_process_that_was_kept_from_running_blames_nobody_for_it() -> None:
    silence = Silence(IDLE_S, ASKED_S, 0.0)
    assert silence.look(1.5, 0.1) == "", "what the server said meanwhile is still to be read"
    at, _ = noticed(silence, 0.1)
    assert at == pytest.approx(1.5 + ASKED_LOOK_S), "and then it is judged like any other"
