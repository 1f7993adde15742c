"""How long a crash goes unnoticed: pools of three real Serf agents, beside pools of two of them and one of ours.

Each round starts three pools, one after the other, on loopback addresses of their own, and kills a member of each with -9 (ours stops
without a word): one of three Serf agents; one of two while ours and the other watch; ours while both watch. The time counts until
``serf members`` or our list shows it failed; asking takes Serf's command some hundredths of a second, ours none. Needs ``serf`` on PATH.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import rows
from rows import Row

from rostra.gossip.suspicion import minimum_timeout_s
from rostra.gossip.timing import LAN
from rostra.model.members import MemberStatus
from tests.interop.gossip.peers import Cluster, running_cluster, sees, until

LIMIT_S = 60.0
THIRD = 4 / 3

Samples = dict[str, list[float]]


async def took(condition: Callable[[], Any]) -> float:
    return await until(condition, LIMIT_S, "it is seen as failed")


async def three_of_theirs(pool: Cluster, samples: Samples) -> None:
    first = await pool.serf("first")
    second = await pool.serf("second", join=first.address)
    third = await pool.serf("third", join=first.address)
    for agent in (first, second):
        await until(partial(agent.sees, "third", "alive"), LIMIT_S, "they have met")
    await asyncio.sleep(random.uniform(2, 3))
    await third.kill()
    samples["three Serf agents"] += await asyncio.gather(*(took(partial(agent.sees, "third", "failed")) for agent in (first, second)))


async def one_of_theirs(pool: Cluster, samples: Samples) -> None:
    first = await pool.serf("first")
    second = await pool.serf("second", join=first.address)
    ours = await pool.ours("ours")
    await ours.join([first.address])
    for agent in (first, second):
        await until(partial(agent.sees, "ours", "alive"), LIMIT_S, "they have met")
    await asyncio.sleep(random.uniform(2, 3))
    await second.kill()
    seen = await asyncio.gather(
        took(lambda: sees(ours, "second", MemberStatus.FAILED)),
        took(partial(first.sees, "second", "failed")),
    )
    samples["a Serf agent dies, ours sees it"].append(seen[0])
    samples["a Serf agent dies, Serf sees it beside ours"].append(seen[1])


async def ours_dies(pool: Cluster, samples: Samples) -> None:
    first = await pool.serf("first")
    second = await pool.serf("second", join=first.address)
    ours = await pool.ours("ours")
    await ours.join([first.address])
    for agent in (first, second):
        await until(partial(agent.sees, "ours", "alive"), LIMIT_S, "they have met")
    await asyncio.sleep(random.uniform(2, 3))
    await pool.crash(ours)
    samples["ours dies, Serf sees it"] += await asyncio.gather(*(took(partial(agent.sees, "ours", "failed")) for agent in (first, second)))


async def run(rounds: int, json: Path | None) -> int:
    samples: Samples = defaultdict(list)
    for number in range(rounds):
        for measure in (three_of_theirs, one_of_theirs, ours_dies):
            async with running_cluster() as pool:
                await measure(pool, samples)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    theirs = statistics.median(samples["three Serf agents"])
    print(f"suspicion in a pool of three: {minimum_timeout_s(3, LAN):.0f} s, and a probe finds the dead after 1.5 s on average\n")
    print("| | median, s | of Serf's | samples, s |\n| --- | --- | --- | --- |")
    for what, found in samples.items():
        shown = " ".join(f"{seconds:.1f}" for seconds in sorted(found))
        print(f"| {what} | {statistics.median(found):.1f} | {statistics.median(found) / theirs:.2f} | {shown} |")
    slow = [what for what, found in samples.items() if statistics.median(found) > theirs * THIRD]
    serf = samples.pop("three Serf agents")
    measured = [
        Row(name=what, unit="s", ours=taken, peers=serf, peer="three Serf agents", more_is_better=False, wanted=THIRD)
        for what, taken in samples.items()
    ]
    rows.write(json, measured)
    print("\n" + (f"More than a third slower: {', '.join(slow)}" if slow else "None is more than a third slower."))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-rounds", type=int, default=5)
    rows.add_option(parser)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    if shutil.which("serf") is None:
        print("serf is not on PATH")
        return 1
    return asyncio.run(run(options.rounds, options.json))


if __name__ == "__main__":
    sys.exit(main())
