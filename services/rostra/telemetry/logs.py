"""Logs: a constant event with fields, as one line of text or one JSON object.

Text: ``2026-01-02T03:04:05.678Z [INFO]  raft: election won: term=2 tally=1``. A logger's name loses its leading ``rostra.``.
Taps receive finished lines, bounded, for ``rostra monitor``.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

TRACE: Final = 5
TAP_LINES: Final = 512

LEVELS: Final = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_NAMES: Final = {number: f"[{name.upper()}]" for name, number in LEVELS.items()}
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

logging.addLevelName(TRACE, "TRACE")


def _stamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _quoted(value: object) -> str:
    """A value of a field; ``true``, ``false`` and ``none`` are spelled as in ``rostra info``."""
    text = str(value).lower() if value is None or isinstance(value, bool) else str(value)
    return f'"{text}"' if not text or " " in text or '"' in text else text


class TextFormatter(logging.Formatter):
    """One line for people, and a traceback below it where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={_quoted(value)}" for name, value in _fields(record).items())
        name = record.name.removeprefix("rostra.")
        line = f"{_stamp(record)} {_NAMES.get(record.levelno, '[INFO]'):7} {name}: {record.getMessage()}{': ' if fields else ''}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object with Consul's ``@`` keys and the fields beside them."""

    def format(self, record: logging.LogRecord) -> str:
        level = _NAMES.get(record.levelno, "[INFO]").strip("[]").lower()
        entry = {
            "@level": level,
            "@message": record.getMessage(),
            "@module": record.name.removeprefix("rostra."),
            "@timestamp": _stamp(record),
        }
        if record.exc_info:
            entry["@exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry | _fields(record), enc_hook=str).decode()


class Tap(logging.Handler):
    """Keeps the newest lines for one reader and counts those it lost. ``notify`` is called at each line; it must not block."""

    def __init__(self, level: int, *, as_json: bool, notify: Callable[[], None]) -> None:
        super().__init__(level)
        self.setFormatter(JsonFormatter() if as_json else TextFormatter())
        self.lost = 0
        self._lines: deque[str] = deque()
        self._notify = notify

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._lines) >= TAP_LINES:
            self._lines.popleft()
            self.lost += 1
        self._lines.append(self.format(record))
        self._notify()

    def take(self) -> tuple[list[str], int]:
        """The lines since the last call, and how many were lost before them."""
        lines, lost = list(self._lines), self.lost
        self._lines.clear()
        self.lost = 0
        return lines, lost


@contextmanager
def tapped(level: str, *, as_json: bool, notify: Callable[[], None]) -> Iterator[Tap]:
    """A tap on everything this process logs at ``level`` (a key of LEVELS) or above."""
    root = logging.getLogger("rostra")
    tap = Tap(LEVELS[level], as_json=as_json, notify=notify)
    before = root.level
    root.addHandler(tap)
    root.setLevel(min(before, tap.level))
    try:
        yield tap
    finally:
        root.removeHandler(tap)
        root.setLevel(before)


def configure(
    level: str, *, as_json: bool = False, file: str = "", rotate_bytes: int = 0, rotate_duration_s: float = 0.0, rotate_max_files: int = 0
) -> None:
    """Sends the log to standard output, and to ``file`` too where one is named. ``level`` is a key of LEVELS."""
    root = logging.getLogger("rostra")
    for handler in list(root.handlers):
        if not isinstance(handler, Tap):
            root.removeHandler(handler)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if file:
        handlers.append(_file_handler(file, rotate_bytes, rotate_duration_s, rotate_max_files))
    for handler in handlers:
        handler.setLevel(LEVELS[level])
        handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
        root.addHandler(handler)
    root.setLevel(LEVELS[level])
    root.propagate = False


def _file_handler(file: str, rotate_bytes: int, rotate_duration_s: float, rotate_max_files: int) -> logging.Handler:
    path = Path(file)
    if file.endswith("/") or path.is_dir():
        path = path / "rostra.log"
    return RotatingFile(path, rotate_bytes, rotate_duration_s, rotate_max_files)


class RotatingFile(logging.handlers.BaseRotatingHandler):
    """A log file that is set aside when it has ``max_bytes`` (0: no limit) or is ``max_age_s`` old, under its name with the time added.

    ``max_files`` older ones are kept: 0 keeps all, -1 none, as Consul's ``log_rotate_max_files``.
    """

    def __init__(self, path: Path, max_bytes: int, max_age_s: float, max_files: int) -> None:
        super().__init__(path, "a", encoding="utf-8")
        self._path = path
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._max_files = max_files
        self._opened_at = time.time()

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802
        if self._max_age_s > 0 and record.created - self._opened_at >= self._max_age_s:
            return True
        return self._max_bytes > 0 and self._path.stat().st_size + len(self.format(record)) >= self._max_bytes

    def doRollover(self) -> None:  # noqa: N802
        self.close()
        self._path.rename(self._path.with_name(f"{self._path.stem}-{time.time_ns()}{self._path.suffix}"))
        if self._max_files:
            kept = self._max_files if self._max_files > 0 else 0
            older = sorted(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}"))
            for path in older[: len(older) - kept]:
                path.unlink(missing_ok=True)
        self._opened_at = time.time()
        self.stream = self._open()
