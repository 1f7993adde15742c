"""Real cores in a world of crashes, lost and late messages, partitions, slow disks, drifting clocks, membership changes and
snapshots. After every step: election safety, leader append-only, log matching, leader completeness, state machine safety,
membership; every acknowledged write is on the disks of a quorum; and the history of reads and writes is linearizable."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from .run import run_seed
from .world import Profile

EVENTS = 5_000
SEEDS = 300
BLOCK = 20

TOTALS: Counter[str] = Counter()
PROFILES = [Profile(), Profile(voters=3, spares=2), Profile(voters=5, spares=0, change_s=0, loss=0.1, long_delay=0.1)]
# Clocks that drift beyond what the lease allows for: quorum reads must not mind.
PROFILES.append(replace(Profile(), clock_rates=(0.5, 1.0, 1.5), lease_reads=False))


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_every_promise_holds_after_every_step(first: int) -> None:
    for seed in range(first, first + BLOCK):
        TOTALS.update(run_seed(seed, PROFILES[seed % len(PROFILES)], EVENTS, settle=seed % 10 == 0))


def test_the_world_was_rough_enough() -> None:
    if not TOTALS["seeds"] >= SEEDS:
        pytest.skip("only a part of the seeds was run")
    expected = {
        "BecameLeader": 1_500,
        "LogTruncated": 100,
        "snapshots restored": 200,
        "membership changes": 800,
        "restarts": 1_500,
        "partitions": 1_500,
        "lease reads": 10_000,
        "quorum reads": 10_000,
        "writes acknowledged": 40_000,
        "transfers": 400,
        "wipes": 10,
    }
    assert {name: TOTALS[name] for name, least in expected.items() if TOTALS[name] < least} == {}


def test_a_seed_replays_the_same_history() -> None:
    assert run_seed(7, Profile(), 2_000) == run_seed(7, Profile(), 2_000)
