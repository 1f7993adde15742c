"""Three servers replaced one after the other while clients write: no write may fail, none that was acknowledged may be missing.

By hand, ``python -m tests.process.deploy.rolling`` goes from the last version (``previous.py``) to this one, and ``-from PATH`` from any
that is installed. A client asks any server, and another one when it is refused a connection, as clients of a fleet do; an answer that is no
success, and a connection that breaks while an answer is due, is a failed write.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from ..harness.ports import Ports
from ..harness.program import Program, this_rostra
from ..harness.waiting import eventually
from .moving import Server, agreed_leader
from .previous import last_version, program_of

WRITE_LIMIT_S = 15.0
"""Longer than a server holds a write while there is no leader (7 s)."""
PAUSE_S = 0.02
SETTLED_S = 60.0
FIRST_HOST = 181


class Writers:
    """Threads that register nodes of growing numbers, from entering to leaving."""

    def __init__(self, servers: Sequence[Server], count: int) -> None:
        self.acknowledged: list[str] = []
        self.failed: list[str] = []
        self.slowest_s = 0.0
        self.handed_over = False
        """Whether the leader that was stopped handed over first."""
        self._addresses = [server.http for server in servers]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(count)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(3 * WRITE_LIMIT_S)

    def wait_for_more(self, count: int) -> None:
        """Until that many more writes are acknowledged."""
        wanted = len(self.acknowledged) + count
        eventually(lambda: len(self.acknowledged) >= wanted, SETTLED_S, "writes go on")

    def _run(self, number: int) -> None:
        turn = 0
        with httpx.Client(timeout=WRITE_LIMIT_S, trust_env=False) as client:
            while not self._stop.is_set():
                turn += 1
                self._write(client, f"w{number}-{turn}", turn)
                self._stop.wait(PAUSE_S)

    def _write(self, client: httpx.Client, name: str, turn: int) -> None:
        started = time.monotonic()
        for attempt in range(len(self._addresses)):
            address = self._addresses[(turn + attempt) % len(self._addresses)]
            try:
                answer = client.put(f"http://{address}/v1/catalog/register", json={"Node": name, "Address": "127.0.0.9"})
            except httpx.ConnectError:
                continue  # nothing was sent: the next server
            except httpx.HTTPError as error:
                self.failed.append(f"{name} at {address}: {type(error).__name__}: {error}")
                return
            if answer.status_code == 200:
                self.acknowledged.append(name)
                self.slowest_s = max(self.slowest_s, time.monotonic() - started)
            else:
                self.failed.append(f"{name} at {address}: {answer.status_code} {answer.text.strip()}")
            return
        self.failed.append(f"{name}: no server took a connection")


def restart_all(folder: Path, old: Program, new: Program, *, writers: int = 3) -> Writers:
    """Starts three servers of ``old`` and replaces each by ``new``, the leader last, while ``writers`` write. Returns what they were told,
    ``failed`` being also acknowledged writes that are missing at the end."""
    ports = Ports.free(f"127.0.0.{FIRST_HOST}")
    servers = [
        Server(folder / f"s{number}", f"s{number}", f"127.0.0.{FIRST_HOST + number}", ports, ["-bootstrap-expect=3"]) for number in range(3)
    ]
    try:
        for server in servers:
            server.start([each for each in servers if each is not server], old)
        for server in servers:
            server.wait_until_serving()
        with Writers(servers, writers) as load:
            first = eventually(lambda: agreed_leader(servers), SETTLED_S, "all name the same leader")
            for server in sorted(servers, key=lambda each: each.name == first):
                load.wait_for_more(writers)
                load.handed_over |= "leadership handed over" in server.stop()
                server.start([each for each in servers if each is not server], new)
                server.wait_until_serving()
                eventually(lambda: agreed_leader(servers), SETTLED_S, "all name the same leader")
        for server in servers:
            found = {node["Node"] for node in server.api.get("/v1/catalog/nodes").json()}
            load.failed += [f"{name} was acknowledged, and is missing on {server.name}" for name in load.acknowledged if name not in found]
        return load
    finally:
        for server in servers:
            server.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-from", dest="old", default="", help="command of the version to begin with, as PATH/bin/rostra")
    parser.add_argument("-writers", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        old = Program([os.path.abspath(options.old)]) if options.old else program_of(last_version(), Path(folder) / "old")
        load = restart_all(Path(folder), old, this_rostra(), writers=options.writers)
    print(f"{len(load.acknowledged)} writes acknowledged, {len(load.failed)} failed, the slowest took {load.slowest_s:.2f} s")
    for line in load.failed:
        print(line, file=sys.stderr)
    return 1 if load.failed else 0


if __name__ == "__main__":
    sys.exit(main())
