"""Further processes that answer DNS on the same port, for ``dns_config.workers``: the kernel gives each its share (SO_REUSEPORT).

One event loop answers as much as one core can. A worker is ``rostra agent -roles=dns`` with views of its own, which it has from where this
process has them; its settings are this process's. One that ends is started again; all end with this process.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rostra.config.key import VARIABLE_PREFIX
from rostra.errors import ConfigError
from rostra.model.identity import Identity
from rostra.rpc.back_off import BackOff

PARENT_VARIABLE: Final = "_ROSTRA_PARENT"
_FILE: Final = "dns-workers.json"
_TAKEN_OVER: Final = ("domain", "alt_domain", "recursors", "dns_config", "addresses", "client_addr", "tls", "log_level", "log_json")
_PR_SET_PDEATHSIG: Final = 1
_STOP_LIMIT_S: Final = 3.0
_RESTART_S: Final = 1.0

log = logging.getLogger("rostra.dns")


class DnsWorkers:
    """``count`` processes for the node ``identity``, each with ``upstreams``: ``-gossip=…``, ``-catalog=…``."""

    name: Final = "dns workers"

    def __init__(self, count: int, identity: Identity, folder: Path, upstreams: Sequence[str], rng: random.Random) -> None:
        self._count = count
        self._identity = identity
        self._file = folder / _FILE
        self._upstreams = upstreams
        self._rng = rng
        self._running: set[asyncio.subprocess.Process] = set()
        self._restarts = 0
        self._document: Mapping[str, Any] = {}

    def configure(self, effective: Mapping[str, Any]) -> None:
        """Takes the process's effective configuration; workers that run take over what a reload may change."""
        document = {key: effective[key] for key in _TAKEN_OVER if key in effective}
        ports = {key: port for key, port in effective["ports"].items() if key in ("dns", "dns_tls")}
        document["node_name"], document["datacenter"] = self._identity.name, self._identity.datacenter
        document["ports"] = {**ports, "http": -1, "https": -1, "grpc": -1}
        document["dns_config"] = {**document["dns_config"], "workers": 1, "reuse_port": True}
        self._document = document
        if self._running:
            self._write()
            for process in self._running:
                process.send_signal(signal.SIGHUP)

    @property
    def ready(self) -> bool:
        return len(self._running) == self._count

    async def start(self) -> None:
        self._write()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._count):
                tasks.create_task(self._keep(number), name=f"dns worker {number}")

    async def stop(self) -> None:
        """Whatever still runs was ended with ``run``."""
        self._file.unlink(missing_ok=True)

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        return {"dns_workers": {"running": str(len(self._running)), "restarts": str(self._restarts)}}

    def _write(self) -> None:
        self._file.write_text(json.dumps(self._document))

    async def _keep(self, number: int) -> None:
        back_off = BackOff(self._rng)
        command = [sys.executable, "-m", "rostra.cli", "agent", "-roles=dns", f"-config-file={self._file}", *self._upstreams]
        # Settings that this process had from variables are in the file.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(VARIABLE_PREFIX)}
        environment[PARENT_VARIABLE] = str(os.getpid())
        while True:
            process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL)
            self._running.add(process)
            log.info("dns worker started", extra={"worker": number, "pid": process.pid})
            try:
                code = await process.wait()
            finally:
                self._running.discard(process)
                await _end(process)
            self._restarts += 1
            log.error("dns worker ended, and is started again", extra={"worker": number, "pid": process.pid, "code": code})
            await asyncio.sleep(_RESTART_S + back_off.next_delay_s())


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_LIMIT_S):
            await process.wait()
    except TimeoutError:
        process.kill()


def end_with_parent() -> None:
    """In a worker: SIGTERM when the process that started it ends, however that ends (prctl(2)). Elsewhere, nothing."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it ended before that
        raise ConfigError([f"{PARENT_VARIABLE}: process {parent} has ended"])
