"""Scripts: exit code 0 is passing, 1 a warning, anything else critical.

A script runs in a process group of its own, which is killed when its time is over. It is done when its own process ends: what
it left behind in the background neither holds up the check nor adds to its output.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from typing import Final

from rostra.config.durations import format_duration
from rostra.local.checks.dialing import reason
from rostra.local.checks.outcome import SCRIPT_TIMEOUT_S, Outcome, Tail, critical
from rostra.model.catalog import CheckDefinition, HealthStatus

CHUNK: Final = 65_536
KILL_LIMIT_S: Final = 1.0
"""Wait for a killed script, which is gone at once unless the kernel holds it."""


class ScriptCheck:
    """Runs ``args`` as they are: there is no shell but one that they name."""

    def __init__(self, definition: CheckDefinition, output_max_size: int) -> None:
        self._program = definition.args[0]
        self._command = Command(definition.args)
        self._timeout_s = definition.timeout_s or SCRIPT_TIMEOUT_S
        self._limit = output_max_size

    async def run(self) -> Outcome:
        tail = Tail(self._limit)
        try:
            async with asyncio.timeout(self._timeout_s):
                code = await self._command.run(tail)
        except TimeoutError:
            return critical(f"Timed out ({format_duration(self._timeout_s)}) running check\n\n{captured(tail, self._limit)}")
        except OSError as error:
            return critical(_not_started(self._program, error))
        return Outcome(status_of(code), captured(tail, self._limit))


def status_of(code: int) -> HealthStatus:
    return {0: HealthStatus.PASSING, 1: HealthStatus.WARNING}.get(code, HealthStatus.CRITICAL)


def captured(tail: Tail, limit: int) -> str:
    """The output, and how much of it that is where it is not all."""
    return tail.text if tail.total <= limit else f"Captured {limit} of {tail.total} bytes\n...\n{tail.text}"


class Command:
    """A program that is run again and again, one run at a time.

    Not by asyncio.create_subprocess_exec: uvloop's forks the whole agent, at 5.4 ms of processor time each, where
    subprocess's vfork and a pidfd take 0.33 ms (docs/design/checks.md).
    """

    def __init__(self, args: Sequence[str]) -> None:
        self._args = args
        self._process: subprocess.Popen[bytes] | None = None

    async def run(self, tail: Tail) -> int:
        """Runs to the end and returns the exit code, negative for a signal; the output goes to ``tail``. Cancelling kills it with all
        that it started. Raises ``OSError`` when it cannot be started, and ``TimeoutError`` while a killed one has not gone:
        the kernel may hold it for as long as a file system hangs, and nobody waits for that here."""
        if self._process is not None:
            raise TimeoutError
        loop = asyncio.get_running_loop()
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        try:
            process = self._start(theirs)
            ended: asyncio.Future[None] = loop.create_future()
            try:
                handle = os.pidfd_open(process.pid)
            except OSError:
                process.kill()
                process.wait()
                raise
            self._process = process
            loop.add_reader(handle, self._reap, loop, handle, ended)
            loop.add_reader(ours, _drain, loop, ours, tail)
            try:
                await asyncio.shield(ended)
            finally:
                if self._process is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    await asyncio.wait([ended], timeout=KILL_LIMIT_S)
                loop.remove_reader(ours)
                _drain(loop, ours, tail)
        finally:
            os.close(ours)
        return process.returncode

    def _start(self, output: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603 - what an operator configured; scripts are off unless enabled
                self._args, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        finally:
            os.close(output)

    def _reap(self, loop: asyncio.AbstractEventLoop, handle: int, ended: asyncio.Future[None]) -> None:
        """The process has ended, while somebody waits or long after."""
        assert self._process is not None
        self._process.wait()
        self._process = None
        loop.remove_reader(handle)
        os.close(handle)
        if not ended.done():
            ended.set_result(None)


def _drain(loop: asyncio.AbstractEventLoop, pipe: int, tail: Tail) -> None:
    """Takes what is there; one chunk a turn is enough while it runs, and the rest of the pipe's buffer is no more than one."""
    try:
        data = os.read(pipe, CHUNK)
    except BlockingIOError:
        return
    if data:
        tail.write(data)
    else:
        loop.remove_reader(pipe)  # closed while the script still runs: it would be readable for ever


def _not_started(program: str, error: OSError) -> str:
    if "/" not in program and shutil.which(program) is None:
        return f'exec: "{program}": executable file not found in $PATH'
    return f"fork/exec {program}: {reason(error).removeprefix('connect: ')}"
