"""SnapshotService: the catalog as a file and back, proto <-> domain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final

from rostra.catalog.backup import Backup
from rostra.catalog.datacenters import Datacenters
from rostra.catalog.driver import CatalogDriver
from rostra.catalog.leadership import LeadershipWatch
from rostra.catalog.reads import Reads
from rostra.catalog.restoring import Restoring
from rostra.catalog.writes import Writes
from rostra.errors import BadRequest, Unavailable
from rostra.model.consistency import Consistency
from rostra.model.identity import Identity
from rostra.v1 import common_pb2, snapshot_pb2, snapshot_pb2_grpc
from rostra.v1.snapshot_pb2_grpc import SnapshotServiceStub

CHUNK_BYTES: Final = 128 * 1024


class SnapshotServicer(snapshot_pb2_grpc.SnapshotServiceServicer):
    """Each method is a stream; who gives up early ends it."""

    def __init__(
        self,
        identity: Identity,
        driver: CatalogDriver,
        reads: Reads,
        writes: Writes,
        leadership: LeadershipWatch,
        datacenters: Datacenters,
    ) -> None:
        self._identity = identity
        self._datacenters = datacenters
        self._driver = driver
        self._reads = reads
        self._leadership = leadership
        self._restoring = Restoring(writes.write)

    async def SaveSnapshot(
        self, request: snapshot_pb2.SaveSnapshotRequest, context: Any
    ) -> AsyncIterator[snapshot_pb2.SaveSnapshotResponse]:
        if self._datacenters.is_elsewhere(request.header.datacenter):
            async with aclosing(self._elsewhere("SaveSnapshot", request.header, request)) as answers:
                async for answer in answers:
                    yield answer
            return
        consistency = Consistency(request.consistency or Consistency.DEFAULT.value)
        await self._reads.be_fresh(consistency, request.header.timeout_ms / 1000 or None)
        if not self._driver.cluster_id:
            raise Unavailable("the catalog has not been loaded yet")
        backup = Backup(self._driver.state, self._driver.cluster_id, self._identity.datacenter)
        contact = self._leadership.contact(backup.index)
        yield snapshot_pb2.SaveSnapshotResponse(
            description=snapshot_pb2.SnapshotDescription(
                index=backup.index, known_leader=contact.known_leader, last_contact_ms=contact.last_contact_ms
            )
        )
        held = bytearray()
        for piece in backup.file():
            held += piece
            while len(held) >= CHUNK_BYTES:
                yield snapshot_pb2.SaveSnapshotResponse(data=bytes(held[:CHUNK_BYTES]))
                del held[:CHUNK_BYTES]
            await asyncio.sleep(0)
        if held:
            yield snapshot_pb2.SaveSnapshotResponse(data=bytes(held))

    async def RestoreSnapshot(self, request_iterator: Any, context: Any) -> AsyncIterator[snapshot_pb2.RestoreSnapshotResponse]:
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("content") != "header":
            raise BadRequest("the first message of a restore is its header", field="header")
        if self._datacenters.is_elsewhere(first.header.datacenter):
            async with aclosing(self._elsewhere("RestoreSnapshot", first.header, first, request_iterator)) as answers:
                async for answer in answers:
                    yield answer
            return
        self._restoring.check_free()
        yield snapshot_pb2.RestoreSnapshotResponse(accepted=snapshot_pb2.RestoreAccepted())
        index = await self._restoring.restore(_data(request_iterator))
        yield snapshot_pb2.RestoreSnapshotResponse(restored=snapshot_pb2.SnapshotRestored(index=index))

    def _elsewhere(self, method: str, header: common_pb2.RequestHeader, first: Any, more: Any = None) -> AsyncGenerator[Any, None]:
        return self._datacenters.carry(SnapshotServiceStub, method, header.datacenter, first, more)


async def _data(requests: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("content") != "data":
            raise BadRequest("after the header of a restore comes data", field="content")
        yield request.data
