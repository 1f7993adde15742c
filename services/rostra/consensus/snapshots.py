"""Snapshots of the state machine, as files: opaque to consensus, whole or not there.

A file is written beside its place, synced, renamed, and its folder synced; only then does the log store name it as the
latest, and only after that are older ones removed. So a crash at any point leaves the one that the store names.

Format: magic with format version, length and CRC-32 of the header, header (``SnapshotMeta``), data, length and CRC-32 of
the data. A received snapshot may be interrupted and resumed: what is on disk of it is its offset. What a crash made of that is
found out at the end, by the length and the checksum that the sender gave: it is then thrown away, and sent again from the start.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from rostra.consensus.model import SnapshotMeta
from rostra.consensus.storage import StorageDamaged
from rostra.durable import make_folder, sync_folder

MAGIC = b"ROSTRASNAP\x00\x01"
CHUNK_BYTES = 256 * 1024
RETAINED = 2

_HEAD = struct.Struct(">II")
_TAIL = struct.Struct(">QI")
_DECODER = msgspec.msgpack.Decoder(SnapshotMeta)


class SnapshotWriter(Protocol):
    """A snapshot that is coming in."""

    @property
    def offset(self) -> int:
        """Bytes of data that are there."""
        ...

    @property
    def checksum(self) -> int:
        """CRC-32 of the data that is there."""
        ...

    def write(self, chunk: bytes) -> None:
        """Adds data."""
        ...

    def finish(self) -> None:
        """Makes it durable, under its name. Blocks for an fsync."""
        ...

    def pause(self) -> None:
        """Stops here; ``resume`` goes on."""
        ...

    def discard(self) -> None:
        """Throws away what is there."""
        ...


class SnapshotStore(Protocol):
    """Where snapshots are kept. Every method may block: to be called from a thread, writers one at a time."""

    def create(self, meta: SnapshotMeta, *, resume: bool = False) -> SnapshotWriter:
        """Begins a snapshot, or goes on with a partial one of exactly this description."""
        ...

    def read(self, meta: SnapshotMeta, offset: int = 0) -> Iterator[bytes]:
        """The data in chunks of at most ``CHUNK_BYTES``; StorageDamaged at the end if its checksum is wrong."""
        ...

    def measure(self, meta: SnapshotMeta) -> tuple[int, int]:
        """Bytes of data, and their CRC-32."""
        ...

    def discard_but(self, latest: SnapshotMeta) -> None:
        """Removes what is older than ``latest`` but for the one before it, and older partial files. What is newer stays."""
        ...


class FileSnapshots:
    """Snapshots in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        make_folder(folder)

    def path(self, meta: SnapshotMeta) -> Path:
        """Where a finished snapshot is."""
        return self._folder / f"{meta.index:020}-{meta.term:010}-{meta.snapshot_id}.snapshot"

    def create(self, meta: SnapshotMeta, *, resume: bool = False) -> SnapshotWriter:
        return _FileWriter(self.path(meta), meta, resume=resume)

    def read(self, meta: SnapshotMeta, offset: int = 0) -> Iterator[bytes]:
        with self._open(meta) as file:
            start, size, expected = _layout(file, meta)
            checksum, position = 0, 0
            file.seek(start)
            while position < size:
                chunk = file.read(min(CHUNK_BYTES, size - position))
                checksum, position = zlib.crc32(chunk, checksum), position + len(chunk)
                if position > offset:
                    yield chunk[max(0, len(chunk) - (position - offset)) :]
            if checksum != expected:
                raise StorageDamaged(f"{self.path(meta)} has a wrong checksum")

    def measure(self, meta: SnapshotMeta) -> tuple[int, int]:
        with self._open(meta) as file:
            return _layout(file, meta)[1:]

    def verify(self, meta: SnapshotMeta) -> None:
        """Reads it all: StorageDamaged unless every byte is as it was written."""
        for _ in self.read(meta):
            pass

    def discard_but(self, latest: SnapshotMeta) -> None:
        # What is newer stays, finished or not: the log may name it by now, or in a moment.
        older = [path for path in self._folder.glob("*.snapshot") if path.name < self.path(latest).name]
        partial = [path for path in self._folder.glob("*.partial") if path.name < self.path(latest).name]
        for path in [*sorted(older)[: 1 - RETAINED], *partial]:
            path.unlink(missing_ok=True)

    def _open(self, meta: SnapshotMeta) -> BinaryIO:
        try:
            return self.path(meta).open("rb")
        except FileNotFoundError:
            raise StorageDamaged(f"{self.path(meta)} is missing") from None


class _FileWriter:
    def __init__(self, path: Path, meta: SnapshotMeta, *, resume: bool) -> None:
        self._path = path
        self._partial = path.with_suffix(".partial")
        header = msgspec.msgpack.encode(meta)
        head = MAGIC + _HEAD.pack(len(header), zlib.crc32(header)) + header
        self._offset, self._checksum = 0, 0
        if resume and self._partial.exists() and self._resume(head):
            return
        self._file: BinaryIO = self._partial.open("wb")
        os.chmod(self._partial, 0o600)
        self._file.write(head)

    def _resume(self, head: bytes) -> bool:
        file = self._partial.open("r+b")
        if file.read(len(head)) != head:
            file.close()
            return False
        while chunk := file.read(CHUNK_BYTES):
            self._checksum, self._offset = zlib.crc32(chunk, self._checksum), self._offset + len(chunk)
        self._file = file
        return True

    @property
    def offset(self) -> int:
        return self._offset

    @property
    def checksum(self) -> int:
        return self._checksum

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._checksum, self._offset = zlib.crc32(chunk, self._checksum), self._offset + len(chunk)

    def finish(self) -> None:
        self._file.write(_TAIL.pack(self._offset, self._checksum))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)
        sync_folder(self._path.parent)

    def pause(self) -> None:
        self._file.close()

    def discard(self) -> None:
        with contextlib.suppress(OSError):  # what is still to be written finds no room either, and is not wanted
            self._file.close()
        self._partial.unlink(missing_ok=True)


def _layout(file: BinaryIO, meta: SnapshotMeta) -> tuple[int, int, int]:
    """Where the data starts, its length and checksum; the header must be the one that was written for ``meta``."""
    damaged = StorageDamaged(f"snapshot {meta.snapshot_id} is damaged or cut short")
    file_size = os.fstat(file.fileno()).st_size
    head = file.read(len(MAGIC) + _HEAD.size)
    if len(head) < len(MAGIC) + _HEAD.size or not head.startswith(MAGIC):
        raise damaged
    length, checksum = _HEAD.unpack_from(head, len(MAGIC))
    header = file.read(length)
    if zlib.crc32(header) != checksum or _DECODER.decode(header) != meta:
        raise damaged
    start = len(head) + length
    if file_size < start + _TAIL.size:
        raise damaged
    file.seek(file_size - _TAIL.size)
    size, data_checksum = _TAIL.unpack(file.read(_TAIL.size))
    if start + size + _TAIL.size != file_size:
        raise damaged
    return start, size, data_checksum


class MemorySnapshots:
    """Keeps the latest in memory, for ``-dev`` and tests."""

    def __init__(self) -> None:
        self._data: dict[str, bytearray] = {}
        self._partial: dict[str, bytearray] = {}

    def create(self, meta: SnapshotMeta, *, resume: bool = False) -> SnapshotWriter:
        if not resume:
            self._partial.pop(meta.snapshot_id, None)
        return _MemoryWriter(self, meta.snapshot_id)

    def read(self, meta: SnapshotMeta, offset: int = 0) -> Iterator[bytes]:
        data = self._find(meta)
        for start in range(offset, len(data), CHUNK_BYTES):
            yield bytes(data[start : start + CHUNK_BYTES])

    def measure(self, meta: SnapshotMeta) -> tuple[int, int]:
        data = self._find(meta)
        return len(data), zlib.crc32(data)

    def discard_but(self, latest: SnapshotMeta) -> None:
        self._find(latest)
        finished = list(self._data)
        for older in finished[: finished.index(latest.snapshot_id)]:
            del self._data[older]

    def _find(self, meta: SnapshotMeta) -> bytearray:
        try:
            return self._data[meta.snapshot_id]
        except KeyError:
            raise StorageDamaged(f"snapshot {meta.snapshot_id} is missing") from None


class _MemoryWriter:
    def __init__(self, snapshots: MemorySnapshots, snapshot_id: str) -> None:
        self._snapshots = snapshots
        self._id = snapshot_id
        self._data = snapshots._partial.setdefault(snapshot_id, bytearray())

    @property
    def offset(self) -> int:
        return len(self._data)

    @property
    def checksum(self) -> int:
        return zlib.crc32(self._data)

    def write(self, chunk: bytes) -> None:
        self._data += chunk

    def finish(self) -> None:
        self._snapshots._data[self._id] = self._snapshots._partial.pop(self._id)

    def pause(self) -> None:
        pass

    def discard(self) -> None:
        self._snapshots._partial.pop(self._id, None)
