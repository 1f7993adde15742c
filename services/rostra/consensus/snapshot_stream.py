"""A snapshot on its way to a peer, in pieces, from where the peer already is."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator
from typing import Final

from rostra.clients.streams import BidiStream
from rostra.errors import Timeout
from rostra.rpc.status import error_from_detail
from rostra.v1 import raft_pb2

SNAPSHOT_TIMEOUT_S: Final = 60.0
"""A peer that neither takes a piece nor answers for so long is given up."""


class SnapshotStream(BidiStream[raft_pb2.InstallSnapshotRequest, raft_pb2.InstallSnapshotResponse]):
    """A snapshot goes out in chunks. Each step raises ``Timeout`` where the peer is silent for ``SNAPSHOT_TIMEOUT_S``."""

    async def resume_at(self) -> int:
        """The offset that the peer wants next; raises what it refuses the offer with."""
        async with _patience():
            return (await self._answer()).received_bytes

    async def send(self, offset: int, data: bytes) -> None:
        """One piece."""
        chunk = raft_pb2.SnapshotChunk(offset=offset, data=data, crc32=zlib.crc32(data))
        async with _patience():
            await self.write(raft_pb2.InstallSnapshotRequest(chunk=chunk))

    async def finish(self, offset: int) -> int:
        """The end; the log index up to which the peer has installed it."""
        async with _patience():
            await self.write(raft_pb2.InstallSnapshotRequest(chunk=raft_pb2.SnapshotChunk(offset=offset, last=True)))
            while (answer := await self._answer()).WhichOneof("content") != "installed_index":
                pass
        return answer.installed_index

    async def _answer(self) -> raft_pb2.InstallSnapshotResponse:
        answer = await self.read()
        if answer.HasField("refusal"):
            raise error_from_detail(answer.refusal)
        return answer


@contextlib.asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(SNAPSHOT_TIMEOUT_S):
            yield
    except TimeoutError:
        raise Timeout(f"no sign of life within {SNAPSHOT_TIMEOUT_S:g} s") from None
