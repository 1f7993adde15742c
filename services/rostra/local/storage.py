"""What was registered with this node by its API, kept over restarts.

One LMDB file, one record for each service and check: a change costs one small transaction with one fsync, however much is registered.
A record is the contract's message; its key is a hash, because LMDB's keys end at 511 bytes and an ID may be longer. ``version`` says
how to read it all. Acknowledged means durable.

What happens when the disk misbehaves, after ``rostra.consensus.lmdb_store``: a full disk refuses the change, and the next is tried
again; a write or fsync that fails otherwise refuses every change until a restart, since the kernel may have dropped pages without
a further word (fsyncgate, 2018).
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import lmdb
from google.protobuf.message import DecodeError

from rostra.durable import make_folder, sync_folder
from rostra.errors import RostraError
from rostra.model.catalog import Check, Service
from rostra.model.proto import check_from_proto, check_to_proto, service_from_proto, service_to_proto
from rostra.model.topics import SEPARATOR, node_check_key, node_service_key
from rostra.v1 import catalog_pb2

VERSION: Final = b"1"
MAP_SIZE: Final = 1 << 30
"""Address space, not size of the file: room for a million checks."""

RESERVE_BYTES: Final = 1 << 20
"""Left free on the disk beyond what a transaction needs: the pages of the tree itself."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Record = Service | Check


class LocalStore:
    """The file ``registrations.mdb`` in ``folder``, which one process at a time may have; no folder: nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / "registrations.mdb" if folder is not None else None
        self._environment: lmdb.Environment | None = None
        self._failure = ""

    @property
    def keeps(self) -> bool:
        return self._path is not None

    def open(self) -> dict[str, Record]:
        """What was kept, by key. Raises ``RostraError`` naming the file when it cannot be read."""
        if self._path is None:
            return {}
        try:
            make_folder(self._path.parent)
            self._environment = lmdb.open(str(self._path), subdir=False, map_size=MAP_SIZE, mode=0o600)
            sync_folder(self._path.parent)
            with self._environment.begin(write=True) as transaction:
                version = transaction.get(b"version")
                if version is None:
                    transaction.put(b"version", VERSION)
                elif version != VERSION:
                    raise RostraError(f"{self._path}: version {version!r} is not one that this rostra reads")
                records = [_read(key, value) for key, value in transaction.cursor() if key != b"version"]
        except (OSError, lmdb.Error, DecodeError, ValueError) as error:
            raise RostraError(f"{self._path}: cannot be read: {error}") from error
        return {node_service_key(each.id) if isinstance(each, Service) else node_check_key(each.check_id): each for each in records}

    def write(self, changes: Mapping[str, Record | None]) -> None:
        """All or nothing, durable when it returns; None removes. Raises ``RostraError``. May be called from another thread."""
        if self._path is None:
            return
        if self._failure:
            raise RostraError(f"nothing was changed: {self._failure}")
        try:
            free = os.statvfs(self._path.parent)
            if free.f_bavail * free.f_frsize < RESERVE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._environment is None:
                self._environment = lmdb.open(str(self._path), subdir=False, map_size=MAP_SIZE, mode=0o600)
            with self._environment.begin(write=True) as transaction:
                for key, record in changes.items():
                    if record is None:
                        transaction.delete(_stored(key))
                    else:
                        transaction.put(_stored(key), _written(record))
        except (OSError, lmdb.Error) as error:
            self.close()
            problem = f"{self._path} cannot be written: {error}"
            if not isinstance(error, lmdb.MapFullError) and not any(os.strerror(each) in str(error) for each in _FULL):
                self._failure = problem
            raise RostraError(f"nothing was changed: {problem}") from error

    def close(self) -> None:
        if self._environment is not None:
            self._environment.close()
            self._environment = None


def _stored(key: str) -> bytes:
    kind, _, name = key.partition(SEPARATOR)
    return f"{kind}{SEPARATOR}".encode() + hashlib.sha256(name.encode()).digest()


def _written(record: Record) -> bytes:
    message = service_to_proto(record) if isinstance(record, Service) else check_to_proto(record)
    return message.SerializeToString()


def _read(key: bytes, value: bytes) -> Record:
    if key.startswith(b"service\0"):
        return service_from_proto(catalog_pb2.Service.FromString(value))
    if key.startswith(b"check\0"):
        return check_from_proto(catalog_pb2.Check.FromString(value))
    raise ValueError(f"there is a record of an unknown kind: {key!r}")
