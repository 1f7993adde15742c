"""Real cores in a world of crashes, lost and late messages, partitions, slow disks, drifting clocks, membership changes and
snapshots. After every step: election safety, leader append-only, log matching, leader completeness, state machine safety,
membership; every acknowledged write is on the disks of a quorum; and the history of reads and writes is linearizable."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from . import run
from .run import run_seed
from .world import World

SEEDS = 300
BLOCK = 20
ROOT = Path(__file__).parents[4]

TOTALS: Counter[str] = Counter()


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_every_promise_holds_after_every_step(first: int) -> None:
    for seed in range(first, first + BLOCK):
        TOTALS.update(run_seed(seed))


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


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_seed_replays_the_same_history_in_another_process(seed: int) -> None:
    """With other hashes of strings: nothing may hang on the order of a set."""
    command = [sys.executable, *run.replay_command(seed, 2_000).split()[1:], "--history"]
    histories = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
        histories.append(done.stdout)
    assert histories[0] == histories[1]
    assert histories[0].count("write at") > 50


def test_a_failure_names_its_seed_and_the_command_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(world: World, events: int) -> None:
        raise KeyError("broken")

    monkeypatch.setattr(World, "run", broken)
    with pytest.raises(AssertionError, match=r"seed 7, step 0, .*KeyError: 'broken'\nreplay: python -m .* --first 7 --seeds 1 --events 99"):
        run_seed(7, 99)
    totals, failed = run.run_seeds(7, 1, 99, 1)
    assert (sum(totals.values()), failed) == (0, 1)


def test_seeds_run_in_parallel_and_their_totals_are_told() -> None:
    command = [sys.executable, "-m", run.MODULE, "--first", "30", "--seeds", "12", "--events", "300", "--processes", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(r"12 of 12 seeds in \d+ s, 0 failed\n", done.stdout)
    assert re.search(r"^ +12 seeds$", done.stdout, re.MULTILINE)
