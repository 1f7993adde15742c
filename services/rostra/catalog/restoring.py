"""A restore from this catalog's side: the file is read and checked to its end before its first piece is proposed.

The pieces are kept in a file without a name (``TMPDIR``), not in memory; they are proposed one after the other, as each is applied here.
Whatever fails before the last piece leaves the catalog as it is: every server drops a restore that does not go on.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import IO, Final

from rostra.catalog.backup import BackupReader, PartMaker
from rostra.catalog.frames import LENGTH
from rostra.catalog.metrics import STATE_MACHINE
from rostra.errors import BadRequest, Busy, Conflict, Unavailable, UnknownOutcome
from rostra.model.catalog import RestorePart

log = logging.getLogger("rostra.catalog")

MAX_FILE_BYTES: Final = 1 << 30
"""A larger file is refused: a catalog of a million instances takes a tenth of it."""
SLICE_S: Final = 0.001
RESTORE_ID_BYTES: Final = 16
CHUNK_BYTES: Final = 64 * 1024


class Restoring:
    """``propose`` returns the log index at which a piece was applied, or raises. One restore at a time."""

    def __init__(self, propose: Callable[[RestorePart], Awaitable[int]], *, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        self._propose = propose
        self._max_file_bytes = max_file_bytes
        self._busy = False

    def check_free(self) -> None:
        """Raises ``Busy`` while one is under way."""
        if self._busy:
            raise Busy("another restore is under way", retry_after_s=1.0)

    async def restore(self, chunks: AsyncIterator[bytes]) -> int:
        """Takes a whole file and returns the index at which its content took the catalog's place. Raises ``BadSnapshot``, and whatever
        a write may be refused with."""
        self.check_free()
        self._busy = True
        try:
            with _scratch_file() as spool:
                source = await self._read(chunks, spool)
                log.info("restoring a backup", extra={"snapshot": source})
                started = time.perf_counter()
                index = await self._propose_all(spool)
            took_s = time.perf_counter() - started
            STATE_MACHINE.observe("raft.restoreUserSnapshot", took_s)
            log.info("backup restored", extra={"snapshot": source, "index": index, "seconds": round(took_s, 3)})
            return index
        finally:
            self._busy = False

    async def _read(self, chunks: AsyncIterator[bytes], spool: IO[bytes]) -> str:
        """The file as pieces in ``spool``; returns what names it."""
        reader, maker, size = BackupReader(), PartMaker(secrets.token_bytes(RESTORE_ID_BYTES)), 0
        turn = time.perf_counter()
        async for chunk in chunks:
            size += len(chunk)
            if size > self._max_file_bytes:
                raise BadRequest(f"the snapshot is larger than {self._max_file_bytes} bytes", field="body")
            for start in range(0, len(chunk), CHUNK_BYTES):
                for frames in reader.frames(chunk[start : start + CHUNK_BYTES]):
                    for part in maker.add(frames):
                        _write(spool, part)
                    if time.perf_counter() - turn > SLICE_S:
                        await asyncio.sleep(0)
                        turn = time.perf_counter()
        reader.finish()
        _write(spool, maker.finish())
        assert reader.meta is not None, "a file that is whole has its head"
        return reader.meta.id

    async def _propose_all(self, spool: IO[bytes]) -> int:
        index, last = 0, False
        for part in _parts(spool):
            last = part.last
            try:
                index = await self._propose(part)
            except Conflict as error:
                raise Conflict(f"nothing was restored: {error}") from None
            except UnknownOutcome:
                if last:
                    raise
                raise Unavailable("nothing was restored: the leader was lost in the middle of it") from None
        assert last, "the last piece says that it is"
        return index


def _scratch_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(prefix="rostra-restore-")
    except OSError as error:
        raise Unavailable(f"no room to keep the snapshot while it is restored: {error}") from None


def _write(spool: IO[bytes], part: RestorePart) -> None:
    """Number and last are the reader's to know again: order and end of the file."""
    try:
        spool.write(part.restore_id + bytes([part.last]) + LENGTH.pack(len(part.frames)) + part.frames)
    except OSError as error:
        raise Unavailable(f"no room to keep the snapshot while it is restored: {error}") from None


def _parts(spool: IO[bytes]) -> Iterator[RestorePart]:
    spool.seek(0)
    number = 0
    while head := spool.read(RESTORE_ID_BYTES + 1 + LENGTH.size):
        (length,) = LENGTH.unpack_from(head, RESTORE_ID_BYTES + 1)
        yield RestorePart(head[:RESTORE_ID_BYTES], number, spool.read(length), last=bool(head[RESTORE_ID_BYTES]))
        number += 1
