"""What a benchmark ran on, and against which versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from rostra.version import VERSION

PEERS: Final[Mapping[str, Sequence[str]]] = {
    "Consul": ("consul", "version"),
    "Serf": ("serf", "version"),
    "etcd": ("etcd", "--version"),
    "wrk": ("wrk", "-v"),
    "dnsperf": ("dnsperf", "-h"),
}
NUMBER: Final = re.compile(r"\d+\.\d+[\w.+-]*")
LIMIT_S: Final = 10.0
NOT_HERE: Final = "not here"


def describe(path: str) -> dict[str, str]:
    """Title to value, in order."""
    memory = psutil.virtual_memory().total / 2**30
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{_processor()}, {psutil.cpu_count()} cores, {memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "rostra": f"{VERSION}{_commit()}",
        **{name: _version(command, path) for name, command in PEERS.items()},
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _commit() -> str:
    folder = Path(__file__).parent
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=folder, capture_output=True, text=True, check=False)
    return f" ({done.stdout.strip()})" if done.returncode == 0 else ""


def _version(command: Sequence[str], path: str) -> str:
    """The first number that it says, or that it is not here."""
    try:
        done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return NOT_HERE
    found = NUMBER.search(done.stdout + done.stderr)
    return found[0] if found else "here"
