"""The net is only as good as what it catches: each mutant breaks one promise, and must be found."""

from __future__ import annotations

import pytest

from .history import find_violation
from .mutants import CONTROLS, MUTANTS, Mutant

SEEDS = 200
EVENTS = 5_000


def is_caught(mutant: Mutant, seed: int) -> bool:
    world = mutant.world(seed)
    try:
        world.run(EVENTS)
    except (AssertionError, IndexError, KeyError):
        return True
    return find_violation(world.history) is not None


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_broken_promise_is_found(mutant: Mutant) -> None:
    assert any(is_caught(mutant, seed) for seed in range(SEEDS))


@pytest.mark.parametrize("control", CONTROLS, ids=str)
def test_the_same_world_without_the_fault_is_clean(control: Mutant) -> None:
    assert not any(is_caught(control, seed) for seed in range(12))
