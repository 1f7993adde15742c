"""Runs seeds: ``python -m tests.simulation.consensus.raft_simulation.run --seeds 100000``, in as many processes as there
are cores. A failing seed is printed with its step and the command that replays it by itself; the others go on, and the exit code is 1.
Now and then it says how far it is, and how to go on from there after an interruption."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Final

from .history import find_violation
from .moments import Moments
from .world import Profile, World

MODULE: Final = "tests.simulation.consensus.raft_simulation.run"
EVENTS: Final = 5_000
TELL_S: Final = 30.0
PROFILES: Final = (
    Profile(),
    Profile(voters=3, spares=2),
    Profile(voters=5, spares=0, change_s=0, loss=0.1, long_delay=0.1),
    # Clocks that drift beyond what the lease allows for: quorum reads must not mind.
    replace(Profile(), clock_rates=(0.5, 1.0, 1.5), lease_reads=False),
    # Faults that wait for the worst moment: around votes, terms and reads, and around changes of an even number of voters.
    Profile(voters=3, spares=0, change_s=0, moments=Moments(asked_to_vote=0.3, office=0.3, commit=0.02, round_answered=0.02)),
    Profile(voters=4, spares=1, change_s=0.5, moments=Moments(office=0.1, office_change=0.9, change=0.5, commit=0.02)),
)
"""The seed chooses one of these, so that a seed alone says everything."""
SETTLED: Final = 10
"""Every so many seeds the faults end, and the cluster must come to rest."""


def run_seed(seed: int, events: int = EVENTS) -> Counter[str]:
    """Runs one history; an AssertionError names the seed and how to replay it."""
    world = World(seed, PROFILES[seed % len(PROFILES)])
    try:
        world.run(events)
        if seed % SETTLED == 0:
            world.settle()
        violation = find_violation(world.history)
        assert violation is None, f"not linearizable: {violation}"
    except Exception as error:
        place = f"seed {seed}, step {world.steps}, {world.now:.3f} s: {type(error).__name__}: {error}"
        raise AssertionError(f"{place}\nreplay: {replay_command(seed, events)}") from error
    world.counts["seeds"] = 1
    return world.counts


def replay_command(seed: int, events: int) -> str:
    """Runs that seed and no other."""
    return f"python -m {MODULE} --first {seed} --seeds 1 --events {events}"


def _run(seed_and_events: tuple[int, int]) -> Counter[str] | str:
    try:
        return run_seed(*seed_and_events)
    except AssertionError as error:
        return str(error)


def run_seeds(first: int, seeds: int, events: int, processes: int | None) -> tuple[Counter[str], int]:
    """The totals, and how many seeds failed."""
    totals: Counter[str] = Counter()
    failed = 0
    began = told = time.monotonic()
    work = [(seed, events) for seed in range(first, first + seeds)]
    with ProcessPoolExecutor(processes) as pool:
        results: Iterable[Counter[str] | str] = pool.map(_run, work, chunksize=10) if seeds > 1 else map(_run, work)
        for number, result in enumerate(results, 1):
            if isinstance(result, str):
                failed += 1
                print(result, flush=True)
            else:
                totals.update(result)
            now = time.monotonic()
            if now - told >= TELL_S or (number == seeds and seeds > 1):
                told = now
                left = f"; the rest: --first {first + number} --seeds {seeds - number}" if number < seeds else ""
                print(f"{number} of {seeds} seeds in {now - began:.0f} s, {failed} failed{left}", flush=True)
    return totals, failed


def main() -> int:
    """Runs seeds in parallel and prints the totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--processes", type=int, default=None)
    parser.add_argument("--history", action="store_true", help="print what clients saw in the first seed, and nothing else")
    arguments = parser.parse_args()
    if arguments.history:
        world = World(arguments.first, PROFILES[arguments.first % len(PROFILES)])
        world.run(arguments.events)
        print(*world.history, sep="\n")
        return 0
    totals, failed = run_seeds(arguments.first, arguments.seeds, arguments.events, arguments.processes)
    for name, count in sorted(totals.items()):
        print(f"{count:10} {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
