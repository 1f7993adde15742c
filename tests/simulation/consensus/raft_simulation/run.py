"""Runs seeds: ``python -m tests.simulation.consensus.raft_simulation.run --seeds 100000``, in as many processes as there
are cores. A failing seed is printed with its step; ``--first SEED --seeds 1`` replays it by itself."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from .history import find_violation
from .world import Profile, World


def run_seed(seed: int, profile: Profile, events: int, *, settle: bool = False) -> Counter[str]:
    """Runs one history; an AssertionError names the seed."""
    world = World(seed, profile)
    try:
        world.run(events)
        if settle:
            world.settle()
        violation = find_violation(world.history)
        assert violation is None, f"not linearizable: {violation}"
    except AssertionError as error:
        raise AssertionError(f"seed {seed}, step {world.steps}, {world.now:.3f} s: {error}") from error
    world.counts["seeds"] = 1
    return world.counts


def _run(seed_and_events: tuple[int, int]) -> Counter[str]:
    seed, events = seed_and_events
    return run_seed(seed, Profile(), events, settle=seed % 10 == 0)


def main() -> None:
    """Runs seeds in parallel and prints the totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--events", type=int, default=5_000)
    arguments = parser.parse_args()
    seeds = [(seed, arguments.events) for seed in range(arguments.first, arguments.first + arguments.seeds)]
    totals: Counter[str] = Counter()
    began = time.monotonic()
    with ProcessPoolExecutor() as processes:
        for number, counts in enumerate(processes.map(_run, seeds, chunksize=10), 1):
            totals.update(counts)
            if number % 1000 == 0:
                print(f"{number} seeds in {time.monotonic() - began:.0f} s", flush=True)
    for name, count in sorted(totals.items()):
        print(f"{count:10} {name}")


if __name__ == "__main__":
    main()
