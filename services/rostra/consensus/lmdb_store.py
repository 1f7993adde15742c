"""The log store on disk: LMDB, a copy-on-write B+tree whose transactions are atomic and durable with one fsync.

Three tables. ``log``: index -> entry. ``configurations``: index -> data, so that a start need not read the whole log for
them. ``meta``: format version, store ID, hard state, base (what the log begins after), latest snapshot. Every value ends in
a CRC-32 of key and value: LMDB checks none of its pages, and an entry under another's key is damage as well.

What happens when the disk misbehaves:

- *Full*: room is asked for before a transaction begins, so that a full disk aborts cleanly; ``StorageFull`` may be tried again.
- *A write or fsync that fails*: the kernel may have dropped the dirty pages and would report success the next time
  (fsyncgate, 2018): ``StorageFailed``, the environment is not touched again, the process ends.
- *Power cut*: LMDB writes pages elsewhere first and the root last, so either the old tree or the new one is found.
"""

from __future__ import annotations

import fcntl
import os
import struct
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from rostra.consensus.model import Entry, EntryKind, HardState, Recovered, SnapshotMeta, Write
from rostra.consensus.storage import StorageDamaged, StorageFailed, StorageFull
from rostra.durable import make_folder, sync_folder
from rostra.errors import Conflict, Unsupported

FORMAT_VERSION = 1
LOG_FILE = "log.mdb"
MAP_SIZE = 64 * 1024**3
"""Address space for the file, not its size: the log is cut long before."""
RESERVE_BYTES = 16 * 1024**2
"""Left free on the disk beyond what a transaction needs: the pages of the tree itself, and room for the snapshot's end."""
DELETIONS_PER_TRANSACTION = 4096
"""Entries behind a snapshot are removed in slices: their space is needed soon, not at once."""

_KEY = struct.Struct(">Q")
_ENTRY = struct.Struct(">QBq")
_CHECKSUM = struct.Struct(">I")
_BASE = struct.Struct(">QQq")
_STATE_DECODER = msgspec.msgpack.Decoder(HardState)
_SNAPSHOT_DECODER = msgspec.msgpack.Decoder(SnapshotMeta)
_ENCODE = msgspec.msgpack.Encoder().encode


class LmdbStore:
    """One log in one folder, which it makes with mode 0700. A second process on it is refused, but for one that only reads."""

    blocks = True

    def __init__(self, folder: Path, *, map_size: int = MAP_SIZE, reserve_bytes: int = RESERVE_BYTES, read_only: bool = False) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._failed = False
        self._lock = -1 if read_only else _lock_folder(folder)
        try:
            self._environment = lmdb.open(
                str(folder / LOG_FILE), subdir=False, map_size=map_size, max_dbs=4, mode=0o600, max_readers=16, readonly=read_only
            )
            self._meta, self._log, self._configurations = (
                self._environment.open_db(name, create=not read_only) for name in (b"meta", b"log", b"configurations")
            )
        except lmdb.Error as error:
            self._unlock()
            raise StorageDamaged(f"{folder}: the log cannot be opened: {error}") from error
        self._deleted_to = 0
        self._base_index = 0
        self._store_id = self._open_or_create(read_only)

    def _open_or_create(self, read_only: bool) -> str:
        with self._environment.begin(db=self._meta, write=not read_only) as transaction:
            version = transaction.get(b"format_version")
            if version is None:
                if read_only:
                    raise StorageDamaged(f"{self._folder}: the log says no format version")
                store_id = str(uuid.uuid4())
                self._put(transaction, b"store_id", store_id.encode())
                self._put(transaction, b"base", _BASE.pack(0, 0, 0))
                transaction.put(b"format_version", str(FORMAT_VERSION).encode())
            elif int(version) != FORMAT_VERSION:
                raise Unsupported(
                    f"{self._folder} holds a log of format {int(version)}; this version of rostra reads format {FORMAT_VERSION}"
                )
            else:
                store_id = self._get(transaction, b"store_id").decode()
        if not read_only:
            sync_folder(self._folder)
        return store_id

    # -- reading -----------------------------------------------------------------------------------------------------

    def recover(self) -> Recovered:
        with self._environment.begin(db=self._meta) as transaction:
            base_index, base_term, base_time_ns = _BASE.unpack(self._get(transaction, b"base"))
            state = transaction.get(b"hard_state")
            snapshot = transaction.get(b"snapshot")
            with transaction.cursor(db=self._log) as cursor:
                last_index = _KEY.unpack(cursor.key())[0] if cursor.last() else base_index
                self._deleted_to = _KEY.unpack(cursor.key())[0] - 1 if cursor.first() else base_index
            configurations = [
                (_KEY.unpack(key)[0], _checked(key, value, "configuration")) for key, value in transaction.cursor(db=self._configurations)
            ]
        self._base_index = base_index
        return Recovered(
            store_id=self._store_id,
            hard_state=HardState() if state is None else _STATE_DECODER.decode(_checked(b"hard_state", state, "hard state")),
            base_index=base_index,
            base_term=base_term,
            base_time_ns=base_time_ns,
            last_index=max(last_index, base_index),
            snapshot=None if snapshot is None else _SNAPSHOT_DECODER.decode(_checked(b"snapshot", snapshot, "snapshot")),
            configurations=tuple((index, data) for index, data in configurations if index > base_index),
        )

    def entries(self, low: int, high: int) -> list[Entry]:
        entries = []
        with self._environment.begin(db=self._log) as transaction, transaction.cursor() as cursor:
            cursor.set_key(_KEY.pack(low))
            for index, (key, value) in zip(range(low, high), cursor, strict=False):
                entries.append(_decode_entry(index, key, value))
        if len(entries) != high - low:
            raise StorageDamaged(f"{self._folder}: entry {low + len(entries)} is missing from the log")
        return entries

    def term(self, index: int) -> int:
        return self.entries(index, index + 1)[0].term

    def verify(self) -> int:
        """Reads every entry as of one moment, whatever a server writes meanwhile, and returns their number."""
        with self._environment.begin(db=self._log) as transaction, transaction.cursor() as cursor:
            base_index: int = _BASE.unpack(self._get(transaction, b"base"))[0]
            if not cursor.set_range(_KEY.pack(base_index + 1)):
                return 0
            index = base_index
            for index, (key, value) in enumerate(cursor, base_index + 1):
                _decode_entry(index, key, value)
            return index - base_index

    # -- writing -----------------------------------------------------------------------------------------------------

    def perform(self, writes: Sequence[Write]) -> None:
        assert not self._failed, "a failed store is not written again"
        self._require_room(writes)
        before = self._base_index, self._deleted_to
        try:
            with self._environment.begin(write=True) as transaction:
                for write in writes:
                    self._perform(transaction, write)
                self._delete_compacted(transaction)
        except lmdb.MapFullError as error:
            self._base_index, self._deleted_to = before
            raise StorageFull(f"{self._folder}: the log has reached its largest size") from error
        except (lmdb.Error, OSError) as error:
            self._failed = True
            raise StorageFailed(f"{self._folder}: writing the log failed: {error}") from error

    def _require_room(self, writes: Sequence[Write]) -> None:
        needed = sum([len(entry.data) + 64 for write in writes for entry in write.entries]) * 2
        if self.free_bytes() < needed + self._reserve_bytes:
            raise StorageFull(f"{self._folder}: the disk is full")

    def free_bytes(self) -> int:
        """Room left on the disk for this user."""
        status = os.statvfs(self._folder)
        return status.f_bavail * status.f_frsize

    def _perform(self, transaction: lmdb.Transaction, write: Write) -> None:
        if write.hard_state is not None:
            self._put(transaction, b"hard_state", _ENCODE(write.hard_state))
        if write.restore:
            assert write.snapshot is not None
            transaction.drop(self._log, delete=False)
            transaction.drop(self._configurations, delete=False)
            self._set_base(transaction, write.snapshot.index, write.snapshot.term, write.snapshot.time_ns)
            self._deleted_to = self._base_index
        if write.entries:
            self._replace_from(transaction, write.entries)
        if write.snapshot is not None:
            self._put(transaction, b"snapshot", _ENCODE(write.snapshot))
        if write.compact_to > self._base_index:
            key = _KEY.pack(write.compact_to)
            value = transaction.get(key, db=self._log)
            last = _decode_entry(write.compact_to, key, None if value is None else bytes(value))
            self._set_base(transaction, last.index, last.term, last.time_ns)

    def _replace_from(self, transaction: lmdb.Transaction, entries: Sequence[Entry]) -> None:
        first = entries[0].index
        for table in (self._log, self._configurations):
            with transaction.cursor(db=table) as cursor:
                if cursor.set_range(_KEY.pack(first)):
                    while cursor.delete():
                        pass
        with transaction.cursor(db=self._log) as cursor:
            cursor.putmulti([_encode_entry(entry) for entry in entries], append=True)
        for entry in entries:
            if entry.kind == EntryKind.CONFIGURATION:
                self._put(transaction, _KEY.pack(entry.index), entry.data, self._configurations)

    def _set_base(self, transaction: lmdb.Transaction, index: int, term: int, time_ns: int) -> None:
        self._put(transaction, b"base", _BASE.pack(index, term, time_ns))
        self._base_index = index

    def _delete_compacted(self, transaction: lmdb.Transaction) -> None:
        """LMDB uses the pages that come free again, so the file stops growing."""
        to_index = min(self._base_index, self._deleted_to + DELETIONS_PER_TRANSACTION)
        if to_index <= self._deleted_to:
            return
        for table in (self._log, self._configurations):
            with transaction.cursor(db=table) as cursor:
                while cursor.first() and _KEY.unpack(cursor.key())[0] <= to_index:
                    cursor.delete()
        self._deleted_to = to_index

    def replace_configurations(self, data: bytes, snapshot: SnapshotMeta | None) -> None:
        """Manual recovery: every configuration in the log becomes this one, and ``snapshot`` the latest. Before anything else."""
        with self._environment.begin(write=True) as transaction:
            for key in [bytes(key) for key, _ in transaction.cursor(db=self._configurations)]:
                entry = _decode_entry(_KEY.unpack(key)[0], key, transaction.get(key, db=self._log))
                transaction.put(*_encode_entry(msgspec.structs.replace(entry, data=data)), db=self._log)
                self._put(transaction, key, data, self._configurations)
            if snapshot is not None:
                self._put(transaction, b"snapshot", _ENCODE(snapshot))

    def close(self) -> None:
        self._environment.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)

    # -- values with their checksums ---------------------------------------------------------------------------------

    def _put(self, transaction: lmdb.Transaction, key: bytes, value: bytes, table: Any = None) -> None:
        transaction.put(key, value + _CHECKSUM.pack(zlib.crc32(value, zlib.crc32(key))), db=table or self._meta)

    def _get(self, transaction: lmdb.Transaction, key: bytes) -> bytes:
        value = transaction.get(key, db=self._meta)
        if value is None:
            raise StorageDamaged(f"{self._folder}: {key.decode()} is missing")
        return _checked(key, bytes(value), key.decode())


def _encode_entry(entry: Entry) -> tuple[bytes, bytes]:
    key, head, data = _KEY.pack(entry.index), _ENTRY.pack(entry.term, entry.kind, entry.time_ns), entry.data
    return key, head + _CHECKSUM.pack(zlib.crc32(data, zlib.crc32(key + head))) + data


def _decode_entry(index: int, key: bytes, value: bytes | None) -> Entry:
    if value is None or len(value) < _ENTRY.size + _CHECKSUM.size or _KEY.unpack(key)[0] != index:
        raise StorageDamaged(f"entry {index} is missing from the log, or cut short")
    head, data = value[: _ENTRY.size], value[_ENTRY.size + _CHECKSUM.size :]
    if _CHECKSUM.unpack_from(value, _ENTRY.size)[0] != zlib.crc32(data, zlib.crc32(key + head)):
        raise StorageDamaged(f"entry {index} has a wrong checksum")
    term, kind, time_ns = _ENTRY.unpack(head)
    return Entry(index, term, kind, time_ns, data)


def _checked(key: bytes, value: bytes, what: str) -> bytes:
    body, checksum = value[: -_CHECKSUM.size], value[-_CHECKSUM.size :]
    if len(value) < _CHECKSUM.size or _CHECKSUM.unpack(checksum)[0] != zlib.crc32(body, zlib.crc32(key)):
        raise StorageDamaged(f"the {what} has a wrong checksum")
    return body


def _lock_folder(folder: Path) -> int:
    make_folder(folder)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise Conflict(f"{folder} is in use by another process") from error
    return lock
