"""A process that runs: its output as lines, its end by its own id."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from .pressure import stretched
from .program import Program
from .waiting import Stopwatch

END_LIMIT_S = 10.0


class Running:
    """One started process. ``lines`` is its standard output, ``errors`` its standard error, as far as they have come."""

    def __init__(self, program: Program, folder: Path, arguments: Sequence[str]) -> None:
        self.arguments = list(arguments)
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [*program.command, *arguments],
            env=program.environment_in(folder),
            cwd=folder / "work",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="backslashreplace",
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._collect, args=(stream, into), daemon=True)
            for stream, into in ((self._process.stdout, self.lines), (self._process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """Everything said so far, for messages of failed assertions."""
        with self._news:
            return "\n".join([*self.lines, *self.errors])

    def wait_for_line(self, pattern: str, within_s: float = 10.0) -> str:
        """The first line of standard output in which ``pattern`` is found."""
        watch = Stopwatch()
        with self._news:
            read = 0
            while True:
                for line in self.lines[read:]:
                    if re.search(pattern, line):
                        return line
                read = len(self.lines)
                if not watch.is_within(within_s):
                    break
                self._news.wait(0.1)
                if self._process.poll() is not None and len(self.lines) == read:
                    break
        raise AssertionError(f"no line like {pattern!r} within {within_s} s:\n{self.output}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, within_s: float = END_LIMIT_S) -> int:
        """The exit code, once it has ended and all its output is here."""
        try:
            code = self._process.wait(stretched(within_s))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.arguments[:1]} did not end within {within_s} s:\n{self.output}") from None
        for reader in self._readers:
            reader.join(stretched(2.0))
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        return code

    def kill(self) -> None:
        """Ends it at once, whatever it is doing. Ended already is fine."""
        self._process.kill()  # not by its id, which may be another's once it has ended
        self.wait()

    def _collect(self, stream: IO[str], into: list[str]) -> None:
        for line in stream:
            with self._news:
                into.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()
