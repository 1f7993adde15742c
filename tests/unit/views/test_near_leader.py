"""A small fleet lives on the leader, a large one for its part."""

from __future__ import annotations

import random

from rostra.views.near_leader import LONGEST_PAUSE_S, NearLeader

SEATS = 32
SPREAD_S = 10.0
SERVERS = ["a", "b", "c"]


def moved_at(near: NearLeader, leader: str, current: str, population: int, since: float = 0.0, until: float = 2000.0) -> float | None:
    """When it moves to the leader, looked at every half second."""
    for tick in range(int(since * 2) + 1, int(until * 2) + 1):
        if target := near.look(leader, SERVERS, current, population, tick / 2):
            assert target == leader
            return tick / 2
    return None


def test_in_a_small_fleet_all_move_to_the_leader_and_not_all_at_once() -> None:
    times = [moved_at(NearLeader(random.Random(seed), SEATS, SPREAD_S), "b", "a", SEATS) for seed in range(400)]
    assert all(time is not None and time <= SPREAD_S + 0.5 for time in times)
    assert 120 < sum(time is not None and time <= SPREAD_S / 2 for time in times) < 280


def test_of_a_large_fleet_so_many_move_as_there_are_seats() -> None:
    population = 1600
    movers = sum(
        moved_at(NearLeader(random.Random(seed), SEATS, SPREAD_S), "b", "a", population, until=20) is not None for seed in range(1600)
    )
    assert SEATS / 2 < movers < SEATS * 2


def test_where_nobody_knows_how_many_there_are_nobody_moves() -> None:
    assert moved_at(NearLeader(random.Random(1), SEATS, SPREAD_S), "b", "a", 0) is None


def test_who_is_there_stays_and_nobody_moves_to_a_leader_that_is_not_known_or_no_candidate() -> None:
    near = NearLeader(random.Random(1), SEATS, SPREAD_S)
    assert moved_at(near, "b", "b", 1) is None
    assert moved_at(near, "", "a", 1) is None
    assert moved_at(near, "elsewhere", "a", 1) is None


def test_when_another_server_leads_it_moves_again() -> None:
    near = NearLeader(random.Random(1), SEATS, SPREAD_S)
    assert moved_at(near, "b", "a", 1, until=20) is not None
    assert moved_at(near, "c", "b", 1, since=20, until=40) is not None


def test_to_a_leader_that_was_lost_it_moves_ever_later_and_to_its_successor_soon() -> None:
    near = NearLeader(random.Random(1), SEATS, SPREAD_S)
    now, pauses = moved_at(near, "b", "a", 1), []
    for _ in range(6):
        assert now is not None
        near.lost("b", now)
        then = moved_at(near, "b", "a", 1, since=now, until=now + LONGEST_PAUSE_S + 1)
        assert then is not None
        pauses.append(then - now)
        now = then
    assert all(later > SPREAD_S for later in pauses)
    assert pauses[2] > 2 * pauses[0]
    assert max(pauses) <= LONGEST_PAUSE_S + 0.5
    near.lost("b", now or 0.0)
    assert moved_at(near, "c", "a", 1, since=now or 0.0, until=(now or 0.0) + SPREAD_S + 1) is not None


def test_the_loss_of_another_server_changes_nothing() -> None:
    near = NearLeader(random.Random(1), SEATS, SPREAD_S)
    near.look("b", SERVERS, "a", 1, 0.0)
    near.lost("a", 0.0)
    assert moved_at(near, "b", "c", 1, until=SPREAD_S + 1) is not None
