"""Pools of real gossip cores on a simulated network and clock, beside what the papers' and memberlist's formulas say.

Printed for each size: the load at rest, how long a crash stays unnoticed, how long until all know, who was declared failed and was not.
Then Lifeguard's experiment, with and without its parts. One seed replays everything; times are the simulated clock's, except where it
says so. 10,000 members take some minutes and 3 GB: ``-members 10000 -no-lifeguard``.
"""

from __future__ import annotations

import argparse
import gc
import math
import random
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import rows
from rows import Row

from rostra.gossip.broadcasts import retransmit_limit
from rostra.gossip.membership import NodeSuspected
from rostra.gossip.suspicion import minimum_timeout_s
from rostra.gossip.timing import LAN
from rostra.model.members import MemberChange, MemberChangeKind, MemberStatus
from tests.simulation.gossip import lifeguard
from tests.simulation.gossip.simulator import Simulation

SETTLING_S = 5.0


def expected_packets_s(loss: float) -> float:
    """Packets per member and second at rest: ping and ack (SWIM section 3.3), and where one is lost, indirect pings with ack or nack."""
    arrives = 1 - loss
    one_helper = 1 + arrives * (1 + arrives + 1)  # the request, the ping, its ack, the answer
    return (1 + arrives + (1 - arrives**2) * LAN.indirect_checks * one_helper) / LAN.probe_interval_s


def spreading_s(members: int) -> float:
    """Push gossip to so many others each round reaches all in about log(n) / log(1 + fan-out) + ln(n) / fan-out rounds (Pittel 1987)."""
    rounds = math.log(members) / math.log(1 + LAN.gossip_nodes) + math.log(members) / LAN.gossip_nodes
    return rounds * LAN.gossip_interval_s


def seconds(values: Iterable[float]) -> str:
    """Median and range."""
    found = sorted(values)
    return f"{statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"


class Crash:
    """What became of one crashed member, as the others saw it."""

    def __init__(self, simulation: Simulation, name: str, at: float) -> None:
        suspected: list[float] = []
        failed: list[float] = []
        for process in simulation.processes.values():
            for when, event in process.events:
                if isinstance(event, NodeSuspected) and event.node.name == name:
                    suspected.append(when)
                elif isinstance(event, MemberChange) and event.member.name == name and event.kind is MemberChangeKind.FAILED:
                    failed.append(when)
        self.first_suspected_s = min(suspected) - at
        self.first_failed_s = min(failed) - at
        self.all_know_s = max(failed) - at
        self.suspicion_spread_s = max(suspected) - min(suspected)


def crash(simulation: Simulation, count: int) -> list[Crash]:
    """Crash so many members at random moments of one probe interval, and wait until everyone knows."""
    at: dict[str, float] = {}
    for name in simulation.rng.sample(list(simulation.processes), count):
        simulation.run(simulation.rng.uniform(0, LAN.probe_interval_s / count))
        simulation.crash(name)
        at[name] = simulation.now
    simulation.run_until(lambda: all(simulation.all_see(name, MemberStatus.FAILED) for name in at), at_most=600, step=0.5)
    return [Crash(simulation, name, when) for name, when in at.items()]


def measure(members: int, loss: float, minutes: float, crashes: int, seed: int) -> list[Row]:
    began = time.perf_counter()
    with redirect_stdout(StringIO()):
        simulation = Simulation(seed)
    simulation.start_acquainted(members)
    gc.freeze()
    simulation.network.loss = loss
    simulation.run(SETTLING_S)
    simulation.packets_sent.clear()
    simulation.packet_bytes_sent = simulation.stream_bytes_sent = 0
    simulation.run(60 * minutes)
    at_rest = members * 60 * minutes
    packets_s = sum(simulation.packets_sent.values()) / at_rest
    datagrams_s, streams_s = simulation.packet_bytes_sent / at_rest, simulation.stream_bytes_sent / at_rest
    accused = sum(isinstance(event, NodeSuspected) for process in simulation.processes.values() for _, event in process.events)
    simulation.packets_sent.clear()
    crash_began = simulation.now
    found = crash(simulation, crashes)
    extra = (sum(simulation.packets_sent.values()) / members - packets_s * (simulation.now - crash_began)) / crashes
    crashed = {f"m{number}" for number in range(members)} - set(simulation.processes)
    wrong = sum(name not in crashed for _, _, name in simulation.failures_reported())
    minimum = minimum_timeout_s(members, LAN)
    limit = retransmit_limit(LAN.retransmit_mult, members)
    print(f"\n### {members} members, {loss:.0%} of all datagrams lost, seed {seed}\n")
    table(
        ("", "measured", "formula"),
        ("packets sent per member per second, at rest", f"{packets_s:.2f}", f"{expected_packets_s(loss):.2f}: ping, ack, indirect pings"),
        ("bytes per member per second, datagrams", f"{datagrams_s:.0f}", ""),
        ("bytes per member per second, push-pulls", f"{streams_s:.0f}", ""),
        ("suspicions heard of per member per minute, at rest", f"{accused / members / minutes:.2f}", "0 without loss"),
        (
            "crash to first suspicion, s",
            seconds(crash.first_suspected_s for crash in found),
            f"{math.e / (math.e - 1) * LAN.probe_interval_s:.2f}: SWIM, e / (e - 1) intervals",
        ),
        (
            "first suspicion to first verdict, s",
            seconds(crash.first_failed_s - crash.first_suspected_s for crash in found),
            f"{minimum:.2f} to {minimum * LAN.suspicion_max_timeout_mult:.2f}: Lifeguard, with and without confirmations",
        ),
        ("crash to full knowledge, s", seconds(crash.all_know_s for crash in found), ""),
        (
            "first suspicion to everyone's, s",
            seconds(crash.suspicion_spread_s for crash in found),
            f"{spreading_s(members):.2f}: push gossip",
        ),
        (
            "packets per member for one crash",
            f"{extra:.1f}",
            f"at most {limit * LAN.suspicion_mult}: {limit} times (λ⌈log(n + 1)⌉) the suspicion, its confirmations, the verdict",
        ),
        ("living members declared failed, sum over all who did", str(wrong), "0"),
    )
    print(
        f"\n{crashes} crashes: median (range). {simulation.now - 1000:.0f} s simulated in {time.perf_counter() - began:.0f} s.", flush=True
    )
    gc.unfreeze()
    detect, verdict = math.e / (math.e - 1) * LAN.probe_interval_s, minimum
    spread = spreading_s(members)
    return [
        _row("packets per member per second, at rest", "1/s", members, [packets_s], expected_packets_s(loss)),
        _row("bytes per member per second, at rest", "B/s", members, [datagrams_s + streams_s], None),
        _row("crash to first suspicion", "s", members, [each.first_suspected_s for each in found], detect),
        _row("first suspicion to everyone's", "s", members, [each.suspicion_spread_s for each in found], spread),
        _row("crash to full knowledge", "s", members, [each.all_know_s for each in found], detect + verdict + spread),
        _row("living members declared failed", "", members, [float(wrong)], None, 0.0),
    ]


def _row(name: str, unit: str, members: int, measured: Sequence[float], formula: float | None, limit: float | None = None) -> Row:
    expected = [] if formula is None else [formula]
    ours = list(measured)
    return Row(name=name, unit=unit, ours=ours, peers=expected, peer="formula", more_is_better=False, at=members, limit=limit)


def table(*rows: Sequence[str]) -> None:
    for number, row in enumerate(rows):
        print("|", " | ".join(row), "|")
        if number == 0:
            print("|", " | ".join(["---"] * len(row)), "|")


def measure_lifeguard(members: int, blocked: int, runs: int, seed: int) -> None:
    print(f"\n### Lifeguard's experiment: {members} members, {blocked} blocked in turns for 2 minutes, seeds {seed} to {seed + runs - 1}\n")
    rows = [
        ("blocked for, free for", "parts at work", "false positives", "at healthy members", "of SWIM's", "packets per member per second")
    ]
    for blocked_s, free_s in ((8.192, 1.024), (16.384, 1.024), (32.768, 4.096)):
        anomaly = lifeguard.Anomaly(members, blocked, blocked_s, free_s)
        swim = 0
        for parts in lifeguard.ALL_PARTS:
            with redirect_stdout(StringIO()):
                outcomes = [lifeguard.run(anomaly, parts, seed + number) for number in range(runs)]
            wrong = sum(outcome.false_positives for outcome in outcomes)
            healthy = sum(outcome.at_healthy for outcome in outcomes)
            swim = wrong if parts == lifeguard.SWIM else swim
            load = statistics.mean(outcome.packets_per_member_s for outcome in outcomes)
            ratio = f"{wrong / swim:.2%}" if swim else ""
            rows.append((f"{blocked_s:g} s, {free_s:g} s", parts.name, str(wrong), str(healthy), ratio, f"{load:.1f}"))
    table(*rows)
    print("\nThe paper: less than a fiftieth of SWIM's false positives, over all that it tried.", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-members", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("-loss", type=float, default=0.0, help="share of all datagrams that get lost")
    parser.add_argument("-minutes", type=float, default=1.0, help="at rest, simulated")
    parser.add_argument("-crashes", type=int, default=5)
    parser.add_argument("-seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("-lifeguard", type=int, nargs=3, metavar=("MEMBERS", "BLOCKED", "RUNS"), default=[128, 16, 1])
    parser.add_argument("-no-lifeguard", action="store_true")
    rows.add_option(parser)
    options = parser.parse_args()
    found: list[Row] = []
    print(f"seed {options.seed}")
    for members in options.members:
        found += measure(members, options.loss, options.minutes, options.crashes, options.seed)
        rows.write(options.json, found)  # a large one after it may be given up
    if not options.no_lifeguard:
        members, blocked, runs = options.lifeguard
        measure_lifeguard(members, blocked, runs, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
