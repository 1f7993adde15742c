"""Raft cores on a simulated network, disk and clock, by number of voters: messages and time for a write, time from a leader's crash until
the next one has committed. A network of 1 ms and an fsync of 2 ms on average, an election timeout of 1 s to 2 s.

One seed replays everything; times are the simulated clock's.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import rows
from rows import Row

from rostra.consensus.messages import Message
from tests.simulation.consensus.raft_simulation.world import TIMING, Profile, Server, World

DELAY_S, FSYNC_S = 0.001, 0.002
STEADY_S = 5.0
FAILOVER_LIMIT_S = 60.0


class Counting(World):
    """Counts what is sent."""

    sent = 0

    def _send(self, server: Server, message: Message) -> None:
        self.sent += 1
        super()._send(server, message)

    def run_for(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.step()

    def run_until_led(self, other_than: Server | None = None) -> Server:
        """A leader that has committed in its own term."""
        until = self.now + FAILOVER_LIMIT_S
        while self.now < until:
            self.step()
            for server in self.leaders():
                if server is not other_than and server.core.term_confirmed:
                    return server
        raise SystemExit(f"no leader within {FAILOVER_LIMIT_S:g} s, seed {self.seed}")


def quiet(voters: int) -> Profile:
    """Nothing goes wrong by itself."""
    return Profile(
        voters=voters, spares=0, loss=0.0, duplicates=0.0, delay_s=DELAY_S, long_delay=0.0, fsync_s=FSYNC_S, crash_s=0.0, partition_s=0.0,
        slow_disk_s=0.0, transfer_s=0.0, change_s=0.0, snapshot_s=0.0, write_s=0.05, read_s=0.0,
    )  # fmt: skip


def measure(voters: int, crashes: int, seed: int) -> list[Row]:
    world = Counting(seed, quiet(voters))
    leader = world.run_until_led()
    world.run_for(1.0)
    messages, each_ms = steady(world, voters)
    took: list[float] = []
    for _ in range(crashes):
        victim, began = leader, world.now
        world.crash(victim)
        leader = world.run_until_led(victim)
        took.append(world.now - began)
        world.start(victim)
        world.run_for(STEADY_S)
    print(
        f"{voters:3} voters: {messages:.1f} messages for a write, acknowledged after {statistics.median(each_ms):.1f} ms (median);"
        f" a leader's crash to the next commit: {' '.join(f'{seconds:.2f}' for seconds in took)} s",
        flush=True,
    )
    # Whoever has the shortest of the timeouts of one to two election timeouts is first.
    first_timeout = TIMING.election_timeout_s * (1 + 1 / voters)
    return [
        _row("messages for a write", "", voters, [messages], 2.0 * (voters - 1)),
        _row("a write, begun to acknowledged", "ms", voters, each_ms, (2 * DELAY_S + FSYNC_S) * 1e3),
        _row("a leader's crash to the next one's commit", "s", voters, took, first_timeout),
    ]


def steady(world: Counting, voters: int) -> tuple[float, list[float]]:
    """Messages for each write beside heartbeats, and how long each took, ms."""
    world.sent, done = 0, len(world.history)
    world.run_for(STEADY_S)
    writes = world.history[done:]
    heartbeats = 2 * (voters - 1) * STEADY_S / TIMING.heartbeat_interval_s
    return (world.sent - heartbeats) / len(writes), [(write.ended - write.began) * 1e3 for write in writes]


def _row(name: str, unit: str, voters: int, measured: list[float], formula: float) -> Row:
    return Row(name=name, unit=unit, ours=measured, peers=[formula], peer="formula", more_is_better=False, at=voters)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-voters", type=int, nargs="+", default=[3, 5, 7, 9, 15, 25])
    parser.add_argument("-crashes", type=int, default=10)
    parser.add_argument("-seed", type=int, default=random.SystemRandom().randrange(10_000))
    rows.add_option(parser)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    found = [row for voters in options.voters for row in measure(voters, options.crashes, options.seed)]
    rows.write(options.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
