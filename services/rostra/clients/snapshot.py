"""Client of ``SnapshotService``: a catalog as a file, and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from grpc import aio

from rostra.clients.streams import milliseconds
from rostra.errors import Unavailable
from rostra.model.consistency import Consistency
from rostra.rpc.status import error_from_rpc
from rostra.v1 import common_pb2, snapshot_pb2
from rostra.v1.snapshot_pb2_grpc import SnapshotServiceStub

HOLD_S: Final = 7.0
CHUNK_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class SavedSnapshot:
    """What the file is of, and its bytes; to be read to the end or closed."""

    index: int
    known_leader: bool
    last_contact_ms: int
    chunks: AsyncIterator[bytes]


class SnapshotClient:
    """``datacenter`` is the one that requests are for; empty for the server's. Raises ``rostra.errors``."""

    def __init__(self, channel: aio.Channel, datacenter: str = "") -> None:
        self._stub = SnapshotServiceStub(channel)
        self._datacenter = datacenter

    async def save(self, consistency: Consistency = Consistency.DEFAULT, *, hold_s: float = HOLD_S) -> SavedSnapshot:
        """Returns once the file begins; ``hold_s`` is how long a leader is waited for."""
        request = snapshot_pb2.SaveSnapshotRequest(
            header=self._header(hold_s), consistency=common_pb2.Consistency.ValueType(consistency.value)
        )
        call = _opened(self._stub.SaveSnapshot, request)
        first = await _next(call)
        if first is None or first.WhichOneof("content") != "description":
            call.cancel()
            raise Unavailable("the server did not say what the snapshot is of")
        what = first.description
        return SavedSnapshot(what.index, what.known_leader, what.last_contact_ms, _data(call))

    async def restore(self, chunks: AsyncIterator[bytes], *, hold_s: float = HOLD_S) -> int:
        """Sends a whole file; the log index at which its content took the catalog's place."""
        call = _opened(self._stub.RestoreSnapshot)
        try:
            await _write(call, snapshot_pb2.RestoreSnapshotRequest(header=self._header(hold_s)))
            await _next(call)
            if await _send_all(call, chunks):
                await call.done_writing()
            answer = await _next(call)
            if answer is None:
                raise Unavailable("the server ended the restore without a word")
            return int(answer.restored.index)
        finally:
            call.cancel()

    def _header(self, hold_s: float) -> common_pb2.RequestHeader:
        return common_pb2.RequestHeader(datacenter=self._datacenter, timeout_ms=milliseconds(hold_s))


def _opened(method: Any, *request: Any) -> Any:
    try:
        return method(*request)
    except aio.UsageError as error:
        raise Unavailable(str(error)) from None


async def _next(call: Any) -> Any:
    """The next message, None at the end."""
    try:
        message = await call.read()
    except aio.AioRpcError as error:
        raise error_from_rpc(error) from None
    return None if message is aio.EOF else message


async def _send_all(call: Any, chunks: AsyncIterator[bytes]) -> bool:
    async for chunk in chunks:
        for start in range(0, len(chunk), CHUNK_BYTES):
            if not await _write(call, snapshot_pb2.RestoreSnapshotRequest(data=chunk[start : start + CHUNK_BYTES])):
                return False
    return True


async def _write(call: Any, message: Any) -> bool:
    """False when the server takes no more: the next reading says why."""
    try:
        await call.write(message)
    except (aio.AioRpcError, aio.UsageError, asyncio.InvalidStateError):
        return False
    return True


async def _data(call: Any) -> AsyncIterator[bytes]:
    try:
        while (message := await _next(call)) is not None:
            yield message.data
    finally:
        call.cancel()
