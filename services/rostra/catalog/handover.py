"""What the catalog says on its attachment: how far it has applied, and its snapshot when consensus asks for one.

One task does both, so that the stream has one sender. A snapshot is captured at once and encoded in small steps, while
entries go on being applied; reports stand between its chunks, because they are also the flow control.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from rostra.catalog import metrics
from rostra.catalog.snapshot import Saver
from rostra.catalog.state import CatalogState
from rostra.clients.consensus import MAX_CHUNK_BYTES, AttachStream, SnapshotStart

log = logging.getLogger("rostra.catalog")

NOT_WANTED: Final = -1
REPORT_PAUSE_S: Final = 0.01
"""Between reports: where entries come one by one, one for each would cost half of what applying it does. What may be under way meanwhile
is bounded by the window of the attachment."""


class Handover:
    """``state`` is asked for when a snapshot is wanted. The newest report counts; older ones are not sent."""

    def __init__(self, stream: AttachStream, state: Callable[[], CatalogState], cluster_id: str) -> None:
        self._stream = stream
        self._state = state
        self._cluster_id = cluster_id
        self._changed = asyncio.Event()
        self._reported = 0
        self._wanted = NOT_WANTED

    def report(self) -> None:
        """More has been applied."""
        self._changed.set()

    def want(self, minimum_index: int) -> None:
        """Consensus wants a snapshot of at least that index."""
        self._wanted = minimum_index
        self._changed.set()

    async def run(self) -> None:
        """Until the stream ends."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._send_report()
            if self._wanted != NOT_WANTED and self._state().applied_index >= self._wanted:
                self._wanted = NOT_WANTED
                await self._send_snapshot()
            await asyncio.sleep(REPORT_PAUSE_S)

    async def _send_report(self) -> None:
        index = self._state().applied_index
        if index != self._reported:
            self._reported = index
            await self._stream.report_applied(index)

    async def _send_snapshot(self) -> None:
        started = time.perf_counter()
        saver = Saver(self._state())
        metrics.STATE_MACHINE.observe("raft.fsm.snapshot", time.perf_counter() - started)
        await self._stream.send_snapshot_start(SnapshotStart(self._cluster_id, saver.last_index, saver.last_term, saver.time_ns))
        held, offset = bytearray(), 0
        for piece in saver.pieces():
            if len(held) + len(piece) > MAX_CHUNK_BYTES and held:
                offset = await self._send_chunk(offset, held, last=False)
            held += piece
            while len(held) > MAX_CHUNK_BYTES:
                rest = held[MAX_CHUNK_BYTES:]
                del held[MAX_CHUNK_BYTES:]
                offset = await self._send_chunk(offset, held, last=False)
                held += rest
            await asyncio.sleep(0)
        offset = await self._send_chunk(offset, held, last=True)
        took_s = time.perf_counter() - started
        metrics.STATE_MACHINE.observe("raft.snapshot.create", took_s)
        log.info("snapshot handed over", extra={"index": saver.last_index, "bytes": offset, "seconds": round(took_s, 3)})

    async def _send_chunk(self, offset: int, held: bytearray, *, last: bool) -> int:
        data = bytes(held)
        held.clear()
        await self._stream.send_snapshot_data(offset, data, last=last)
        await self._send_report()
        return offset + len(data)
