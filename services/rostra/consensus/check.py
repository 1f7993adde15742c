"""Checks a log store before it is used: ``python -m rostra.consensus.check FOLDER``.

In a process of its own, since LMDB maps its file into memory: a damaged page or a file that is cut short can end whoever
reads it by a signal, and a server should say why it does not start. The parent explains how the child ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import lmdb

from rostra.consensus.lmdb_store import LOG_FILE, LmdbStore
from rostra.consensus.storage import StorageDamaged
from rostra.errors import RostraError

CHECK_TIMEOUT_S = 300.0


def check_store(folder: Path) -> None:
    """Returns if the store in ``folder`` is whole, or there is none yet; else StorageDamaged says what is wrong with it."""
    if not (folder / LOG_FILE).exists():
        return
    command = [sys.executable, "-m", "rostra.consensus.check", str(folder)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_TIMEOUT_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise StorageDamaged(f"{folder}: checking the log did not end within {CHECK_TIMEOUT_S:g} s") from None
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        raise StorageDamaged(
            f"{folder / LOG_FILE} is damaged: the process that checked it was ended by {name}. "
            "Restore this server from its peers: move the folder away and let it join again as a new server"
        )
    if child.returncode:
        raise StorageDamaged(child.stderr.strip().rpartition("\n")[2] or f"{folder}: checking the log failed")


def check_here(folder: Path) -> int:
    """Reads every page and every value in this process. Returns the number of entries."""
    path = folder / LOG_FILE
    _check_length(path)
    store = LmdbStore(folder)
    try:
        found = store.recover()
        for low in range(found.base_index + 1, found.last_index + 1, 4096):
            store.entries(low, min(low + 4096, found.last_index + 1))
        if found.snapshot is not None and found.snapshot.index < found.base_index:
            raise StorageDamaged(f"{path}: the log begins after {found.base_index}, behind its snapshot at {found.snapshot.index}")
        return found.last_index - found.base_index
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
