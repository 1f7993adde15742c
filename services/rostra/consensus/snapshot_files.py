"""Snapshots from the event loop: every touch of a file happens in one named thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

from rostra.consensus.model import SnapshotMeta
from rostra.consensus.snapshots import SnapshotStore, SnapshotWriter
from rostra.consensus.storage import StorageDamaged, StorageFull

Values = TypeVarTuple("Values")
Result = TypeVar("Result")


class SnapshotFiles:
    """A ``SnapshotStore`` that is awaited. What the disk refuses to take is ``StorageFull``."""

    def __init__(self, store: SnapshotStore) -> None:
        self.store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="consensus-snapshots")

    async def read(self, meta: SnapshotMeta) -> AsyncIterator[bytes]:
        """The data, in chunks."""
        chunks = self.store.read(meta)
        while (chunk := await self._in_thread(_next_chunk, chunks)) is not None:
            yield chunk

    async def save(self, meta: SnapshotMeta, chunks: AsyncIterator[bytes]) -> int:
        """Writes a whole snapshot and returns its size once it is durable. What breaks off leaves nothing behind."""
        writer = await self._write(self.store.create, meta)
        try:
            async for chunk in chunks:
                await self._write(writer.write, chunk)
            await self._write(writer.finish)
        except BaseException:
            writer.discard()
            raise
        return writer.offset

    async def begin(self, meta: SnapshotMeta, size: int) -> SnapshotWriter:
        """Opens a snapshot where an interrupted one of the same description left off, unless there is more of it than it has."""
        return await self._write(self._begin, meta, size)

    def _begin(self, meta: SnapshotMeta, size: int) -> SnapshotWriter:
        writer = self.store.create(meta, resume=True)
        if writer.offset <= size:
            return writer
        writer.discard()  # a crash left the end of the file there, or rubbish
        return self.store.create(meta)

    async def write(self, writer: SnapshotWriter, chunk: bytes) -> None:
        """Adds a chunk."""
        await self._write(writer.write, chunk)

    async def finish(self, writer: SnapshotWriter, size: int, checksum: int) -> None:
        """Makes it durable, if it is what was sent. Else it is thrown away: ``StorageDamaged``."""
        if (writer.offset, writer.checksum) != (size, checksum):
            await self._in_thread(writer.discard)
            raise StorageDamaged("what has arrived of the snapshot is not what was sent: it has to be sent again, from the start")
        await self._write(writer.finish)

    async def discard_but(self, latest: SnapshotMeta) -> None:
        """Removes what is older."""
        await self._in_thread(self.store.discard_but, latest)

    def close(self) -> None:
        """Waits for nothing."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _write(self, call: Callable[[*Values], Result], *values: *Values) -> Result:
        try:
            return await self._in_thread(call, *values)
        except OSError as error:
            raise StorageFull(f"the snapshot could not be written: {error}") from error

    async def _in_thread(self, call: Callable[[*Values], Result], *values: *Values) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *values)


def _next_chunk(chunks: Iterator[bytes]) -> bytes | None:
    return next(chunks, None)
