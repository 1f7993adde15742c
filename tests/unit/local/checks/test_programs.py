"""Scripts, services of the operating system, and scripts in containers."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rostra.local.checks.docker import DockerCheck
from rostra.local.checks.os_service import OsServiceCheck
from rostra.local.checks.outcome import Outcome, Tail
from rostra.local.checks.script import ScriptCheck
from rostra.model.catalog import CheckDefinition, HealthStatus
from tests.process.harness.system import has_ended
from tests.process.harness.waiting import eventually

PASSING, WARNING, CRITICAL = HealthStatus.PASSING, HealthStatus.WARNING, HealthStatus.CRITICAL


async def script(*args: str, limit: int = 4096, timeout_s: float = 60.0) -> Outcome:
    return await ScriptCheck(CheckDefinition(args=args, timeout_s=timeout_s), limit).run()


async def sh(text: str, **options: Any) -> Outcome:
    return await script("sh", "-c", text, **options)


@pytest.mark.parametrize(("code", "status"), [(0, PASSING), (1, WARNING), (2, CRITICAL), (255, CRITICAL)])
async def test_the_exit_code_decides(code: int, status: HealthStatus) -> None:
    assert await sh(f"echo out; echo err >&2; exit {code}") == Outcome(status, "out\nerr\n")


async def test_a_script_that_is_killed_is_critical() -> None:
    assert await sh("kill -9 $$") == Outcome(CRITICAL, "")


async def test_a_script_that_is_not_there_is_critical(tmp_path: Path) -> None:
    assert await script("/no/such") == Outcome(CRITICAL, "fork/exec /no/such: no such file or directory")
    assert await script("no-such-program") == Outcome(CRITICAL, 'exec: "no-such-program": executable file not found in $PATH')
    (tmp_path / "plain").write_text("no program")
    assert (await script(str(tmp_path / "plain"))).output.endswith("permission denied")


async def test_arguments_are_not_read_by_a_shell() -> None:
    assert await script("echo", "$HOME; ls *") == Outcome(PASSING, "$HOME; ls *\n")


async def test_the_end_of_a_long_output_is_kept() -> None:
    outcome = await sh("seq 1 3000", limit=50)
    assert outcome.output == "Captured 50 of 13893 bytes\n...\n" + "".join(f"{number}\n" for number in range(2991, 3001))


async def test_a_script_that_says_more_than_a_pipe_holds_is_not_held_up() -> None:
    outcome = await sh("head -c 3000000 /dev/zero | tr '\\0' x; exit 1", limit=10)
    assert outcome == Outcome(WARNING, "Captured 10 of 3000000 bytes\n...\nxxxxxxxxxx")


async def test_a_script_whose_time_is_over_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    limits = iter([("500ms", 0.5), ("5s", 5.0), ("50s", 50.0)])
    while not (tmp_path / "child").exists():  # on a busy machine the shell may not have come so far by then
        said, timeout_s = next(limits)
        outcome = await sh(f"echo before; sleep 1000 & echo $! > {tmp_path}/child; wait", timeout_s=timeout_s)
    assert outcome == Outcome(CRITICAL, f"Timed out ({said}) running check\n\nbefore\n")
    child = int((tmp_path / "child").read_text())
    eventually(lambda: has_ended(child), 10.0, "what it started is gone, too")


async def test_what_a_script_leaves_in_the_background_holds_it_up_neither_by_itself_nor_by_its_output(tmp_path: Path) -> None:
    outcome = await sh(f"sleep 1000 & echo $! > {tmp_path}/child; echo done", timeout_s=60.0)
    child = psutil.Process(int((tmp_path / "child").read_text()))
    child.kill()
    assert outcome == Outcome(PASSING, "done\n")


async def test_a_script_that_closes_its_output_costs_nothing_while_it_goes_on() -> None:
    gc.collect()  # which would be counted, too
    before = sum(psutil.Process().cpu_times()[:2])
    assert (await sh("exec >&- 2>&-; sleep 1")).status is PASSING
    assert sum(psutil.Process().cpu_times()[:2]) - before < 0.6, "whoever asks again and again takes the whole second"


def open_files() -> int:
    """Of this process, but for what earlier tests left to the garbage collector."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def zombies() -> list[int]:
    return [child.pid for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]


async def test_runs_leave_nothing_open_and_no_zombies() -> None:
    await sh("true")
    files, ended = open_files(), zombies()
    check = ScriptCheck(CheckDefinition(args=("true",)), 4096)
    for _ in range(20):
        await check.run()
    assert open_files() < files + 20, "one for each run; this process may have opened some for itself"
    assert set(zombies()) <= set(ended)


async def test_scripts_run_beside_each_other(tmp_path: Path) -> None:
    met = f"touch {tmp_path}/$$; until [ $(ls {tmp_path} | wc -l) = 20 ]; do sleep 0.1; done"
    outcomes = await asyncio.gather(*(sh(met) for _ in range(20)))
    assert {outcome.status for outcome in outcomes} == {PASSING}


def test_a_tail_keeps_the_end_and_counts_all() -> None:
    tail = Tail(4)
    for number in range(10):
        tail.write(str(number).encode() * 2)
    assert (tail.total, tail.text) == (20, "8899")


# Services of the operating system


SYSTEMCTL = """#!/bin/sh
[ "$1 $2" = "is-active --" ] || exit 99
case $3 in
up) echo active ;;
slow) sleep 100 ;;
*) echo inactive; exit 3 ;;
esac
"""


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A systemd that knows two services."""
    program = tmp_path / "systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("up", Outcome(PASSING, 'OS service "up" is active')),
        ("down", Outcome(CRITICAL, 'OS service "down" is not active: inactive')),
        ("slow", Outcome(CRITICAL, 'OS service "slow": systemctl did not answer in time')),
        ("--version", Outcome(CRITICAL, 'OS service "--version" is not active: inactive')),
    ],
)
@pytest.mark.usefixtures("systemctl")
async def test_a_service_of_the_system_passes_while_it_is_active(name: str, outcome: Outcome) -> None:
    timeout_s = 1.0 if name == "slow" else 60.0
    assert await OsServiceCheck(CheckDefinition(os_service=name, timeout_s=timeout_s)).run() == outcome


async def test_without_systemd_a_service_of_the_system_is_critical(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = await OsServiceCheck(CheckDefinition(os_service="x")).run()
    assert (outcome.status, "no systemctl" in outcome.output) == (CRITICAL, True)


# Docker


def framed(*parts: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack(">BxxxI", kind, len(text)) + text for kind, text in parts)


class Engine:
    """The part of the Docker Engine API that a check needs; the container's name is the exit code."""

    def __init__(self) -> None:
        self.commands: list[Any] = []
        self.transports: list[asyncio.WriteTransport] = []
        self.output = framed((1, b"out\n"), (2, b"err\n"))

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.transports.append(writer.transport)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")), 0)
        body = json.loads(await reader.readexactly(size) or b"null")
        path = head.split()[1].split("/")
        match path[1:]:
            case ["containers", "gone", "exec"]:
                self.send(writer, 404, b'{"message": "No such container: gone"}')
            case ["containers", "paused", "exec"]:
                self.send(writer, 409, b'{"message": "Container is paused"}')
            case ["containers", "hangs", "exec"]:
                await reader.read()
            case ["containers", "odd", "exec"]:
                self.send(writer, 201, b"[1, 2]")
            case ["containers", container, "exec"]:
                self.commands.append(body["Cmd"])
                self.send(writer, 201, json.dumps({"Id": container}).encode())
            case ["exec", _, "start"]:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n")
                for byte in self.output:
                    writer.write(bytes([byte]))
                    await writer.drain()
            case ["exec", exec_id, "json"]:
                self.send(writer, 200, json.dumps({"ExitCode": int(exec_id), "Running": False}).encode())
        writer.close()

    def send(self, writer: asyncio.StreamWriter, code: int, body: bytes) -> None:
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (code, len(body)) + body)


@pytest.fixture
async def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    engine = Engine()
    server = await asyncio.start_unix_server(engine.handle, str(tmp_path / "docker.sock"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    yield engine
    server.close()
    for transport in engine.transports:
        if not transport.is_closing():
            transport.abort()
    await server.wait_closed()
    await asyncio.sleep(0)  # transports close in a later turn


async def docker(container: str, limit: int = 4096) -> Outcome:
    timeout_s = 1.0 if container == "hangs" else 60.0
    return await DockerCheck(CheckDefinition(docker_container_id=container, args=("a", "b c"), timeout_s=timeout_s), limit).run()


@pytest.mark.parametrize(("code", "status"), [(0, PASSING), (1, WARNING), (2, CRITICAL)])
async def test_a_script_in_a_container_is_judged_as_one_outside(engine: Engine, code: int, status: HealthStatus) -> None:
    assert await docker(str(code)) == Outcome(status, "out\nerr\n")
    assert engine.commands == [["a", "b c"]]


async def test_output_of_a_container_is_cut_as_that_of_a_script(engine: Engine) -> None:
    engine.output = framed(*((1, b"%04d\n" % number) for number in range(100)))
    assert (await docker("0", 10)).output == "Captured 10 of 500 bytes\n...\n0098\n0099\n"


@pytest.mark.parametrize(
    ("container", "output"),
    [
        ("gone", "create exec failed for unknown container gone"),
        ("paused", "create exec failed for container paused with status 409: Container is paused"),
        ("hangs", "docker exec in container hangs: timed out"),
        ("odd", "create exec failed for container odd with status 201: "),
    ],
)
@pytest.mark.usefixtures("engine")
async def test_an_engine_that_does_not_run_it_is_critical(container: str, output: str) -> None:
    assert await docker(container) == Outcome(CRITICAL, output)


async def test_without_an_engine_a_container_is_critical(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    outcome = await docker("0")
    assert (outcome.status, outcome.output.endswith("none.sock: connect: no such file or directory")) == (CRITICAL, True)
