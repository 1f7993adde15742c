"""One member of a large pool, beside Serf's agent in its place.

First what one core handles: packets per second of CPU, by kind. Then one real member in a process of its own, whose pool of 1,000 are
simulated peers on real UDP and TCP of the loopback interface: CPU and memory at rest, while members change, and when it is flooded with
pings. Last, how long the event loop of a member stands still while it takes in a push-pull of 10,000.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import random
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import rows
from gossip_peers import Peers
from rows import Row

from rostra.gossip.address import Address
from rostra.gossip.coordinates import encode_coordinate
from rostra.gossip.core import Core, CoreConfig
from rostra.gossip.keyring import Keyring
from rostra.gossip.pool import Pool, PoolConfig
from rostra.gossip.timing import LAN
from rostra.gossip.versions import OURS
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.messages import Ack, Alive, Ping, RowState, Suspect, encode_message
from rostra.gossip.wire.packets import compress_message, encode_packet
from rostra.gossip.wire.tags import encode_tags
from rostra.model.coordinates import Coordinate

TARGET = "127.19.0.1"
STARTED_WITHIN_S = 20.0
TOLD_WITHIN_S = 300.0
REST_PACKETS_S = 5.0
KEY = bytes(range(32))
TAGS = {"role": "node", "dc": "dc1", "id": "0d6c6d4e-9a49-4f3f-8c8a-0d6c6d4e9a49", "vsn": "2", "build": "1.0.0"}


# What one core handles


def core(members: int, keys: Sequence[bytes] = ()) -> tuple[Core, Envelope]:
    envelope = Envelope(entropy=os.urandom, keyring=Keyring(keys) if keys else None)
    made = Core(CoreConfig("target", Address(bytes((10, 0, 0, 1)), 7946), TAGS, LAN), envelope, random.Random(1), 0.0)
    for number in range(members):
        made.receive_packet(envelope.seal_packet(encode_message(alive(number))), made.config.address, 0.0)
    for queue in made.broadcast_queues():
        queue.clear()
    made.take()
    return made, envelope


def alive(number: int, incarnation: int = 1) -> Alive:
    ip = bytes((10, 1, number >> 8, number & 255))
    return Alive(incarnation=incarnation, node=f"peer-{number}", ip=ip, port=7946, meta=encode_tags(TAGS), versions=bytes(OURS))


def packet_kinds(members: int) -> Iterator[tuple[str, Sequence[bytes], Callable[[int], bytes]]]:
    """Name, keys of the pool, and the packet number so-and-so."""

    def ping(number: int) -> bytes:
        source = f"peer-{number % members}"
        return encode_message(Ping(sequence=number, node="target", source_ip=bytes((10, 1, 0, 1)), source_port=7946, source_node=source))

    def old_news(number: int) -> list[bytes]:
        return [encode_message(alive((number + part) % members)) for part in range(9)]

    def suspect(number: int) -> bytes:
        return encode_message(Suspect(incarnation=0, node=f"peer-{number % members}", accuser="peer-1"))

    coordinate = encode_coordinate(Coordinate())
    yield "ping, answered", (), ping
    yield "ping with checksum, encrypted, answered", (KEY,), lambda number: encode_packet([ping(number)], compress=False, checksum=True)
    yield "ack with coordinate", (), lambda number: encode_message(Ack(sequence=number, payload=coordinate))
    yield "stale suspicion", (), suspect
    yield "9 alive messages known already, one packet", (), lambda number: encode_packet(old_news(number), compress=False, checksum=True)
    yield "the same, compressed", (), lambda number: compress_message(encode_packet(old_news(number), compress=False, checksum=False))
    yield "news of a member, passed on", (), lambda number: encode_message(alive(number % members, 2 + number // members))


def measure_core(members: int, seconds: float) -> None:
    print(f"\n### One core that knows {members} members\n")
    print("| packet | packets per second of CPU | microseconds each |\n| --- | --- | --- |")
    for name, keys, make in packet_kinds(members):
        one, envelope = core(members, keys)
        packets = [envelope.seal_packet(make(number)) for number in range(2000)]
        source, handled, spent = Address(bytes((10, 1, 0, 1)), 7946), 0, 0.0
        while spent < seconds:
            began = time.process_time()
            for number, data in enumerate(packets):
                one.receive_packet(data, source, handled * 1e-6)
                if number % 100 == 0:
                    one.take()
            spent += time.process_time() - began
            handled += len(packets)
            if name.startswith("news"):  # each is news only once
                packets = [make(number + handled) for number in range(2000)]
        assert not one.refused, one.refused
        print(f"| {name} | {handled / spent:,.0f} | {spent / handled * 1e6:.1f} |", flush=True)


# One real member


def rostra_command(port: int, folder: str) -> list[str]:
    """The role gossip, alone."""
    program = [str(Path(sys.executable).with_name("rostra"))]
    if not Path(program[0]).exists():
        program = [sys.executable, "-c", "import sys; from rostra.cli.main import main; sys.exit(main())"]
    return [*program, "gossip", "-node", "target", "-bind", TARGET, "-serf-lan-port", str(port), "-data-dir", folder, "-log-level", "warn"]


def serf_command(program: str, port: int) -> list[str]:
    return [
        program,
        "agent",
        "-node=target",
        f"-bind={TARGET}:{port}",
        f"-rpc-addr={TARGET}:{free_port()}",
        "-profile=lan",
        "-log-level=err",
    ]


def free_port() -> int:
    with socket.socket() as each:
        each.bind((TARGET, 0))
        return int(each.getsockname()[1])


@contextmanager
def running(command: Sequence[str], port: int, *, talks: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Starts the command, waits until it takes streams on the port, and ends it. ``talks``: what it prints is read."""
    output = subprocess.PIPE if talks else subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.DEVNULL, text=True)
    try:
        began = time.monotonic()
        while True:
            try:
                socket.create_connection((TARGET, port), 1).close()
                break
            except OSError:
                if time.monotonic() - began > STARTED_WITHIN_S or process.poll() is not None:
                    raise SystemExit(f"it does not listen: {' '.join(command)}") from None
                time.sleep(0.02)
        yield process
    finally:
        process.kill()  # its peers go too: nobody is left to say goodbye to
        process.wait()


def cpu_s(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))


def mebibytes(process: psutil.Process) -> float:
    return float(process.memory_full_info().pss) / 2**20


def living(peers: Peers) -> int:
    return sum(row.state is RowState.ALIVE for row in peers.exchange())


def until(condition: Callable[[], bool], at_most_s: float, what: str) -> None:
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > at_most_s:
            raise SystemExit(f"not within {at_most_s:g} s: {what}")
        time.sleep(0.2)


def measure_member(
    command: Callable[[int, str], Sequence[str]], members: int, seconds: float, churn_s: float, seed: int
) -> dict[str, float]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, running(command(port, folder), port) as started:
        process = psutil.Process(started.pid)
        time.sleep(2.0)
        alone = mebibytes(process)
        peers = Peers(members - 1, port, Address.parse(TARGET, port), seed)
        peers.start()
        try:
            before = cpu_s(process)
            peers.introduce()
            until(lambda: living(peers) == members, 30, "it knows all members")
            sample = {"CPU to learn of them, s": cpu_s(process) - before}
            until(lambda: is_at_rest(peers), TOLD_WITHIN_S, "it has told everyone of everyone")
            sample["CPU to tell everyone of everyone, s"] = cpu_s(process) - before
            sample |= at_work(process, peers, "at rest", seconds)
            sample["memory alone (PSS), MiB"] = alone
            sample[f"memory in a pool of {members}, MiB"] = mebibytes(process)
            peers.churn_s = churn_s
            time.sleep(5.0)
            sample |= at_work(process, peers, f"{churn_s:g} changes a second", seconds)
            peers.churn_s = 0.0
            time.sleep(5.0)
            before = cpu_s(process)
            acks, took = peers.flood(min(seconds, 10.0))
            spent = cpu_s(process) - before
            sample |= {"pings answered, per second": acks / took, "CPU per ping answered, microseconds": spent / max(acks, 1) * 1e6}
            sample["accusations of living members"] = float(peers.counters["accusations"])
            time.sleep(10.0)
            sample["members it shows alive at the end"] = float(living(peers))
            return sample
        finally:
            peers.stop()


def is_at_rest(peers: Peers) -> bool:
    """It has no news left to tell: a newcomer passes on whom it meets, each so often that it takes minutes."""
    packets = peers.counters["packets"]
    time.sleep(3.0)
    return peers.counters["packets"] - packets < 3 * REST_PACKETS_S


def at_work(process: psutil.Process, peers: Peers, what: str, seconds: float) -> dict[str, float]:
    before, packets, size, began = cpu_s(process), peers.counters["packets"], peers.counters["bytes"], time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    return {
        f"{what}: CPU, % of a core": (cpu_s(process) - before) / took * 100,
        f"{what}: packets sent, per second": (peers.counters["packets"] - packets) / took,
        f"{what}: bytes sent, per second": (peers.counters["bytes"] - size) / took,
    }


# The loop while a large push-pull comes in


def measure_lag(rows: int, seed: int) -> None:
    print(f"\n### The loop of one member while it learns of {rows} others\n")
    print("| push-pull | longest callback, ms of CPU | longest wait of the loop, ms | CPU in all, ms | members then |")
    print("| --- | --- | --- | --- | --- |")
    for name, key in (("plain", b""), ("encrypted", KEY), ("compressed and encrypted", KEY)):
        port = free_port()
        command = [sys.executable, __file__, "-member", f"{port}", *(["-key", key.hex()] if key else [])]
        envelope = Envelope(entropy=os.urandom, keyring=Keyring([key])) if key else None
        with running(command, port, talks=True) as started:
            peers = Peers(rows, port, Address.parse(TARGET, port), seed, envelope, compress="compressed" in name)
            for again in ("all of it news", "nothing of it news", "its own, asked for"):
                asked = ask(started)
                if again == "its own, asked for":
                    peers.exchange()
                else:
                    peers.introduce()
                    until(lambda: int(ask(started, reset=False)["waiting"]) == 0, 60, "merged")
                answer = ask(started)
                spent = answer["cpu_ms"] - asked["cpu_ms"]
                print(f"| {name}, {again} | {answer['callback_ms']:.1f} | {answer['lag_ms']:.1f} | {spent:.0f} | {answer['members']:.0f} |")
            peers.stop()


def ask(process: subprocess.Popen[str], *, reset: bool = True) -> dict[str, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("reset\n" if reset else "look\n")
    process.stdin.flush()
    answer: dict[str, float] = json.loads(process.stdout.readline())
    return answer


async def be_member(port: int, key: bytes) -> None:
    """A member that measures its own loop, and tells when it is asked on standard input. What one callback costs says how long the loop
    stands still on a machine of our own; how late a timer comes says it on this one, with all else that it does."""
    gc.set_threshold(10_000, 20, 1_000_000)  # as an agent has it
    pool = Pool(PoolConfig("lan", "target", TARGET, port, TAGS, keys=[key] if key else []))
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    worst = {"callback_ms": 0.0, "lag_ms": 0.0}
    run_handle = asyncio.Handle._run

    def run_measured(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run_handle(handle)
        worst["callback_ms"] = max(worst["callback_ms"], (time.thread_time() - began) * 1e3)

    async def measure() -> None:
        while True:
            began = loop.time()
            await asyncio.sleep(0.001)
            worst["lag_ms"] = max(worst["lag_ms"], (loop.time() - began - 0.001) * 1e3)

    asyncio.Handle._run = run_measured  # type: ignore[method-assign, assignment]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.run(), name="pool")
        await pool.ready.wait()
        tasks.create_task(measure(), name="lag")
        while line := await reader.readline():
            numbers = pool._core.stats()
            answer = {**worst, "cpu_ms": time.process_time() * 1e3, "members": numbers["members"], "waiting": numbers["queued_push_pulls"]}
            print(json.dumps(answer), flush=True)
            if line == b"reset\n":
                worst = dict.fromkeys(worst, 0.0)


def _row(what: str, value: float, theirs: float | None, members: int) -> Row:
    name, _, unit = what.rpartition(", ")
    peers = [] if theirs is None else [theirs]
    better = what.startswith("pings answered")
    return Row(
        name=f"pool of {members}: {name or what}", unit=unit if name else "", ours=[value], peers=peers, peer="Serf", more_is_better=better
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-members", type=int, default=1000)
    parser.add_argument("-seconds", type=float, default=20.0, help="how long each state is measured")
    parser.add_argument("-churn", type=float, default=5.0, help="members that change their tags, per second")
    parser.add_argument("-rows", type=int, default=10_000, help="members in the large push-pull")
    parser.add_argument("-seed", type=int, default=1)
    parser.add_argument("-serf", default=shutil.which("serf"), help="program to compare with (default: the one on PATH)")
    parser.add_argument("-only-lag", action="store_true", help="only the large push-pull")
    parser.add_argument("-member", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("-key", default="", help=argparse.SUPPRESS)
    rows.add_option(parser)
    options = parser.parse_args()
    if options.member:
        asyncio.run(be_member(options.member, bytes.fromhex(options.key)))
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * options.members)), hard))
    print(f"Python {platform.python_version()}, {platform.machine()}, {psutil.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if options.only_lag:
        measure_lag(options.rows, options.seed)
        return 0
    measure_core(options.members, 1.0)
    ours = measure_member(rostra_command, options.members, options.seconds, options.churn, options.seed)
    serfs: dict[str, float] = {}
    if options.serf:
        serfs = measure_member(
            lambda port, folder: serf_command(options.serf, port), options.members, options.seconds, options.churn, options.seed
        )
    rows.write(options.json, [_row(what, value, serfs.get(what), options.members) for what, value in ours.items()])
    print(f"\n### One member of a pool of {options.members}, {options.seconds:g} s each\n")
    print("|  | rostra gossip | serf agent | rostra / serf |\n| --- | --- | --- | --- |")
    for what, value in ours.items():
        theirs = serfs.get(what)
        print(f"| {what} | {value:,.2f} | {'' if theirs is None else f'{theirs:,.2f}'} | {f'{value / theirs:.2f}' if theirs else ''} |")
    measure_lag(options.rows, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
