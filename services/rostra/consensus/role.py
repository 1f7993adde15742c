"""The consensus role: store, driver and ConsensusService as one object."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rostra.consensus.bootstrap import Promises, Proposer
from rostra.consensus.check import SNAPSHOTS, StoreCheck
from rostra.consensus.driver import Consensus, Limits
from rostra.consensus.lmdb_store import LmdbStore
from rostra.consensus.metrics import RAFT, Replication
from rostra.consensus.peers import AddressBook, Peers
from rostra.consensus.raft_servicer import RaftServicer
from rostra.consensus.ready import Options
from rostra.consensus.recovery import FILE, recover_from_file
from rostra.consensus.servers import MemberWatch, Servers
from rostra.consensus.servicer import ConsensusServicer
from rostra.consensus.snapshots import FileSnapshots, MemorySnapshots, SnapshotStore
from rostra.consensus.storage import MemoryStore, Store
from rostra.consensus.timing import Timing
from rostra.errors import Conflict
from rostra.model.identity import Identity
from rostra.model.servers import server_address
from rostra.rpc.channels import Connector
from rostra.telemetry.metrics import expose_stats

log = logging.getLogger("rostra.consensus")

CONTACT_S: Final = 0.5
TWIN_LIMIT_S: Final = 10.0
"""For so long another server may carry this node's ID: the name that this node had before may not have failed yet."""


@dataclass(frozen=True, slots=True)
class ConsensusSettings:
    """``folder`` holds the log and the snapshots; None keeps them in memory. ``expect``: with how many servers an empty store starts a
    cluster: 1 at once and alone; 0 never, it waits to be taken into one. ``primary_grace_s``: a leader hands over after so long
    without a state machine."""

    timing: Timing
    folder: Path | None = None
    expect: int = 1
    server_address: str = ""
    snapshot_threshold: int = 16_384
    snapshot_interval_s: float = 30.0
    trailing_logs: int = 10_240
    primary_grace_s: float = 2.0


class ConsensusRole:
    """One server of the replicated log."""

    name = "consensus"

    def __init__(
        self, identity: Identity, settings: ConsensusSettings, gossip: MemberWatch, connector: Connector, rng: random.Random
    ) -> None:
        self._identity = identity
        self._settings = settings
        self._check = StoreCheck(settings.folder) if settings.folder is not None else None
        if self._check is not None:
            self._check.before_start()
        store, snapshots = _open(settings.folder, identity.id)
        book = AddressBook(lambda: self.consensus.core.configuration)
        self._peers = Peers(identity, book, lambda: self.consensus.core.id, connector, rng)
        self.consensus = Consensus(
            node_id=identity.id,
            store=store,
            snapshots=snapshots,
            timing=settings.timing,
            transport=self._peers,
            options=Options(trailing_logs=settings.trailing_logs),
            limits=Limits(
                snapshot_threshold=settings.snapshot_threshold,
                snapshot_interval_s=settings.snapshot_interval_s,
                primary_grace_s=settings.primary_grace_s,
            ),
            random=rng,
        )
        self._peers.cluster_id = lambda: self.consensus.core.cluster_id
        self._peers.unreachable = self.consensus.unreachable
        self._servers = Servers(gossip, identity, book, rng)
        promises = Promises(self.consensus, settings.folder, settings.expect)
        self._proposer = Proposer(self.consensus, promises, self._peers, settings.expect, settings.server_address, self._servers, rng)
        self.servicer = ConsensusServicer(self.consensus, identity, self._peers)
        self.raft_servicer = RaftServicer(self.consensus, identity, promises)

    @property
    def ready(self) -> bool:
        """Whether a leader is known."""
        return self.consensus.is_ready

    async def start(self) -> None:
        """Starts a new cluster where it was told to and the store is empty."""
        if self._settings.expect == 1 and not self.consensus.core.cluster_id:
            cluster_id = self.consensus.bootstrap(node_name=self._identity.name, address=self._settings.server_address)
            log.info("cluster bootstrapped", extra={"cluster": cluster_id})

    async def run(self) -> None:
        hide = expose_stats(self.name, self.stats)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._report_leaders(), name="consensus: report leaders")
                group.create_task(self._watch_contact(), name="consensus: contact with a quorum")
                group.create_task(self._peers.run(), name="consensus: peers")
                group.create_task(self._servers.run(), name="consensus: servers")
                group.create_task(self._stay_the_only_one(), name="consensus: other processes of this node")
                if self._settings.expect > 1:
                    group.create_task(self._proposer.run(), name="consensus: bootstrap")
                if self._check is not None:
                    group.create_task(self._check.verdict(), name="consensus: check of the log")
                await self.consensus.run()
        finally:
            if self._check is not None:
                self._check.stop()
            hide()

    async def stop(self) -> None:
        """The store closes with ``run``."""

    async def _watch_contact(self) -> None:
        """For Consul's metrics."""
        consensus, core = self.consensus, self.consensus.core
        RAFT.watch("raft.applied_index", lambda: float(consensus.applied_index))
        RAFT.watch("raft.last_index", lambda: float(core.log.last_index))
        RAFT.watch("raft.peers", lambda: float(len(core.configuration.members)))
        RAFT.watch("raft.leader.oldestLogAge", lambda: consensus.oldest_entry_age_s() * 1000)
        RAFT.watch("server.isLeader", lambda: float(core.term_confirmed))
        replication = Replication()
        while True:
            await asyncio.sleep(CONTACT_S)
            replication.look(core.progress)
            age_s = consensus.quorum_contact_s()
            if age_s is not None:
                RAFT.observe("raft.leader.lastContact", age_s)

    async def _stay_the_only_one(self) -> None:
        """Raises ``Conflict`` where this server runs on a copy of another's data folder. Nobody but gossip can tell; and of the two it is
        not the one that Raft's configuration has the address of."""
        since = math.inf
        while True:
            await asyncio.sleep(CONTACT_S)
            now, twin = asyncio.get_running_loop().time(), self._servers.twin()
            member = self.consensus.core.configuration.by_id.get(self.consensus.core.id)
            if twin is None or (member is not None and member.address == self._settings.server_address):
                since = math.inf
                continue
            since = min(since, now)
            if now - since > TWIN_LIMIT_S:
                raise Conflict(
                    f"server {twin.name} at {server_address(twin)} has the ID of this node, {self._identity.id}: one of the two runs on a "
                    "copy of the other's data folder. A new server begins with an empty folder"
                )

    async def _report_leaders(self) -> None:
        """What an operator looks for in the log: who leads. Of itself a server says so once its catalog has taken office."""
        elected = ""
        async for leadership in self.consensus.watch_leadership():
            if leadership.leader_name and leadership.leader_name != elected:
                elected = leadership.leader_name
                if elected != self._identity.name:
                    log.info("New leader elected: %s", elected, extra={"term": leadership.term})

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        return {"raft": self.consensus.stats()}


def _open(folder: Path | None, node_id: str) -> tuple[Store, SnapshotStore]:
    if folder is None:
        return MemoryStore(), MemorySnapshots()
    store, snapshots = LmdbStore(folder), FileSnapshots(folder / SNAPSHOTS)
    for place in (folder.parent / "raft" / FILE, folder / FILE):  # the first is where Consul has it
        recover_from_file(place, store, snapshots, node_id)
    return store, snapshots
