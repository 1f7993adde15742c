"""What TTL checks were last told, kept over restarts until their time ends.

One small file for each check, replaced at each heartbeat and not synced: it survives the process, and a power cut costs no more than a
check that is critical until its next heartbeat. So a heartbeat costs no fsync, and one that cannot be written down counts all the same.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path
from typing import Final

import msgspec

from rostra.model.catalog import HealthStatus

log = logging.getLogger("rostra.local")

SUFFIX: Final = ".json"


class TtlState(msgspec.Struct, frozen=True):
    """``expires`` is wall-clock time, since it must mean something to the next process."""

    check_id: str
    status: str
    output: str
    expires: float


class TtlStates:
    """The files in ``folder``; no folder: nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._has_failed = False

    def load(self, now: float) -> list[tuple[str, HealthStatus, str, float]]:
        """Check ID, status, output and the seconds that are left, of those whose time has not ended at ``now`` (wall clock). What is
        over or cannot be read is removed."""
        found = []
        for path in sorted(self._folder.glob(f"*{SUFFIX}")) if self._folder is not None and self._folder.is_dir() else ():
            try:
                state = msgspec.json.decode(path.read_bytes(), type=TtlState)
                status = HealthStatus(state.status)
            except (OSError, ValueError, msgspec.DecodeError):
                path.unlink(missing_ok=True)
                continue
            if state.expires <= now:
                path.unlink(missing_ok=True)
            else:
                found.append((state.check_id, status, state.output, state.expires - now))
        return found

    def keep(self, check_id: str, status: HealthStatus, output: str, expires: float) -> None:
        """Replaces what was there. A failure is told once, and again only after it has worked meanwhile."""
        if self._folder is None:
            return
        path = self._path(self._folder, check_id)
        scratch = path.with_suffix(".new")
        try:
            try:
                descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            except FileNotFoundError:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(msgspec.json.encode(TtlState(check_id, status.value, output, expires)))
            os.replace(scratch, path)
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                log.warning("states of TTL checks cannot be kept; they count until a restart", extra={"reason": error})
            self._has_failed = True

    def forget(self, check_id: str) -> None:
        """It is gone, or its time is over."""
        if self._folder is not None:
            self._path(self._folder, check_id).unlink(missing_ok=True)

    def _path(self, folder: Path, check_id: str) -> Path:
        return folder / (hashlib.sha256(check_id.encode()).hexdigest()[:32] + SUFFIX)
