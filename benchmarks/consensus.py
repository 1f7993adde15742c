"""The replicated log beside etcd: proposals a second and their latency, reads, failover, restart, and an empty server that catches up.

Servers run as processes of their own on 127.0.0.1 and keep their logs below a temporary folder; proposals of 256 bytes come from another
process over gRPC to the leader. Samples of the two alternate. Where the machine is busy with other things, the figure to look at is the
processor time that the servers spend on one proposal: it hardly depends on who else is there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import consensus_skeleton
import etcd
import psutil
import rows
import uvloop
from consensus_load import LIMIT_S, SIZE, Measured, Servers, summarised
from consensus_skeleton import Skeleton
from etcd import Etcd
from rows import Row

from rostra.clients.consensus import ConsensusClient, Entries, Proposal, RaftMember, SnapshotStart
from rostra.errors import RostraError
from rostra.model.consistency import Consistency
from rostra.model.identity import Identity
from rostra.rpc.channels import connect

LOADS = ((1, 1), (32, 4), (256, 8))
"""In flight, and over how many streams."""
OF_THE_SKELETON = {32: 10_000 / 38_000, 256: 40_000 / 171_000}
"""The part wanted of what a bare skeleton does with so many in flight: what we want a second, and what the skeleton did where that was
decided. Unlike the absolute figures it means the same on any machine."""
LIMITS = {(3, 32): 10_000.0, (3, 256): 40_000.0}
"""Proposals a second wanted of so many servers with so many in flight."""
FAILOVER_S, AS_GOOD_AS_ETCD = 1.5, 1.0
SNAPSHOT_BYTES = 100 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
LOG_ENTRIES = 100_000
Kind = Callable[[Path, int], Servers]
IDENTITY = Identity("benchmark", "benchmark", "dc1", "127.0.0.1", "127.0.0.1", server=False)


class Rostra(Servers):
    """Servers of one cluster. ``voters``: those that start it; the others know of them and wait to be taken in."""

    name = "rostra"

    def __init__(self, folder: Path, count: int, *, voters: int = 0) -> None:
        super().__init__(count)
        self.folder = folder
        self._voters = voters or count
        for number in range(self._voters):
            self.start(number)

    def start(self, number: int) -> None:
        script = str(Path(__file__).with_name("consensus_server.py"))
        expect = str(self._voters if number < self._voters else 0)
        command = [sys.executable, script, str(number + 1), str(self.folder / f"n{number + 1}"), expect, *self.addresses]
        self.processes[number] = subprocess.Popen(command)

    def leader(self, *, other_than: int | None = None) -> int:
        return asyncio.run(self._leader(other_than))

    async def _leader(self, other_than: int | None = None) -> int:
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            for number, address in enumerate(self.addresses):
                if number == other_than:
                    continue
                with contextlib.suppress(RostraError):
                    async with connect(address) as channel:
                        if (await ConsensusClient(channel).get_status(0.5)).leadership.is_leader:
                            return number
            await asyncio.sleep(0.005)
        raise SystemExit("no server became leader")


async def propose(address: str, in_flight: int, streams: int, seconds: float) -> Measured:
    """Keeps so many proposals in flight: each stream sends as many new ones as were answered, in one batch."""
    data = os.urandom(SIZE)
    latencies: list[float] = []
    async with connect(address) as channel:
        client = ConsensusClient(channel, IDENTITY)
        end = time.perf_counter() + seconds

        async def one_stream(window: int) -> None:
            sent: dict[int, float] = {}
            number = 0
            async with client.propose() as stream:
                due = window
                while (now := time.perf_counter()) < end:
                    batch = [Proposal(number + each, data, 7.0) for each in range(due)]
                    for each in batch:
                        sent[each.sequence] = now
                    number += due
                    await stream.send(batch)
                    results = await stream.receive()
                    now = time.perf_counter()
                    for result in results:
                        if result.error is not None:
                            raise result.error
                        latencies.append(now - sent.pop(result.sequence))
                    due = len(results)

        await asyncio.gather(*(one_stream(in_flight // streams) for _ in range(streams)))
    return summarised(latencies, seconds)


async def read(address: str, readers: int, consistent: bool, seconds: float) -> Measured:
    """So many readers behind one stream, as a catalog has them: a round serves all that wait when it is sent."""
    consistency = Consistency.CONSISTENT if consistent else Consistency.DEFAULT
    latencies: list[float] = []
    async with connect(address) as channel, ConsensusClient(channel, IDENTITY).read_index() as stream:
        end = time.perf_counter() + seconds
        number = 0
        while (began := time.perf_counter()) < end:
            number += 1
            await stream.send(number, consistency, 7.0)
            result = await stream.receive()
            if result.error is not None:
                raise result.error
            latencies += [time.perf_counter() - began] * readers
    return summarised(latencies, seconds)


async def propose_until_done(addresses: list[str]) -> float:
    """The moment (CLOCK_MONOTONIC) of the first proposal that any of the servers acknowledges."""
    while True:
        for address in addresses:
            with contextlib.suppress(RostraError, TimeoutError):
                async with connect(address) as channel, asyncio.timeout(0.5), ConsensusClient(channel, IDENTITY).propose() as stream:
                    await stream.send([Proposal(1, b"x" * SIZE, 0.5)])
                    if (await stream.receive())[0].error is None:
                        return time.monotonic()
            await asyncio.sleep(0.005)


async def give_snapshot(address: str, size: int) -> int:
    """As the state machine of that server: hands over a snapshot of so many bytes; the index that it covers."""
    async with connect(address) as channel:
        client = ConsensusClient(channel, IDENTITY)
        status = await client.get_status()
        async with client.attach(primary=True) as stream:
            applied = term = 0
            while applied < status.leadership.commit_index:
                match await stream.receive():
                    case Entries() as delivered:
                        applied, term = delivered.entries[-1].index, delivered.entries[-1].term
                        await stream.report_applied(applied)
                    case _:
                        pass
            await stream.send_snapshot_start(SnapshotStart(status.cluster_id, applied, term))
            piece = os.urandom(CHUNK_BYTES)
            for offset in range(0, size, CHUNK_BYTES):
                await stream.send_snapshot_data(offset, piece, last=offset + CHUNK_BYTES >= size)
            while int((await client.get_status()).stats["last_snapshot_index"]) < applied:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            return applied


async def catch_up(leader: str, late: str, name: str) -> float:
    """Adds an empty server; seconds until it has everything."""
    async with connect(leader) as channel, connect(late) as late_channel:
        client, newcomer = ConsensusClient(channel, IDENTITY), ConsensusClient(late_channel, IDENTITY)
        wanted = (await client.get_status()).leadership.commit_index
        while True:
            with contextlib.suppress(RostraError):
                store = (await newcomer.get_status(1.0)).store_id
                break
        began = time.monotonic()
        await client.add_learner(RaftMember(name, store, name, late, False))
        while (await newcomer.get_status()).leadership.commit_index < wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return time.monotonic() - began


def apart(work: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
    """Runs a client in a process of its own, so that nothing of this one is measured."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_run, (work, arguments))


def _run(work: Callable[..., Coroutine[Any, Any, Any]], arguments: Sequence[Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work(*arguments))


def processor_s(cluster: Servers) -> float:
    """What the servers have used so far."""
    times = [psutil.Process(process.pid).cpu_times() for process in cluster.processes if process is not None and process.poll() is None]
    return sum(each.user + each.system for each in times)


@contextmanager
def clusters(kinds: Sequence[Kind], count: int) -> Iterator[list[Servers]]:
    with tempfile.TemporaryDirectory() as folder:
        made: list[Servers] = []
        try:
            for number, kind in enumerate(kinds):
                made.append(kind(Path(folder) / str(number), count))
            yield made
        finally:
            for cluster in made:
                cluster.stop()


def sample(cluster: Servers, work: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> tuple[Measured, float]:
    """A measurement at the leader, and the servers' processor time in microseconds for each proposal or read."""
    address = cluster.addresses[cluster.leader()]
    before = processor_s(cluster)
    measured: Measured = apart(work, address, *arguments)
    return measured, (processor_s(cluster) - before) / max(measured.count, 1) * 1e6


PROPOSE = {Rostra.name: propose, Etcd.name: etcd.put, Skeleton.name: consensus_skeleton.propose}


def measure_load(kinds: Sequence[Kind], count: int, rounds: int, seconds: float, loads: Sequence[tuple[int, int]]) -> Iterator[Row]:
    with clusters([*kinds, Skeleton] if count > 1 else kinds, count) as made:
        for in_flight, streams in loads:
            found: dict[str, list[tuple[Measured, float]]] = {}
            for _ in range(rounds):
                for cluster in made:
                    found.setdefault(cluster.name, []).append(sample(cluster, PROPOSE[cluster.name], in_flight, streams, seconds))
            wanted = AS_GOOD_AS_ETCD if (count, in_flight) == (3, 1) else None
            what = f"{count} servers, {in_flight} in flight"
            yield from report(what, found, "proposals/s", wanted, LIMITS.get((count, in_flight)))
            if Skeleton.name in found:
                ours, bare = ([each.per_second for each, _ in found[name]] for name in (Rostra.name, Skeleton.name))
                part = OF_THE_SKELETON.get(in_flight)
                yield Row(name=f"{what}: of a bare skeleton", unit="proposals/s", ours=ours, peers=bare, peer="skeleton", wanted=part)


def measure_reads(kinds: Sequence[Kind], rounds: int, seconds: float) -> Iterator[Row]:
    with clusters(kinds, 3) as made:
        for consistent in (False, True):
            found: dict[str, list[tuple[Measured, float]]] = {}
            for _ in range(rounds):
                for cluster in made:
                    work = read if isinstance(cluster, Rostra) else etcd.read
                    found.setdefault(cluster.name, []).append(sample(cluster, work, 32, consistent, seconds))
            yield from report(f"read index by {'quorum' if consistent else 'lease'} (etcd: quorum), 32 readers", found, "reads/s")


def report(
    what: str, found: dict[str, list[tuple[Measured, float]]], unit: str, wanted: float | None = None, limit: float | None = None
) -> Iterator[Row]:
    rates: dict[str, float] = {}
    for name, samples in found.items():
        each = ", ".join(f"{measured.per_second:.0f}" for measured, _ in samples)
        rates[name] = statistics.median(measured.per_second for measured, _ in samples)
        middle = statistics.median(measured.median_ms for measured, _ in samples)
        p99 = statistics.median(measured.p99_ms for measured, _ in samples)
        cost = statistics.median(cost for _, cost in samples)
        print(f"{what}: {name:6} {rates[name]:8.0f}/s ({each})  median {middle:.2f} ms  p99 {p99:.2f} ms  {cost:.0f} us of processor each")
    for name in rates.keys() - {Rostra.name}:
        print(f"{what}: {Rostra.name} / {name} = {rates[Rostra.name] / rates[name]:.2f}", flush=True)
    per_second = {name: [measured.per_second for measured, _ in samples] for name, samples in found.items()}
    yield _row(what, unit, per_second, wanted, limit, more_is_better=True)
    late = {name: [measured.p99_ms for measured, _ in samples] for name, samples in found.items()}
    yield _row(f"{what}: p99", "ms", late)


def _row(
    name: str,
    unit: str,
    found: dict[str, list[float]],
    wanted: float | None = None,
    limit: float | None = None,
    *,
    more_is_better: bool = False,
) -> Row:
    ours, theirs = found.get(Rostra.name, []), found.get(Etcd.name, [])
    return Row(name=name, unit=unit, ours=ours, peers=theirs, peer="etcd", more_is_better=more_is_better, wanted=wanted, limit=limit)


def measure_failover(kinds: Sequence[Kind], rounds: int) -> Iterator[Row]:
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for kind in kinds:
            with clusters([kind], 3) as (cluster,):
                first = cluster.leader()
                addresses = [address for number, address in enumerate(cluster.addresses) if number != first]
                work = propose_until_done if isinstance(cluster, Rostra) else etcd.put_until_done
                apart(work, [cluster.addresses[first]])
                with get_context("spawn").Pool(1) as pool:
                    pool.apply(time.monotonic)  # the client is there before the leader dies
                    died = time.monotonic()
                    cluster.kill(first)
                    found.setdefault(cluster.name, []).append(pool.apply(_run, (work, [addresses])) - died)
    for name, times in found.items():
        print(f"leader's kill -9 to the next acknowledged write: {name:6} " + ", ".join(f"{each:.2f} s" for each in times), flush=True)
    yield _row("leader's kill -9 to the next acknowledged write", "s", found, limit=FAILOVER_S)


def measure_restart(kinds: Sequence[Kind]) -> Iterator[Row]:
    found: dict[str, list[float]] = {}
    for kind in kinds:
        with clusters([kind], 1) as (cluster,):
            work = propose if isinstance(cluster, Rostra) else etcd.put
            written = 0
            while written < LOG_ENTRIES:
                written += apart(work, cluster.addresses[cluster.leader()], 256, 8, 5.0).count
            cluster.kill(0)
            began = time.monotonic()
            cluster.start(0)
            until = propose_until_done if isinstance(cluster, Rostra) else etcd.put_until_done
            took = apart(until, cluster.addresses) - began
            print(f"restart with a log of {written} entries to the first acknowledged write: {cluster.name:6} {took:.2f} s", flush=True)
            found[cluster.name] = [took]
    yield _row(f"restart with a log of {LOG_ENTRIES:,} entries or more", "s", found)


def measure_catch_up() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        cluster = Rostra(Path(folder), 4, voters=3)
        try:
            leader = cluster.addresses[cluster.leader()]
            apart(propose, leader, 32, 4, 1.0)
            apart(give_snapshot, leader, SNAPSHOT_BYTES)
            cluster.start(3)
            took = apart(catch_up, leader, cluster.addresses[3], "n4")
            print(f"an empty server catches up with a snapshot of {SNAPSHOT_BYTES >> 20} MB: {took:.2f} s", flush=True)
            yield _row(f"an empty server catches up with {SNAPSHOT_BYTES >> 20} MB", "s", {Rostra.name: [took]})
        finally:
            cluster.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-seconds", type=float, default=3.0, help="length of each sample")
    parser.add_argument("-rounds", type=int, default=3, help="samples of each")
    parser.add_argument("-only", choices=("load", "reads", "failover", "restart", "catch-up"), help="one of the measurements")
    parser.add_argument("-servers", type=int, choices=(1, 3), help="load: only this many")
    parser.add_argument("-alone", action="store_true", help="without etcd")
    rows.add_option(parser)
    options = parser.parse_args()
    found: list[Row] = []
    kinds: list[Kind] = [Rostra]
    if Etcd.is_here() and not options.alone:
        kinds.append(Etcd)
    if options.only in (None, "load"):
        for count in (1, 3):
            if options.servers in (None, count):
                found += measure_load(kinds, count, options.rounds, options.seconds, LOADS)
    if options.only in (None, "reads"):
        found += measure_reads(kinds, options.rounds, options.seconds)
    if options.only in (None, "failover"):
        found += measure_failover(kinds, options.rounds)
    if options.only in (None, "restart"):
        found += measure_restart(kinds)
    if options.only in (None, "catch-up"):
        found += measure_catch_up()
    rows.write(options.json, found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
