"""Checks a log store before it is used: ``python -m rostra.consensus.check FOLDER``.

In a process of its own, since LMDB maps its file into memory: a damaged page or a file that is cut short can end whoever
reads it by a signal, and a server should say why it does not start. The parent explains how the child ended.

The child looks at the file's length and at what a start reads, says so, and then reads the snapshot that the log names and walks
every page and value. A small log is walked before the server starts. Walking a large one (measured: 1 s for 100,000 entries) goes on
beside the start, which it would delay; what it finds then ends the server, which meanwhile checks whatever it reads itself, as it
always does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import lmdb

from rostra.consensus.lmdb_store import LOG_FILE, LmdbStore
from rostra.consensus.snapshots import FileSnapshots
from rostra.consensus.storage import StorageDamaged
from rostra.errors import RostraError

WALKED_FIRST_BYTES: Final = 16 * 1024 * 1024
"""A log file up to this size is walked before the server starts."""
OPENED: Final = "opened"
SNAPSHOTS: Final = "snapshots"
"""The folder of the snapshots, beside the log."""


class StoreCheck:
    """One check of one store. ``before_start``, then ``verdict`` while the server runs, ``stop`` at its end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: subprocess.Popen[str] | None = None

    def before_start(self) -> None:
        """Returns if the store may be opened, or there is none yet; else ``StorageDamaged`` says what is wrong with it."""
        path = self._folder / LOG_FILE
        if not path.exists():
            return
        command = [sys.executable, "-P", "-m", "rostra.consensus.check", str(self._folder)]
        self._child = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._child.stdout is not None
        opened = self._child.stdout.readline().strip() == OPENED
        if not opened or path.stat().st_size <= WALKED_FIRST_BYTES:
            self._conclude()

    async def verdict(self) -> None:
        """Returns when the rest has been found whole; else raises ``StorageDamaged``."""
        await asyncio.to_thread(self._conclude)

    def stop(self) -> None:
        """Ends the check, if it still goes on; ``verdict`` then raises."""
        if self._child is not None:
            self._child.kill()

    def _conclude(self) -> None:
        if self._child is None or self._child.returncode is not None:
            return
        _, said = self._child.communicate()
        code = self._child.wait()
        if code < 0:
            raise StorageDamaged(
                f"{self._folder / LOG_FILE} is damaged: the process that checked it was ended by {signal.Signals(-code).name}. "
                "Restore this server from its peers: move the folder away and let it join again as a new server"
            )
        if code:
            raise StorageDamaged(said.strip().rpartition("\n")[2] or f"{self._folder}: checking the log failed")


def check_here(folder: Path) -> int:
    """Reads every page and every value in this process. Returns the number of entries."""
    path = folder / LOG_FILE
    _check_length(path)
    store = LmdbStore(folder, read_only=True)
    try:
        found = store.recover()
        if found.snapshot is not None and found.snapshot.index < found.base_index:
            raise StorageDamaged(f"{path}: the log begins after {found.base_index}, behind its snapshot at {found.snapshot.index}")
        print(OPENED, flush=True)
        if found.snapshot is not None:
            FileSnapshots(folder / SNAPSHOTS).verify(found.snapshot)
        return store.verify()
    finally:
        store.close()


def _check_length(path: Path) -> None:
    """Before any page beyond the first two is touched."""
    with lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_dbs=4) as environment:
        pages, page_size = environment.info()["last_pgno"] + 1, environment.stat()["psize"]
    if os.stat(path).st_size < pages * page_size:
        raise StorageDamaged(f"{path} is cut short: {os.stat(path).st_size} bytes of {pages * page_size}")


def main() -> None:
    """The child."""
    try:
        check_here(Path(sys.argv[1]))
    except (RostraError, lmdb.Error) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
