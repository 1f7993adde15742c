"""A server whose disk is full, or fails: what a client, an operator and the log of the server are told."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..harness.http import Api
from ..harness.ports import Ports
from ..harness.program import Program, this_rostra
from ..harness.running import Running
from ..harness.waiting import eventually

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

HOST = "127.0.0.81"
OWN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
DISK_MIB = 64
LEFT_FREE = 4 * 1024 * 1024
"""Less than the store wants in reserve."""


def may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*OWN_NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False).returncode == 0


@contextmanager
def server(folder: Path, before: list[str]) -> Iterator[tuple[Running, Api]]:
    """A server that is alone, started by the command ``before``."""
    ports = Ports.free(HOST)
    ours = this_rostra()
    program = Program([*before, *ours.command], ours.environment)
    flags = [*ports.flags("http", "server", "serf_lan"), "-dns-port=-1", "-grpc-port=-1", "-serf-wan-port=-1"]
    command = ["agent", "-server", "-bootstrap", f"-data-dir={folder / 'disk' / 'data'}", f"-bind={HOST}", f"-client={HOST}", *flags]
    (folder / "disk").mkdir()
    running = Running(program, folder, [*command, "-hcl=performance { raft_multiplier = 1 }"])
    api = Api(f"{HOST}:{ports.http}")
    try:
        eventually(lambda: api.get("/v1/status/leader", within_s=1.0).json(), 40, "a leader")
        yield running, api
    except BaseException as error:
        error.add_note(running.output)
        raise
    finally:
        running.kill()
        api.close()


def nodes(api: Api) -> set[str]:
    return {node["Node"] for node in api.get("/v1/catalog/nodes").json()}


@pytest.mark.skipif(not may_mount(), reason="no file system can be mounted here")
def test_a_full_disk_acknowledges_nothing_and_says_so_until_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    mounted = [*OWN_NAMESPACE, "sh", "-c", f'mount -t tmpfs -o size={DISK_MIB}m tmpfs "{disk}" && exec "$@"', "sh"]
    with server(tmp_path, mounted) as (running, api):
        api.register("before", "127.0.0.1")
        seen = Path(f"/proc/{running.pid}/root") / disk.relative_to("/")  # the disk as that process has it
        filler = seen / "filler"
        with filler.open("wb") as file:
            while shutil.disk_usage(seen).free > LEFT_FREE:
                file.write(bytes(1024 * 1024))
                file.flush()
        answers = [api.put("/v1/catalog/register", {"Node": "refused", "Address": "127.0.0.1"}, within_s=30) for _ in range(3)]
        assert all(answer.status_code >= 429 for answer in answers), [answer.text for answer in answers]
        assert "the disk is full" in answers[-1].text
        running.wait_for_line(r"\[ERROR\].*disk full: nothing is acknowledged until there is room")
        assert "before" in nodes(api), "what is there is still read"

        filler.unlink()
        running.wait_for_line("disk has room again", 30)
        eventually(lambda: api.put("/v1/catalog/register", {"Node": "after", "Address": "127.0.0.1"}).status_code == 200, 20)
        assert {"before", "after"} <= nodes(api)


def threads(pid: int) -> list[str]:
    """What the system says of each thread."""
    return [status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status")]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_failed_sync_ends_the_server_and_is_never_tried_again(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with server(tmp_path, []) as (running, api):
        api.register("before", "127.0.0.1")
        strace = [
            "strace",
            "-qq",
            "-f",
            "-o",
            str(trace),
            "-e",
            "trace=fdatasync",
            "-e",
            "inject=fdatasync:error=EIO",
            "-p",
            str(running.pid),
        ]
        tracer = subprocess.Popen(strace, stderr=subprocess.PIPE)
        try:
            assert tracer.stderr is not None
            eventually(lambda: all("TracerPid:\t0" not in text for text in threads(running.pid)), 20, "strace is at every thread")
            answer = None
            try:
                answer = api.put("/v1/catalog/register", {"Node": "lost", "Address": "127.0.0.1"}, within_s=30)
            except Exception as error:  # the server ends: it need not answer
                print(error, file=sys.stderr)
            assert answer is None or answer.status_code >= 500
            assert running.wait(30) != 0
            assert re.search(r"writing the log failed.*(Input/output error|EIO)", running.output)
        finally:
            tracer.send_signal(signal.SIGTERM)
            tracer.communicate()
        assert trace.read_text().count("fdatasync(") == 1, "it was tried again"
