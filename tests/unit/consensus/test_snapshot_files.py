"""Snapshots on disk: whole or not there, resumed where they broke off, and the older one good whatever happens to the newer."""

from __future__ import annotations

import errno
import os
import pkgutil
import resource
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from rostra.consensus.check import SNAPSHOTS, check_here
from rostra.consensus.lmdb_store import LmdbStore
from rostra.consensus.model import Entry, HardState, SnapshotMeta, Write
from rostra.consensus.snapshot_files import SnapshotFiles
from rostra.consensus.snapshots import FileSnapshots
from rostra.consensus.storage import StorageDamaged, StorageFull
from rostra.errors import Unavailable

OLD = SnapshotMeta("old", "cluster", 5, 1, 0, b"", 0)
NEW = SnapshotMeta("new", "cluster", 9, 2, 0, b"", 0)
DATA = bytes(range(256)) * 3000


def save(snapshots: FileSnapshots, meta: SnapshotMeta, data: bytes = DATA) -> None:
    writer = snapshots.create(meta)
    for start in range(0, len(data), 100_000):
        writer.write(data[start : start + 100_000])
    writer.finish()


def test_what_was_saved_is_read_from_any_offset(tmp_path: Path) -> None:
    snapshots = FileSnapshots(tmp_path)
    save(snapshots, OLD)
    assert b"".join(snapshots.read(OLD)) == DATA
    assert b"".join(snapshots.read(OLD, 300_001)) == DATA[300_001:]
    assert snapshots.measure(OLD) == (len(DATA), zlib.crc32(DATA))
    assert os.stat(snapshots.path(OLD)).st_mode & 0o077 == 0


async def test_an_interrupted_snapshot_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    files = SnapshotFiles(FileSnapshots(tmp_path))
    first = await files.begin(NEW, len(DATA))
    await files.write(first, DATA[:300_000])
    first.pause()
    second = await files.begin(NEW, len(DATA))
    assert second.offset == 300_000
    await files.write(second, DATA[300_000:])
    await files.finish(second, len(DATA), zlib.crc32(DATA))
    assert b"".join(files.store.read(NEW)) == DATA


async def test_a_part_of_another_snapshot_is_not_gone_on_with(tmp_path: Path) -> None:
    files = SnapshotFiles(FileSnapshots(tmp_path))
    other = await files.begin(NEW, len(DATA))
    await files.write(other, DATA[:1000])
    other.pause()
    again = await files.begin(msgspec.structs.replace(NEW, time_ns=1), len(DATA))
    assert again.offset == 0
    again.pause()


async def test_the_end_of_a_file_that_never_got_its_name_is_not_taken_for_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = SnapshotFiles(FileSnapshots(tmp_path))
    writer = await files.begin(NEW, len(DATA))
    await files.write(writer, DATA)

    def crash(*_: object) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as cut:
        cut.setattr(Path, "replace", crash)
        with pytest.raises(StorageFull, match="power cut"):
            await files.finish(writer, len(DATA), zlib.crc32(DATA))
    again = await files.begin(NEW, len(DATA))
    assert again.offset == 0
    await files.write(again, DATA)
    await files.finish(again, len(DATA), zlib.crc32(DATA))
    assert b"".join(files.store.read(NEW)) == DATA


async def test_what_a_crash_left_damaged_is_thrown_away_at_the_end_and_not_installed(tmp_path: Path) -> None:
    snapshots = FileSnapshots(tmp_path)
    files = SnapshotFiles(snapshots)
    first = await files.begin(NEW, len(DATA))
    await files.write(first, bytes(1000))  # blocks that the disk never got
    first.pause()
    second = await files.begin(NEW, len(DATA))
    await files.write(second, DATA[second.offset :])
    with pytest.raises(StorageDamaged, match="sent again"):
        await files.finish(second, len(DATA), zlib.crc32(DATA))
    assert not snapshots.path(NEW).exists()
    third = await files.begin(NEW, len(DATA))
    assert third.offset == 0
    third.pause()


async def test_a_snapshot_that_breaks_off_or_finds_no_room_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = FileSnapshots(tmp_path)
    files = SnapshotFiles(snapshots)

    async def chunks(*, breaks: bool) -> AsyncIterator[bytes]:
        yield DATA
        if breaks:
            raise Unavailable("the state machine went away")

    with pytest.raises(Unavailable):
        await files.save(NEW, chunks(breaks=True))
    assert os.listdir(tmp_path) == []

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as cut:
        cut.setattr(os, "fsync", full)
        with pytest.raises(StorageFull, match="No space left"):
            await files.save(NEW, chunks(breaks=False))
    assert os.listdir(tmp_path) == []


async def test_a_file_that_cannot_grow_leaves_nothing_behind_although_it_cannot_be_closed_in_order_either(tmp_path: Path) -> None:
    files = SnapshotFiles(FileSnapshots(tmp_path))

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1000)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(StorageFull):
            await files.save(NEW, chunks())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


STEPS: list[tuple[str, str, str]] = [
    ("the data is written", "rostra.consensus.snapshots._FileWriter", "write"),
    ("it is synced", "os", "fsync"),
    ("it gets its name", "pathlib.Path", "replace"),
    ("the log names it", "rostra.consensus.lmdb_store.LmdbStore", "perform"),
    ("older ones are removed", "rostra.consensus.snapshots.FileSnapshots", "discard_but"),
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files that the crash left open
@pytest.mark.parametrize(("step", "where", "name"), STEPS, ids=[step for step, _, _ in STEPS])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_any_point_leaves_the_snapshot_good_that_the_log_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, where: str, name: str, moment: str
) -> None:
    folder = tmp_path / "consensus"
    store, snapshots = LmdbStore(folder), FileSnapshots(folder / SNAPSHOTS)
    entries = [Entry(index, 1, 2, 0, b"x") for index in range(1, 13)]
    save(snapshots, OLD)
    store.perform([Write(1, HardState(2), entries=entries), Write(2, snapshot=OLD, compact_to=3)])

    class Crash(BaseException):
        pass

    def crashing(call: Callable[..., object]) -> Callable[..., object]:
        def crash(*arguments: object, **more: object) -> object:
            if moment == "after":
                call(*arguments, **more)
            raise Crash

        return crash

    def take_the_next() -> None:
        save(snapshots, NEW)
        store.perform([Write(3, snapshot=NEW, compact_to=7)])
        snapshots.discard_but(NEW)

    with monkeypatch.context() as cut:
        target = pkgutil.resolve_name(where)
        cut.setattr(target, name, crashing(getattr(target, name)))
        with pytest.raises(Crash):
            take_the_next()
    store.close()

    check_here(folder)
    again = LmdbStore(folder)
    found = again.recover().snapshot
    assert found in (OLD, NEW)
    assert found is not None
    assert b"".join(FileSnapshots(folder / SNAPSHOTS).read(found)) == DATA
    again.close()


@pytest.mark.parametrize("harm", ["cut short", "changed", "missing"])
def test_a_damaged_snapshot_is_found_at_start(tmp_path: Path, harm: str) -> None:
    store, snapshots = LmdbStore(tmp_path), FileSnapshots(tmp_path / SNAPSHOTS)
    save(snapshots, OLD)
    store.perform([Write(1, HardState(2), restore=True, snapshot=OLD)])
    store.close()
    assert check_here(tmp_path) == 0
    path = snapshots.path(OLD)
    content = path.read_bytes()
    match harm:
        case "cut short":
            path.write_bytes(content[:-5000])
        case "changed":
            path.write_bytes(content[:5000] + b"\xff\x00" + content[5002:])
        case _:
            path.unlink()
    with pytest.raises(StorageDamaged):
        check_here(tmp_path)


def test_the_latest_and_the_one_before_are_kept_and_nothing_half_done(tmp_path: Path) -> None:
    snapshots = FileSnapshots(tmp_path)
    metas = [msgspec.structs.replace(OLD, snapshot_id=f"s{index}", index=index) for index in (5, 6, 7)]
    for meta in metas:
        save(snapshots, meta, b"small")
    snapshots.create(msgspec.structs.replace(OLD, snapshot_id="half", index=4)).pause()
    snapshots.discard_but(metas[-1])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(snapshots.path(meta).name for meta in metas[1:])


def test_a_newer_snapshot_stays_that_was_finished_before_the_older_ones_were_removed(tmp_path: Path) -> None:
    snapshots = FileSnapshots(tmp_path)
    for meta in (OLD, NEW):
        save(snapshots, meta)
    snapshots.discard_but(OLD)  # asked for when the log named OLD; by now it may name NEW
    snapshots.verify(NEW)
    snapshots.verify(OLD)
