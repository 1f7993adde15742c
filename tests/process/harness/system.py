"""What the system knows of a process: where it listens, what it writes to, whom it started."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

LISTEN = "0A"
_FAMILY = {1: socket.AF_INET, 4: socket.AF_INET6}
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """A socket to which anyone may talk. ``protocol`` is tcp or udp."""

    protocol: str
    address: str
    port: int


def listeners(pid: int) -> set[Listener]:
    """Every TCP socket on which the process listens, and every UDP socket that is open to all."""
    inodes = {target[8:-1] for target in _open_files(pid).values() if target.startswith("socket:[")}
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            local, remote, state, inode = (line.split()[index] for index in (1, 2, 3, 9))
            is_open = state == LISTEN if table.startswith("tcp") else int(remote.rpartition(":")[2], 16) == 0
            if inode in inodes and is_open:
                address, port = _decoded(local)
                found.add(Listener(table.removesuffix("6"), address, port))
    return found


def written_files(pid: int) -> list[str]:
    """Regular files that the process has open for writing, deleted ones and those in memory included."""
    found = []
    for number, target in _open_files(pid).items():
        try:
            info = Path(f"/proc/{pid}/fdinfo/{number}").read_text()
        except FileNotFoundError:
            continue  # closed meanwhile
        flags = re.search(r"^flags:\s*(\d+)", info, re.MULTILINE)
        if flags and int(flags[1], 8) & WRITE_FLAGS and target.startswith("/") and not target.startswith("/dev/"):
            found.append(target)
    return found


def children(pid: int) -> list[int]:
    """Processes that it has started and that still run."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile
            found += map(int, (task / "children").read_text().split())
    return found


def has_ended(pid: int) -> bool:
    """Whether a process runs no more; who should have taken note of its end may not have done so yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def files_below(folder: Path) -> set[str]:
    """Every file and folder below ``folder``."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


Ends: TypeAlias = tuple[tuple[str, int], tuple[str, int]]
"""Of a connection, as its owner has them: local and remote."""

_PLAIN, _MAPPED = 8, 32
"""Hexadecimal digits of an IPv4 address, and of one on an IPv6 socket."""


def owners_of_connections(among: Iterable[int], wanted: Collection[Ends]) -> dict[Ends, int]:
    """Which of these processes has each of these IPv4 connections; one that none has is left out. A look at every socket of the machine,
    however many are wanted."""
    by_text = {f"{_encoded(*local)} {_encoded(*remote)}": (local, remote) for local, remote in wanted}
    by_inode: dict[str, Ends] = {}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            row = line.split(None, 10)
            ends = by_text.get(f"{_without_mapping(row[1])} {_without_mapping(row[2])}")
            if ends is not None:
                by_inode[f"socket:[{row[9]}]"] = ends
    found: dict[Ends, int] = {}
    for pid in among:
        with contextlib.suppress(OSError):  # gone meanwhile
            found |= {by_inode[target]: pid for target in _open_files(pid).values() if target in by_inode}
    return found


def _without_mapping(text: str) -> str:
    return text[_MAPPED - _PLAIN :] if len(text) > _MAPPED else text


def _encoded(host: str, port: int) -> str:
    (word,) = struct.unpack("=I", socket.inet_aton(host))
    return f"{word:08X}:{port:04X}"


def _open_files(pid: int) -> dict[str, str]:
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[name] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue  # closed meanwhile
    return found


def _decoded(text: str) -> tuple[str, int]:
    """The kernel writes an address as 32-bit words in the machine's own order."""
    host, _, port = text.partition(":")
    words = [int(host[start : start + 8], 16) for start in range(0, len(host), 8)]
    address = ipaddress.ip_address(socket.inet_ntop(_FAMILY[len(words)], struct.pack(f"={len(words)}I", *words)))
    mapped = getattr(address, "ipv4_mapped", None)  # an IPv6 socket on an IPv4 address
    return str(mapped or address), int(port, 16)
