"""A server that comes takes its share of the fleet."""

from __future__ import annotations

import random

from rostra.views.rebalance import Rebalance

SPREAD_S = 10.0


def moved(rebalance: Rebalance, addresses: list[str], current: str, until: float) -> str:
    """Where it moves, if it does by then, looked at every half second."""
    for tick in range(1, int(until * 2) + 1):
        if target := rebalance.look(addresses, current, tick / 2):
            return target
    return ""


def test_the_first_servers_known_make_nobody_move() -> None:
    rebalance = Rebalance(random.Random(1), SPREAD_S)
    assert moved(rebalance, ["a", "b", "c"], "a", 60) == ""


def test_a_newcomer_takes_its_share_of_a_fleet_and_not_all_at_once() -> None:
    early = late = 0
    for seed in range(600):
        rebalance = Rebalance(random.Random(seed), SPREAD_S)
        rebalance.look(["a", "b"], "a", 0)
        if moved(rebalance, ["a", "b", "c"], "a", SPREAD_S / 2):
            early += 1
        elif moved(rebalance, ["a", "b", "c"], "a", SPREAD_S):
            late += 1
    assert 60 < early < 140, "half of a third within half the time"
    assert 60 < late < 140, "the other half after it"


def test_a_server_that_fails_and_returns_is_a_newcomer_again() -> None:
    came_back = 0
    for seed in range(300):
        rebalance = Rebalance(random.Random(seed), SPREAD_S)
        for addresses in (["a", "b", "c"], ["a", "b"]):
            rebalance.look(addresses, "a", 0)
        came_back += moved(rebalance, ["a", "b", "c"], "a", SPREAD_S) == "c"
    assert 60 < came_back < 140


def test_one_that_is_gone_again_when_its_time_comes_is_not_moved_to() -> None:
    for seed in range(50):
        rebalance = Rebalance(random.Random(seed), SPREAD_S)
        rebalance.look(["a"], "a", 0)
        rebalance.look(["a", "b"], "a", 0)
        assert moved(rebalance, ["a"], "a", 60) == ""
