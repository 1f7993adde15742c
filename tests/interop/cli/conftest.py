"""A real Consul agent in development mode, and both command lines against it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ...process.harness.ports import free_port

START_TIME_MAX_S = 120.0
FLAGS = ("http-port", "dns-port", "grpc-port", "serf-lan-port", "serf-wan-port", "server-port")

Run = Callable[..., subprocess.CompletedProcess[str]]


def has_leader(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/v1/health/node/Alpha?passing", timeout=1) as response:
            return b"serfHealth" in response.read()
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="session")
def consul_path(require: Callable[..., None]) -> str:
    require("consul")
    return shutil.which("consul") or ""


@pytest.fixture(scope="session")
def consul_agent(consul_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the HTTP API of ``consul agent -dev``, once its catalog knows its own node."""
    ports = [free_port() for _ in FLAGS]
    flags = [f"-{name}={port}" for name, port in zip(FLAGS, ports, strict=True)]
    log = tmp_path_factory.mktemp("consul") / "log"
    command = [consul_path, "agent", "-dev", "-node=Alpha", "-bind=127.0.0.1", "-client=127.0.0.1", "-node-meta=rack:r1", *flags]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + START_TIME_MAX_S
            while not has_leader(f"127.0.0.1:{ports[0]}"):
                assert process.poll() is None, Path(log).read_text()
                assert time.monotonic() < deadline, Path(log).read_text()
                time.sleep(0.05)
            yield f"127.0.0.1:{ports[0]}"
        finally:
            process.kill()


def _run(command: list[str], address: str, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CONSUL_")}
    environ["CONSUL_HTTP_ADDR"] = address
    return subprocess.run([*command, *words], text=True, capture_output=True, env=environ, timeout=120, check=False)


@pytest.fixture(scope="session")
def consul(consul_path: str) -> Run:
    """Run Consul's command line: ``consul(address, *words)``."""
    return lambda address, *words: _run([consul_path], address, words)


@pytest.fixture(scope="session")
def rostra() -> Run:
    """Run ours: ``rostra(address, *words)``."""
    ours = [sys.executable, "-c", "import sys; from rostra.cli.main import main; sys.exit(main())"]
    return lambda address, *words: _run(ours, address, words)
