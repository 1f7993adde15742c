"""One suite over every store: what a core relies on when it starts again. Then what only a disk can do wrong."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import lmdb
import pytest

from rostra.consensus.configuration import Configuration
from rostra.consensus.lmdb_store import LmdbStore
from rostra.consensus.model import Entry, EntryKind, HardState, PeerId, Recovered, SnapshotMeta, Write
from rostra.consensus.storage import MemoryStore, StorageDamaged, StorageFailed, StorageFull, Store
from rostra.errors import Conflict, Unsupported

Reopen = Callable[[], Store]


@pytest.fixture(params=["memory", "lmdb"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    """Closes the store and opens it again, as a restart does."""
    opened: list[Store] = [MemoryStore()] if request.param == "memory" else []

    def again() -> Store:
        if request.param == "memory":
            return opened[0]
        if opened:
            opened.pop().close()
        opened.append(LmdbStore(tmp_path / "raft"))
        return opened[0]

    return again


def entry(index: int, term: int = 1, data: bytes = b"x", kind: EntryKind = EntryKind.COMMAND) -> Entry:
    return Entry(index, term, int(kind), 1000 + index, data)


def entries(low: int, high: int, term: int = 1) -> list[Entry]:
    return [entry(index, term, b"%d/%d" % (index, term)) for index in range(low, high)]


def snapshot(index: int, term: int = 1) -> SnapshotMeta:
    return SnapshotMeta("id", "cluster", index, term, 1000 + index, Configuration("cluster").encode(), 1)


def recovered(reopen: Reopen) -> tuple[Store, Recovered]:
    store = reopen()
    return store, store.recover()


def test_an_empty_store_has_an_identity_of_its_own_and_keeps_it(reopen: Reopen) -> None:
    first = reopen().recover()
    assert first.store_id
    assert first.last_index == 0
    assert reopen().recover().store_id == first.store_id


def test_two_stores_never_share_an_identity(tmp_path: Path) -> None:
    stores: list[Store] = [MemoryStore(), MemoryStore(), LmdbStore(tmp_path / "a"), LmdbStore(tmp_path / "b")]
    assert len({store.recover().store_id for store in stores}) == 4


def test_term_vote_and_entries_come_back(reopen: Reopen) -> None:
    state = HardState(3, PeerId("n1", "s1"), 2, 0.5, "cluster")
    reopen().perform([Write(1, state, entries=entries(1, 4))])
    store, found = recovered(reopen)
    assert found.hard_state == state
    assert found.last_index == 3
    assert store.entries(1, 4) == entries(1, 4)
    assert store.term(2) == 1


def test_entries_replace_everything_from_the_first_on(reopen: Reopen) -> None:
    reopen().perform([Write(1, entries=entries(1, 10)), Write(2, entries=entries(5, 7, term=2))])
    store, found = recovered(reopen)
    assert found.last_index == 6
    assert store.entries(1, 7) == entries(1, 5) + entries(5, 7, term=2)


def test_configurations_are_found_without_reading_the_log_and_go_with_their_entries(reopen: Reopen) -> None:
    first, second = entry(1, kind=EntryKind.CONFIGURATION, data=b"one"), entry(3, kind=EntryKind.CONFIGURATION, data=b"two")
    reopen().perform([Write(1, entries=[first, entry(2), second])])
    assert recovered(reopen)[1].configurations == ((1, b"one"), (3, b"two"))
    reopen().perform([Write(2, entries=[entry(2, term=2)])])
    assert recovered(reopen)[1].configurations == ((1, b"one"),)


def test_a_compacted_log_begins_after_its_base(reopen: Reopen) -> None:
    store = reopen()
    store.perform([Write(1, entries=entries(1, 21))])
    store.perform([Write(2, snapshot=snapshot(15), compact_to=10)])
    store, found = recovered(reopen)
    assert (found.base_index, found.base_term, found.base_time_ns, found.last_index) == (10, 1, 1010, 20)
    assert found.snapshot == snapshot(15)
    assert store.entries(11, 21) == entries(11, 21)


def test_a_restore_leaves_nothing_of_the_log(reopen: Reopen) -> None:
    reopen().perform([Write(1, entries=entries(1, 21))])
    reopen().perform([Write(2, restore=True, snapshot=snapshot(50, term=4), entries=entries(51, 53, term=4))])
    store, found = recovered(reopen)
    assert (found.base_index, found.base_term, found.last_index) == (50, 4, 52)
    assert store.entries(51, 53) == entries(51, 53, term=4)


def test_any_sequence_of_writes_leaves_the_same_in_both_stores(tmp_path: Path) -> None:
    for seed in range(20):
        rng = random.Random(seed)
        memory, disk = MemoryStore(), LmdbStore(tmp_path / str(seed))
        last, base, term = 0, 0, 1
        for number in range(1, 30):
            kind = rng.random()
            if kind < 0.7:
                term += rng.random() < 0.2
                first = rng.randint(max(base + 1, last - 5), last + 1)
                last = first + rng.randint(0, 8)
                write = Write(number, HardState(term), entries=entries(first, last + 1, term))
            elif kind < 0.95 and last > base:
                base = rng.randint(base + 1, last)
                write = Write(number, snapshot=snapshot(base), compact_to=base)
            else:
                base = last = last + rng.randint(1, 9)
                write = Write(number, restore=True, snapshot=snapshot(base, term))
            for store in (memory, disk):
                store.perform([write])
        disk.close()
        disk = LmdbStore(tmp_path / str(seed))
        found, expected = disk.recover(), memory.recover()
        for field in ("hard_state", "base_index", "base_term", "last_index", "snapshot", "configurations"):
            assert getattr(found, field) == getattr(expected, field), (seed, field)
        assert disk.entries(base + 1, last + 1) == memory.entries(base + 1, last + 1), seed
        disk.close()


# -- only on disk ------------------------------------------------------------------------------------------------------


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "raft")
    with pytest.raises(Conflict, match="in use by another process"):
        LmdbStore(tmp_path / "raft")
    store.close()
    LmdbStore(tmp_path / "raft").close()


def test_the_folder_and_its_files_are_for_their_owner_only(tmp_path: Path) -> None:
    LmdbStore(tmp_path / "raft").close()
    assert (tmp_path / "raft").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "raft").iterdir()} == {0}


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    LmdbStore(tmp_path / "raft").close()
    change(tmp_path, b"meta", b"format_version", b"7")
    with pytest.raises(Unsupported, match="format 7; this version of rostra reads format 1"):
        LmdbStore(tmp_path / "raft")


def change(tmp_path: Path, table: bytes, key: bytes, value: bytes) -> None:
    environment = lmdb.open(str(tmp_path / "raft" / "log.mdb"), subdir=False, max_dbs=4)
    with environment, environment.begin(write=True) as transaction:
        transaction.put(key, value, db=environment.open_db(table, transaction))


def raw(tmp_path: Path, table: bytes, key: bytes) -> bytes:
    with lmdb.open(str(tmp_path / "raft" / "log.mdb"), subdir=False, max_dbs=4) as environment, environment.begin() as transaction:
        value = transaction.get(key, db=environment.open_db(table, transaction))
        assert value is not None
        return bytes(value)


@pytest.mark.parametrize("position", [0, 8, 10, 20, -1])
def test_a_changed_byte_in_an_entry_is_found(tmp_path: Path, position: int) -> None:
    store = LmdbStore(tmp_path / "raft")
    store.perform([Write(1, entries=entries(1, 4))])
    store.close()
    key = struct.pack(">Q", 2)
    value = bytearray(raw(tmp_path, b"log", key))
    value[position] ^= 1
    change(tmp_path, b"log", key, bytes(value))
    store = LmdbStore(tmp_path / "raft")
    with pytest.raises(StorageDamaged, match="entry 2"):
        store.entries(1, 4)


def test_an_entry_under_the_key_of_another_is_found(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "raft")
    store.perform([Write(1, entries=entries(1, 4))])
    store.close()
    change(tmp_path, b"log", struct.pack(">Q", 2), raw(tmp_path, b"log", struct.pack(">Q", 3)))
    with pytest.raises(StorageDamaged, match="entry 2"):
        LmdbStore(tmp_path / "raft").entries(1, 4)


@pytest.mark.parametrize("key", [b"hard_state", b"base", b"store_id", b"snapshot"])
def test_a_changed_byte_beside_the_log_is_found(tmp_path: Path, key: bytes) -> None:
    store = LmdbStore(tmp_path / "raft")
    store.perform([Write(1, HardState(5), entries=entries(1, 4), snapshot=snapshot(2))])
    store.close()
    value = bytearray(raw(tmp_path, b"meta", key))
    value[0] ^= 1
    change(tmp_path, b"meta", key, bytes(value))
    with pytest.raises(StorageDamaged, match="wrong checksum"):
        LmdbStore(tmp_path / "raft").recover()


def test_a_full_disk_writes_nothing_and_the_same_write_succeeds_when_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LmdbStore(tmp_path / "raft")
    with monkeypatch.context() as full:
        full.setattr(store, "free_bytes", lambda: 1000)
        with pytest.raises(StorageFull):
            store.perform([Write(1, HardState(1), entries=entries(1, 4))])
    assert store.recover().last_index == 0
    store.perform([Write(1, HardState(1), entries=entries(1, 4))])
    assert store.recover().last_index == 3


def test_a_log_at_its_largest_size_is_full_and_not_failed(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "raft", map_size=256 * 1024)
    store.perform([Write(1, HardState(1), entries=entries(1, 4))])
    with pytest.raises(StorageFull):
        store.perform([Write(2, HardState(2), entries=[entry(4, data=bytes(300 * 1024))], snapshot=snapshot(3), compact_to=3)])
    found = store.recover()
    assert (found.hard_state.term, found.last_index, found.base_index) == (1, 3, 0)
    store.perform([Write(2, HardState(2), entries=entries(4, 6), compact_to=3)])
    assert store.entries(4, 6) == entries(4, 6)


def test_a_failed_commit_is_never_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LmdbStore(tmp_path / "raft")

    def failing(*_: object) -> None:
        raise lmdb.DiskError("fdatasync: Input/output error")

    monkeypatch.setattr(store, "_delete_compacted", failing)
    with pytest.raises(StorageFailed, match="Input/output error"):
        store.perform([Write(1, HardState(1))])
    monkeypatch.undo()
    with pytest.raises(AssertionError, match="not written again"):
        store.perform([Write(1, HardState(1))])


def test_the_space_of_compacted_entries_is_used_again(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "raft")
    path = tmp_path / "raft" / "log.mdb"
    sizes = []
    for number, start in enumerate(range(1, 40_000, 1000), 1):
        batch = [entry(index, data=bytes(256)) for index in range(start, start + 1000)]
        store.perform([Write(number, entries=batch, compact_to=max(0, start - 2000))])
        sizes.append(os.stat(path).st_size)
    assert sizes[-1] <= sizes[8] * 1.2, sizes


KILLED = """
import sys, os
from pathlib import Path
from rostra.consensus.lmdb_store import LmdbStore
from rostra.consensus.model import Entry, HardState, Write
store = LmdbStore(Path(sys.argv[1]))
number = index = 0
while True:
    number += 1
    entries = [Entry(index + i, 1, 2, 0, b"%d" % (index + i)) for i in range(1, 1 + number % 50)]
    index += len(entries)
    store.perform([Write(number, HardState(number), entries=entries)])
    os.write(1, b"%d %d\\n" % (number, index))
"""


@pytest.mark.parametrize("after", [1, 7, 40])
def test_what_was_performed_before_a_kill_is_there_and_whole(tmp_path: Path, after: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "raft")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(after):
        number, index = map(int, process.stdout.readline().split())
    process.send_signal(signal.SIGKILL)
    process.wait()
    for line in process.stdout.read().splitlines():
        number, index = map(int, line.split())
    process.stdout.close()
    store = LmdbStore(tmp_path / "raft")
    found = store.recover()
    assert found.hard_state.term >= number
    assert found.last_index >= index
    assert [e.data for e in store.entries(1, found.last_index + 1)] == [b"%d" % i for i in range(1, found.last_index + 1)]


def test_group_commit_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LmdbStore(tmp_path / "raft", map_size=256 * 1024)
    writes: Sequence[Write] = [Write(1, HardState(1), entries=entries(1, 4)), Write(2, entries=[entry(4, data=bytes(300_000))])]
    with pytest.raises(StorageFull):
        store.perform(writes)
    assert store.recover().last_index == 0
