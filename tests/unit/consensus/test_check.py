"""The check of a store at start: what it finds, and that a child that dies of it is explained."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from rostra.consensus import check
from rostra.consensus.lmdb_store import LOG_FILE, LmdbStore
from rostra.consensus.model import Entry, HardState, Write
from rostra.consensus.storage import StorageDamaged


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of 500 entries, closed."""
    store = LmdbStore(tmp_path / "raft")
    store.perform([Write(1, HardState(1), entries=[Entry(index, 1, 2, 0, bytes(500)) for index in range(1, 501)])])
    store.close()
    return tmp_path / "raft"


def test_a_whole_store_passes_and_so_does_none(folder: Path, tmp_path: Path) -> None:
    check.check_store(folder)
    check.check_store(tmp_path / "nothing")
    assert check.check_here(folder) == 500


def test_a_file_that_is_cut_short_is_found_before_it_is_read(folder: Path) -> None:
    path = folder / LOG_FILE
    os.truncate(path, os.stat(path).st_size // 2)
    with pytest.raises(StorageDamaged, match="is cut short"):
        check.check_store(folder)


def test_a_flipped_bit_in_the_data_is_found(folder: Path) -> None:
    path = folder / LOG_FILE
    content = bytearray(path.read_bytes())
    for position in range(len(content) // 2, len(content), 4096):
        content[position + 2000] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StorageDamaged):
        check.check_store(folder)


def test_rubbish_is_not_taken_for_a_store(folder: Path) -> None:
    (folder / LOG_FILE).write_bytes(os.urandom(64 * 1024))
    with pytest.raises(StorageDamaged):
        check.check_store(folder)


def test_a_child_that_a_signal_ended_is_explained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.CompletedProcess([], -signal.SIGBUS, "", "")
    monkeypatch.setattr("rostra.consensus.check.subprocess.run", lambda *_, **__: ended)
    with pytest.raises(StorageDamaged, match="ended by SIGBUS"):
        check.check_store(folder)
