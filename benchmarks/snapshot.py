"""Backup and restore of a catalog beside the real Consul's: save and restore by HTTP, the same registrations, runs interleaved.

    python benchmarks/snapshot.py -nodes 2000 -rounds 3 [-consul PATH]

Each node has a service and two checks. Every sample is printed; ratios are of medians, above 1 where rostra takes longer.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import rows
from one_node import free_ports
from rows import Row

HTTP: dict[str, int] = {}
"""The port of each."""
NAMES = ("http", "dns", "server", "serf-lan", "serf-wan", "grpc")
START_LIMIT_S = 60.0


def ports(name: str) -> list[str]:
    found = free_ports(len(NAMES))
    HTTP[name] = found[0]
    return [f"-{kind}-port={port}" for kind, port in zip(NAMES, found, strict=True)]


def start(name: str, program: str, folder: Path) -> subprocess.Popen[bytes]:
    """A single durable server, once it leads."""
    command = [program, "agent", "-server", "-bootstrap", "-bind=127.0.0.1", f"-data-dir={folder / name}", f"-node={name}"]
    process = subprocess.Popen([*command, *ports(name)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(url(name, "/v1/catalog/nodes"), trust_env=False, timeout=10.0).json():
                return process
        except (httpx.HTTPError, ValueError):
            pass
        time.sleep(0.1)
    raise SystemExit(f"{name} did not start")


def url(name: str, path: str) -> str:
    return f"http://127.0.0.1:{HTTP[name]}{path}"


def fill(name: str, nodes: int) -> None:
    with httpx.Client(trust_env=False, timeout=30.0) as client, ThreadPoolExecutor(8) as threads:

        def register(number: int) -> None:
            body = {
                "Node": f"node-{number}",
                "Address": f"10.0.{number // 256 % 256}.{number % 256}",
                "NodeMeta": {"rack": f"r{number % 40}"},
                "Service": {"Service": f"service-{number % 50}", "Port": 8000 + number % 1000, "Tags": ["primary", f"v{number % 3}"]},
                "Checks": [{"Name": "one", "Status": "passing", "Output": "ok " * 20}, {"Name": "two", "Status": "passing"}],
            }
            client.put(url(name, "/v1/catalog/register"), json=body).raise_for_status()

        list(threads.map(register, range(nodes)))


def measure(name: str) -> tuple[float, float, int]:
    """Seconds to save and to restore, and the bytes of the file."""
    with httpx.Client(trust_env=False, timeout=120.0) as client:
        started = time.perf_counter()
        data = client.get(url(name, "/v1/snapshot")).raise_for_status().content
        saved = time.perf_counter()
        client.put(url(name, "/v1/snapshot"), content=data).raise_for_status()
        return saved - started, time.perf_counter() - saved, len(data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-nodes", type=int, default=2000)
    parser.add_argument("-rounds", type=int, default=3)
    parser.add_argument("-consul", default=shutil.which("consul") or "")
    rows.add_option(parser)
    options = parser.parse_args()
    programs = {"rostra": str(Path(sys.executable).parent / "rostra"), **({"consul": options.consul} if options.consul else {})}
    samples: dict[str, list[tuple[float, float, int]]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        processes = {name: start(name, program, Path(folder)) for name, program in programs.items()}
        try:
            for name in programs:
                fill(name, options.nodes)
            for _ in range(options.rounds):
                for name in programs:
                    samples[name].append(measure(name))
                    saved_s, restored_s, size = samples[name][-1]
                    print(f"{name}: saved in {saved_s:.3f} s, restored in {restored_s:.3f} s, {size} bytes")
        finally:
            for process in processes.values():
                process.terminate()
                process.wait(30)
    medians = {name: [statistics.median(column) for column in zip(*taken, strict=True)] for name, taken in samples.items()}
    if "consul" in medians:
        for place, what in enumerate(("save", "restore", "bytes")):
            print(f"{what}: rostra / consul = {medians['rostra'][place] / medians['consul'][place]:.2f}")
    columns = [list(zip(*samples.get(name, []), strict=True)) or [()] * 3 for name in ("rostra", "consul")]
    named = (("saved", "s"), ("restored", "s"), ("size of the file", "bytes"))
    found = [
        Row(name=f"{options.nodes} nodes: {what}", unit=unit, ours=list(mine), peers=list(theirs), more_is_better=False)
        for (what, unit), mine, theirs in zip(named, *columns, strict=True)
    ]
    rows.write(options.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
