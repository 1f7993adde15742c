"""Clients that write and read through every server while servers die, and what they may expect afterwards.

Each write has a name of its own, so that its place in the log tells everything: it must be there if it was acknowledged, once, and
a read that began after it (or after another read that saw it) must not see an older one.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final

import httpx

from rostra.v1 import command_pb2

from .servers import Log, Server

CALL_LIMIT_S: Final = 3.0
COUNTER: Final = "counter"
MODES: Final = ("", "?consistent")


@dataclass(frozen=True, slots=True)
class Seen:
    """A value of the counter that was certain at ``end`` by a call that began at ``start``."""

    start: float
    end: float
    value: str
    how: str


@dataclass
class Record:
    """What clients know. ``failed`` are writes whose fate is not known, or that were refused."""

    acknowledged: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    reads: list[Seen] = field(default_factory=list)
    counted: list[Seen] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Load:
    """Writers of nodes, one writer of the counter, and readers of it, from entering to leaving."""

    def __init__(self, servers: Sequence[Server], seed: int, *, writers: int = 2, readers: int = 2, pause_s: float = 0.002) -> None:
        self.record = Record()
        self._servers = servers
        self._seed = seed
        self._pause_s = pause_s
        self._stop = threading.Event()
        work = [self._count] + [self._write] * writers + [self._read] * readers
        self._threads = [threading.Thread(target=self._run, args=(each, number), daemon=True) for number, each in enumerate(work)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30.0)
        if error is None:
            assert self.record.problems == []

    def is_worth_the_name(self, count: float) -> bool:
        """Whether so many calls of each sort were answered."""
        return min(len(self.record.acknowledged), len(self.record.counted), len(self.record.reads)) > count

    def _run(self, work: Callable[[httpx.Client, Server, str], None], number: int) -> None:
        rng = random.Random(f"{self._seed}/{number}")
        with httpx.Client(timeout=CALL_LIMIT_S, trust_env=False) as client:
            turn = 0
            while not self._stop.is_set():
                turn += 1
                try:
                    work(client, rng.choice(self._servers), f"{number}-{turn}")
                except httpx.HTTPError:
                    self._stop.wait(0.02)  # refused, or no answer: both are to be expected of a server that is killed
                self._stop.wait(self._pause_s)

    def _write(self, client: httpx.Client, server: Server, name: str) -> None:
        self._register(client, server, f"w-{name}", {})

    def _count(self, client: httpx.Client, server: Server, name: str) -> None:
        start = time.monotonic()
        if self._register(client, server, COUNTER, {"value": name}):
            self.record.counted.append(Seen(start, time.monotonic(), name, f"write by {server.name}"))

    def _register(self, client: httpx.Client, server: Server, node: str, meta: Mapping[str, str]) -> bool:
        what = meta.get("value", node)
        self.record.failed.append(what)
        body = {"Node": node, "Address": "127.0.0.1", "NodeMeta": meta}
        answer = client.put(f"http://{server.http}/v1/catalog/register", json=body)
        if answer.status_code != 200:
            if answer.status_code < 500 or not answer.text.strip():
                self.record.problems.append(f"{server.name}: {answer.status_code} {answer.text!r} is no clear error")
            return False
        self.record.failed.remove(what)
        self.record.acknowledged.append(what)
        return True

    def _read(self, client: httpx.Client, server: Server, name: str) -> None:
        mode = MODES[int(name.rpartition("-")[2]) % len(MODES)]
        start = time.monotonic()
        answer = client.get(f"http://{server.http}/v1/catalog/node/{COUNTER}{mode}")
        if answer.status_code == 200 and answer.json() is not None:
            value = answer.json()["Node"]["Meta"]["value"]
            self.record.reads.append(Seen(start, time.monotonic(), value, f"read by {server.name} {mode or 'default'}"))


def places(log: Log) -> dict[str, int]:
    """Where each named write took effect: a command that is there twice (a hop tried again) had its effect the first time."""
    found: dict[str, int] = {}
    requests: set[bytes] = set()
    for entry in log.entries:
        if not entry.data:
            continue
        command = command_pb2.Command.FromString(entry.data)
        if command.WhichOneof("kind") != "register" or command.request_id in requests:
            continue
        requests.add(command.request_id)
        node = command.register.node
        if node.name != COUNTER and not node.name.startswith("w-"):
            continue
        name = node.meta.get("value", node.name)
        assert name not in found, f"{name} was done twice, at {found[name]} and {entry.index}"
        found[name] = entry.index
    return found


def check_reads(record: Record, place: Mapping[str, int]) -> None:
    """No call sees less than what was certain before it began."""
    calls = sorted([*record.reads, *record.counted], key=lambda seen: seen.start)
    ended = sorted(calls, key=lambda seen: seen.end)
    certain, newest = 0, ended[0]
    position = 0
    for call in calls:
        while ended[position].end < call.start:
            before = ended[position]
            if place[before.value] > certain:
                certain, newest = place[before.value], before
            position += 1
        if call.how.startswith("read"):
            assert place[call.value] >= certain, f"{call} goes back behind {newest}"
