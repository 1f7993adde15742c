"""A disk that loses power: the writes and syncs that a process made of one file, as ``strace`` saw them, and what a cut leaves of them.

On disk for good is what was followed by an fdatasync, and what went through a descriptor opened with O_DSYNC. Of anything else a cut
keeps any part, in sectors, in any combination.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

SECTOR = 512
CALLS = "openat,pwrite64,pwritev,writev,write,lseek,fdatasync,fsync"


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes at a place of the file. ``durable``: on disk when the call returned."""

    offset: int
    data: bytes
    durable: bool


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything written before is on disk."""


@dataclass(frozen=True, slots=True)
class Said:
    """The process told that something was done: a number, on standard output."""

    number: int


Step = Written | Synced | Said


def record(command: Sequence[str], file: Path, trace: Path) -> list[Step]:
    """Runs the command to its end under strace."""
    subprocess.run(["strace", "-qq", "-xx", "-s", "100000000", "-e", f"trace={CALLS}", "-o", trace, *command], check=True, timeout=100)
    return list(_steps(trace.read_text(), file))


def _steps(trace: str, file: Path) -> Iterator[Step]:
    descriptors: dict[int, bool] = {}  # those of the file, and whether they were opened with O_DSYNC
    positions: dict[int, int] = {}
    for line in trace.splitlines():
        call, _, rest = line.partition("(")
        result = int(match[1]) if (match := re.search(r"\) += (-?\d+)", line)) else -1
        if result < 0:
            continue
        strings = [bytes.fromhex(each.replace("\\x", "")) for each in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', rest)]
        numbers = re.sub(r'"[^"]*"', "", rest).split(")")[0].split(",")
        if call == "openat":
            descriptors.pop(result, None)
            if strings and strings[0] == bytes(file):
                descriptors[result] = "O_DSYNC" in rest
            continue
        descriptor = int(numbers[0])
        if call == "write" and descriptor == 1 and strings[0].startswith(b"done "):
            yield Said(int(strings[0].split()[1]))
        if descriptor not in descriptors:
            continue
        match call:
            case "lseek":
                positions[descriptor] = result
            case "fdatasync" | "fsync":
                yield Synced()
            case "pwrite64" | "pwritev":
                yield Written(int(numbers[-1]), b"".join(strings), descriptors[descriptor])
            case "write" | "writev":
                yield Written(positions[descriptor], b"".join(strings), descriptors[descriptor])


def without_syncs(steps: Sequence[Step]) -> list[Step]:
    """The same process, had it never waited for the disk."""
    return [
        Written(step.offset, step.data, durable=False) if isinstance(step, Written) else step
        for step in steps
        if not isinstance(step, Synced)
    ]


def cut(steps: Sequence[Step], rng: Random) -> bytes:
    """What is in the file after a cut of power at the end of these steps."""
    disk = bytearray()
    pending: list[Written] = []
    for step in steps:
        match step:
            case Synced():
                for each in pending:
                    _put(disk, each.offset, each.data)
                pending.clear()
            case Written(durable=True):
                _put(disk, step.offset, step.data)
            case Written():
                pending.append(step)
    share = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    for each in pending:
        for start in range(0, len(each.data), SECTOR):
            if rng.random() < share:
                _put(disk, each.offset + start, each.data[start : start + SECTOR])
    return bytes(disk)


def _put(disk: bytearray, offset: int, data: bytes) -> None:
    if len(disk) < offset:
        disk.extend(bytes(offset - len(disk)))
    disk[offset : offset + len(data)] = data
