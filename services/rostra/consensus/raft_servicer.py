"""RaftService: what other servers of the cluster send us."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

from rostra.consensus.configuration import Configuration
from rostra.consensus.convert import (
    configuration_from_proto,
    configuration_to_proto,
    peer_from_proto,
    peer_to_proto,
    snapshot_meta_from_proto,
)
from rostra.consensus.driver import Consensus
from rostra.consensus.metrics import RAFT
from rostra.consensus.model import PeerId
from rostra.consensus.wire import message_from_proto
from rostra.errors import BadRequest, Conflict, RostraError
from rostra.model.identity import Identity
from rostra.rpc.hello import check_hello, describe, make_hello
from rostra.rpc.status import detail_from_error
from rostra.v1 import common_pb2, raft_pb2, raft_pb2_grpc

log = logging.getLogger("rostra.consensus")


class Bootstrap(Protocol):
    """The promises of a server that belongs to no cluster yet."""

    def promise(self, configuration: Configuration | None, expect: int) -> tuple[Configuration | None, str]:
        """Whether this configuration may be started: the one promised before if it may not, and why not (empty: it may). Without one,
        only what has been promised."""
        ...

    def commit(self, configuration: Configuration) -> None:
        """Everyone has promised. Raises ``Conflict``."""
        ...


class RaftServicer(raft_pb2_grpc.RaftServiceServicer):
    """Foreign clusters, foreign datacenters and messages for another store are refused by name."""

    def __init__(self, consensus: Consensus, identity: Identity, bootstrap: Bootstrap) -> None:
        self._consensus = consensus
        self._identity = identity
        self._bootstrap = bootstrap

    async def Exchange(self, request_iterator: Any, context: Any) -> AsyncIterator[raft_pb2.ExchangeResponse]:
        peer = await self._welcome(request_iterator)
        yield raft_pb2.ExchangeResponse(hello=self._hello())
        own = self._consensus.core.id
        async for request in request_iterator:
            delivered = []
            for each in request.batch.messages:
                if peer_from_proto(each.receiver) != own:
                    yield raft_pb2.ExchangeResponse(refusal=detail_from_error(_not_us(peer_from_proto(each.receiver), own, peer)))
                    continue
                delivered.append(message_from_proto(each))
            self._consensus.deliver(delivered)

    async def InstallSnapshot(self, request_iterator: Any, context: Any) -> AsyncIterator[raft_pb2.InstallSnapshotResponse]:
        peer = await self._welcome(request_iterator)
        yield raft_pb2.InstallSnapshotResponse(hello=self._hello())
        offer = (await anext(request_iterator)).offer
        if peer_from_proto(offer.receiver) != self._consensus.core.id:
            raise _not_us(peer_from_proto(offer.receiver), self._consensus.core.id, peer)
        meta = snapshot_meta_from_proto(offer.header)
        began = time.monotonic()
        writer = await self._consensus.begin_snapshot(meta, offer.size_bytes)
        finished = False
        try:
            yield raft_pb2.InstallSnapshotResponse(received_bytes=writer.offset)
            async for request in request_iterator:
                chunk = request.chunk
                if chunk.offset != writer.offset or (chunk.data and zlib.crc32(chunk.data) != chunk.crc32):
                    raise BadRequest(f"a piece of the snapshot at {chunk.offset} is out of place or damaged", field="chunk")
                if chunk.data:
                    await self._consensus.write_snapshot(writer, chunk.data)
                if chunk.last:
                    finished = True
                    sender = peer_from_proto(offer.sender)
                    await self._consensus.install_snapshot(
                        writer, meta, offer.term, sender, size=offer.size_bytes, checksum=offer.data_crc32
                    )
                    RAFT.observe("raft.rpc.installSnapshot", time.monotonic() - began)
                    log.info("snapshot received", extra={"index": meta.index, "size_bytes": writer.offset, "from": peer})
                    yield raft_pb2.InstallSnapshotResponse(installed_index=meta.index)
                    return
        finally:
            if not finished:
                writer.pause()

    async def PromiseBootstrap(self, request: raft_pb2.PromiseBootstrapRequest, context: Any) -> raft_pb2.PromiseBootstrapResponse:
        self._check_datacenter(request.hello)
        configuration = configuration_from_proto(request.configuration) if request.HasField("configuration") else None
        earlier, reason = self._bootstrap.promise(configuration, request.expect)
        return raft_pb2.PromiseBootstrapResponse(
            promised=configuration is not None and not reason,
            earlier=configuration_to_proto(earlier) if earlier is not None else None,
            reason=reason,
            store=peer_to_proto(self._consensus.core.id),
        )

    async def CommitBootstrap(self, request: raft_pb2.CommitBootstrapRequest, context: Any) -> raft_pb2.CommitBootstrapResponse:
        self._check_datacenter(request.hello)
        try:
            self._bootstrap.commit(configuration_from_proto(request.configuration))
        except RostraError as error:
            return raft_pb2.CommitBootstrapResponse(written=False, reason=str(error))
        return raft_pb2.CommitBootstrapResponse(written=True)

    def _hello(self) -> common_pb2.Hello:
        return make_hello(self._identity, "consensus", self._consensus.core.cluster_id)

    async def _welcome(self, requests: AsyncIterator[Any]) -> str:
        try:
            first = await anext(requests)
        except StopAsyncIteration:
            raise BadRequest("the stream ended before it began", field="hello") from None
        if first.WhichOneof("content") != "hello":
            raise BadRequest("the first message of a stream is Hello", field="hello")
        check_hello(first.hello, self._consensus.core.cluster_id)
        self._check_datacenter(first.hello)
        return describe(first.hello)

    def _check_datacenter(self, hello: common_pb2.Hello) -> None:
        check_hello(hello)
        if hello.node.datacenter != self._identity.datacenter:
            raise Conflict(f"{describe(hello)} is of datacenter {hello.node.datacenter}, we are of {self._identity.datacenter}")


def _not_us(to: PeerId, own: PeerId, peer: str) -> Conflict:
    return Conflict(f"a message of {peer} for store {to.store_id} of node {to.node_id} reached store {own.store_id} of node {own.node_id}")
