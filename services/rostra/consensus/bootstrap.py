"""The first configuration of a cluster of several servers (``-bootstrap-expect N``), agreed on before any of them has a log.

Every server waits until gossip shows N servers that expect N. The one with the lowest node ID proposes a configuration that names
every store, and collects a durable promise from each. A server promises one configuration only, and says which when it is
asked for another; whoever proposes then takes that one up again. Only when all have promised is it written. So two halves of a fleet that
see each other late cannot start two clusters with a server in both, and a proposer that dies half-way is continued, not contradicted.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from grpc import aio

from rostra.consensus.configuration import Configuration, decode_configuration
from rostra.consensus.convert import configuration_from_proto, configuration_to_proto
from rostra.consensus.driver import Consensus
from rostra.consensus.model import Member, PeerId, Suffrage
from rostra.consensus.peers import Peers
from rostra.consensus.servers import Servers
from rostra.durable import replace_file
from rostra.errors import Conflict, RostraError
from rostra.rpc.status import error_from_rpc
from rostra.v1 import raft_pb2
from rostra.v1.raft_pb2_grpc import RaftServiceStub

log = logging.getLogger("rostra.consensus")

LOOK_S: Final = 0.25
CALL_TIMEOUT_S: Final = 2.0


class Promises:
    """What this server has promised, on disk where there is one."""

    def __init__(self, consensus: Consensus, folder: Path | None, expect: int) -> None:
        self._consensus = consensus
        self._path = folder / "bootstrap-promise" if folder is not None else None
        self._expect = expect
        self._promised = self._load()

    @property
    def promised(self) -> Configuration | None:
        """What has been promised, if anything."""
        return self._promised

    def promise(self, configuration: Configuration | None, expect: int) -> tuple[Configuration | None, str]:
        """An empty reason: given, and durable. Without a configuration: what has been promised, if anything."""
        core = self._consensus.core
        if core.cluster_id:
            return None, f"this server belongs to cluster {core.cluster_id} already"
        if expect != self._expect:
            return None, f"this server expects {self._expect} servers, not {expect}"
        if configuration is None:
            return self._promised, ""
        if core.id not in configuration.voters:
            return None, f"the configuration does not name store {core.id.store_id} of node {core.id.node_id}"
        if self._promised is not None and self._promised != configuration:
            return self._promised, "another configuration has been promised"
        self._promised = configuration
        self._save(configuration)
        return None, ""

    def commit(self, configuration: Configuration) -> None:
        """Writes it as the first entry of the log, unless it is there already."""
        cluster_id = self._consensus.core.cluster_id
        if cluster_id == configuration.cluster_id:
            return
        if cluster_id or self._promised != configuration:
            raise Conflict("this is not the configuration that this server promised")
        self._consensus.bootstrap_as(configuration)

    def _load(self) -> Configuration | None:
        if self._path is None or not self._path.exists():
            return None
        return decode_configuration(self._path.read_bytes())

    def _save(self, configuration: Configuration) -> None:
        if self._path is not None:
            replace_file(self._path, configuration.encode())


class Proposer:
    """Starts the cluster when every expected server is there and this one's turn it is."""

    def __init__(
        self,
        consensus: Consensus,
        promises: Promises,
        peers: Peers,
        expect: int,
        own_address: str,
        servers: Servers,
        rng: random.Random,
    ) -> None:
        self._consensus = consensus
        self._promises = promises
        self._peers = peers
        self._expect = expect
        self._own_address = own_address
        self._rng = rng
        self._servers = servers
        self._told = ""

    async def run(self) -> None:
        """Until this server belongs to a cluster."""
        while not self._consensus.core.cluster_id:
            try:
                await self._look()
            except RostraError as error:
                self._tell(f"bootstrap is waiting: {error}")
            await asyncio.sleep(LOOK_S * self._rng.uniform(0.8, 1.2))

    async def _look(self) -> None:
        own = self._consensus.core.id
        found = dict(self._servers.expecting(self._expect)) | {own.node_id: (self._peers.identity.name, self._own_address)}
        if len(found) < self._expect:
            self._tell(f"bootstrap is waiting for {self._expect - len(found)} more servers")
            return
        if min(found) != own.node_id:
            self._tell("bootstrap is waiting for the server with the lowest node ID to propose")
            return
        statuses = {node_id: await self._peers.ask_status(address) for node_id, (_, address) in found.items() if node_id != own.node_id}
        for node_id, status in statuses.items():
            if status.cluster_id:
                self._tell(f"server {found[node_id][0]} belongs to cluster {status.cluster_id}: waiting to be taken in there")
                return
        stores = {node_id: PeerId(node_id, status.id.store_id) for node_id, status in statuses.items()} | {own.node_id: own}
        members = [Member(stores[node_id], Suffrage.VOTER, *found[node_id]) for node_id in sorted(found)]
        await self._propose(Configuration(str(uuid.uuid4()), tuple(members)), [found[node_id][1] for node_id in statuses])

    async def _propose(self, configuration: Configuration, others: Sequence[str]) -> None:
        """Others first, this server last: so a configuration that one of them has promised before can still become ours too."""
        configuration = self._promises.promised or await self._promised_before(others) or configuration
        for address in others:
            answer = await self._ask(address, configuration)
            if not answer.promised:
                raise Conflict(f"{address}: {answer.reason}")
        _, reason = self._promises.promise(configuration, self._expect)
        if reason:
            raise Conflict(reason)
        self._promises.commit(configuration)
        log.info("cluster bootstrapped", extra={"cluster": configuration.cluster_id, "servers": len(configuration.members)})
        for address in others:
            await self._commit(address, configuration)

    async def _promised_before(self, others: Sequence[str]) -> Configuration | None:
        """What any of them has promised. Looked for before anyone is asked to promise: else one would promise the new configuration, and
        another could not any more."""
        found: Configuration | None = None
        for address in others:
            answer = await self._ask(address, None)
            if answer.reason:
                raise Conflict(f"{address}: {answer.reason}")
            if not answer.HasField("earlier"):
                continue
            earlier = configuration_from_proto(answer.earlier)
            if self._consensus.core.id not in earlier.voters:
                raise Conflict(f"{address} has promised to start cluster {earlier.cluster_id}, which this server is not part of")
            if found is not None and earlier != found:
                raise Conflict(f"{address} has promised to start cluster {earlier.cluster_id}, another server {found.cluster_id}")
            log.info("going on with a configuration that was promised before", extra={"server": address})
            found = earlier
        return found

    async def _ask(self, address: str, configuration: Configuration | None) -> raft_pb2.PromiseBootstrapResponse:
        """For a promise; without a configuration, what has been promised."""
        request = raft_pb2.PromiseBootstrapRequest(
            hello=self._peers.hello(),
            configuration=None if configuration is None else configuration_to_proto(configuration),
            expect=self._expect,
        )
        async with self._peers.connector.connect(address) as channel:
            try:
                return await RaftServiceStub(channel).PromiseBootstrap(request, timeout=CALL_TIMEOUT_S)
            except aio.AioRpcError as error:
                raise error_from_rpc(error) from None

    async def _commit(self, address: str, configuration: Configuration) -> None:
        """One that misses it learns the cluster from the leader's first message."""
        request = raft_pb2.CommitBootstrapRequest(hello=self._peers.hello(), configuration=configuration_to_proto(configuration))
        async with self._peers.connector.connect(address) as channel:
            try:
                await RaftServiceStub(channel).CommitBootstrap(request, timeout=CALL_TIMEOUT_S)
            except aio.AioRpcError as error:
                log.info("a server was not told of the bootstrap", extra={"server": address, "reason": error.details()})

    def _tell(self, what: str) -> None:
        if what != self._told:
            self._told = what
            log.info("%s", what)
