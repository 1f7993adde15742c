"""What is to be there after a power cut is synced by its content and by its name, in that order."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rostra.agent.folder import DataFolder
from rostra.consensus.bootstrap import Promises
from rostra.consensus.configuration import Configuration
from rostra.consensus.driver import Consensus
from rostra.consensus.lmdb_store import LmdbStore
from rostra.consensus.model import Member, Suffrage
from rostra.consensus.snapshots import FileSnapshots, MemorySnapshots
from rostra.consensus.storage import MemoryStore
from rostra.consensus.timing import DEVELOPMENT_TIMING
from rostra.durable import make_folder, replace_file
from rostra.gossip.storage import KnownPeers, PoolStorage
from rostra.local.storage import LocalStore


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What reached it: paths that were synced, and renames."""
    seen: list[str] = []
    sync, rename = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        seen.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def replace(source: Path, target: Path) -> None:
        seen.append(f"{source} -> {target}")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "replace", replace)
        yield seen


def test_a_file_is_synced_before_it_gets_its_name_and_its_folder_after(tmp_path: Path, disk: list[str]) -> None:
    file = tmp_path / "file"
    replace_file(file, b"old")
    disk.clear()
    replace_file(file, b"new")
    assert disk == [f"{file}.new", f"{file}.new -> {file}", str(tmp_path)]
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_is_synced_where_it_was_made(tmp_path: Path, disk: list[str]) -> None:
    make_folder(tmp_path / "one" / "two")
    make_folder(tmp_path / "one" / "two")
    assert disk == [str(tmp_path), str(tmp_path / "one")]
    assert (tmp_path / "one" / "two").stat().st_mode & 0o777 == 0o700


def promise(folder: Path) -> None:
    consensus = Consensus(
        node_id="n1", store=MemoryStore(), snapshots=MemorySnapshots(), timing=DEVELOPMENT_TIMING, random=random.Random(1)
    )
    folder.mkdir()
    Promises(consensus, folder, 1).promise(Configuration("cluster", (Member(consensus.core.id, Suffrage.VOTER, "n1"),)), 1)


@pytest.mark.parametrize(
    ("keep", "places"),
    [
        (lambda folder: DataFolder(folder, []).node_id(), ["", "kept"]),
        (lambda folder: PoolStorage(folder, "lan").save_peers(KnownPeers(("10.0.0.1:8301",))), ["", "kept"]),
        (lambda folder: PoolStorage(folder, "lan").save_keys([bytes(16)]), ["", "kept"]),
        (lambda folder: LocalStore(folder).open(), ["", "kept"]),
        (lambda folder: LmdbStore(folder).close(), ["", "kept"]),
        (lambda folder: FileSnapshots(folder), [""]),
        (promise, ["kept"]),
    ],
    ids=["node ID", "known peers", "keyring", "registrations", "log", "snapshots", "promise"],
)
def test_what_is_kept_has_its_folder_synced(tmp_path: Path, disk: list[str], keep: Callable[[Path], object], places: list[str]) -> None:
    keep(tmp_path / "kept")
    for place in places:
        assert str(tmp_path / place).rstrip("/") in disk
