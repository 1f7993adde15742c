"""The check of a store at start: what it finds, and that a child that dies of it is explained."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rostra.clients.gossip import MemberEvent, Settled
from rostra.consensus import check
from rostra.consensus.check import StoreCheck
from rostra.consensus.lmdb_store import LOG_FILE, LmdbStore
from rostra.consensus.model import Entry, HardState, Write
from rostra.consensus.role import ConsensusRole, ConsensusSettings
from rostra.consensus.storage import StorageDamaged
from rostra.consensus.timing import DEVELOPMENT_TIMING
from rostra.model.identity import Identity
from rostra.rpc.channels import PlainConnector


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of 500 entries, closed."""
    store = LmdbStore(tmp_path / "raft")
    store.perform([Write(1, HardState(1), entries=[Entry(index, 1, 2, 0, b"x" * 500) for index in range(1, 501)])])
    store.close()
    return tmp_path / "raft"


def test_a_whole_store_passes_and_so_does_none(folder: Path, tmp_path: Path) -> None:
    StoreCheck(folder).before_start()
    StoreCheck(tmp_path / "nothing").before_start()
    assert check.check_here(folder) == 500


def test_a_file_that_is_cut_short_is_found_before_it_is_read(folder: Path) -> None:
    path = folder / LOG_FILE
    os.truncate(path, os.stat(path).st_size // 2)
    with pytest.raises(StorageDamaged, match="is cut short"):
        StoreCheck(folder).before_start()


def test_a_flipped_bit_in_the_data_is_found(folder: Path) -> None:
    path = folder / LOG_FILE
    content = bytearray(path.read_bytes())
    for position in range(len(content) // 2, len(content), 4096):
        content[position + 2000] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StorageDamaged):
        StoreCheck(folder).before_start()


def test_rubbish_is_not_taken_for_a_store(folder: Path) -> None:
    (folder / LOG_FILE).write_bytes(os.urandom(64 * 1024))
    with pytest.raises(StorageDamaged):
        StoreCheck(folder).before_start()


def test_a_child_that_a_signal_ended_is_explained(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dies = tmp_path / "python"
    dies.write_text(f"#!/bin/sh\nkill -{int(signal.SIGBUS)} $$\n")
    dies.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(dies))
    with pytest.raises(StorageDamaged, match="ended by SIGBUS"):
        StoreCheck(folder).before_start()


class NoGossip:
    async def watch_members(self, pool: str = "lan") -> AsyncIterator[MemberEvent]:
        await asyncio.get_running_loop().create_future()
        yield Settled()


def role_on(folder: Path) -> ConsensusRole:
    identity = Identity("n1", "n1", "dc1", "127.0.0.1", "127.0.0.1", server=True)
    return ConsensusRole(identity, ConsensusSettings(DEVELOPMENT_TIMING, folder), NoGossip(), PlainConnector(), random.Random(1))


def flip_a_bit_of_an_entry(folder: Path) -> None:
    path = folder / LOG_FILE
    content = bytearray(path.read_bytes())
    content[content.index(b"x" * 400) + 100] ^= 1
    path.write_bytes(bytes(content))


def test_the_role_does_not_open_a_damaged_store(folder: Path) -> None:
    flip_a_bit_of_an_entry(folder)
    with pytest.raises(StorageDamaged, match=r"entry \d+ has a wrong checksum"):
        role_on(folder)


async def test_a_large_log_is_walked_while_the_server_runs_which_ends_at_what_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "WALKED_FIRST_BYTES", 1000)
    flip_a_bit_of_an_entry(folder)
    with pytest.raises(ExceptionGroup) as failure:
        await asyncio.wait_for(role_on(folder).run(), 60)
    assert failure.group_contains(StorageDamaged, match=r"entry \d+ has a wrong checksum", depth=1)


def test_entries_that_wait_to_be_deleted_behind_a_snapshot_are_not_missed(folder: Path) -> None:
    store = LmdbStore(folder)
    try:
        assert store.verify() == 500
        store.perform([Write(2, entries=[Entry(400, 2, 2, 0, b"")], compact_to=300)])
        assert store.verify() == 100
    finally:
        store.close()
