"""The catalog role: everything of it, put together. It binds nothing: its servicers are served by the process it lives in."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from typing import Final

from rostra.catalog import metrics
from rostra.catalog.autopilot import Autopilot
from rostra.catalog.autopilot_desk import AutopilotDesk
from rostra.catalog.datacenters import ConnectElsewhere, Datacenters, nowhere
from rostra.catalog.driver import CatalogDriver
from rostra.catalog.duties import Duties
from rostra.catalog.leadership import LeadershipWatch
from rostra.catalog.member_list import MemberList
from rostra.catalog.reads import Reads
from rostra.catalog.results import Outcome
from rostra.catalog.servicer import CatalogServicer
from rostra.catalog.snapshot_servicer import SnapshotServicer
from rostra.catalog.stream_servicer import CatalogStreamServicer, another_cluster
from rostra.catalog.twins import refuse_twins
from rostra.catalog.writes import Writes
from rostra.clients.consensus import ConsensusClient
from rostra.clients.gossip import GossipClient
from rostra.errors import NotReady
from rostra.model.autopilot import AutopilotConfiguration
from rostra.model.catalog import Command
from rostra.model.identity import Identity
from rostra.views.silence import ASKED_CONTACT_S

log = logging.getLogger("rostra.catalog")

HOLD_S: Final = 7.0
"""How long a request waits for a leader (Consul's ``rpc_hold_timeout``)."""
CONTACT_S: Final = 1.0


class CatalogRole:
    """``observer``: attached without duties, to scale reads. A catalog without its consensus answers stale reads."""

    name = "catalog"

    def __init__(
        self,
        identity: Identity,
        consensus: ConsensusClient,
        gossip: GossipClient,
        *,
        observer: bool = False,
        hold_s: float = HOLD_S,
        autopilot: AutopilotConfiguration | None = None,
        heartbeat_s: float = 0.0,
        connect_elsewhere: ConnectElsewhere = nowhere,
        rng: random.Random | None = None,
    ) -> None:
        """``autopilot`` holds until it is first written; ``heartbeat_s`` is Raft's; ``connect_elsewhere`` makes the channels to other
        servers, from an address and its datacenter."""
        initial = autopilot or AutopilotConfiguration()
        rng = rng or random.Random()
        consensus = consensus.on_behalf_of(identity, self.name)
        self._observer = observer
        self.driver = CatalogDriver(
            consensus,
            primary=not observer,
            command_of=lambda data: self.writes.command_of(data),
            on_applied=lambda request_id, outcome: self.writes.applied(request_id, outcome),
            on_replaced=self._replaced,
            rng=rng,
        )
        self.leadership = LeadershipWatch(consensus, time.monotonic, rng)
        self.writes = Writes(consensus, self._known, self.leadership.patience_s, hold_s=hold_s, rng=rng, admit=self._admit)
        self.reads = Reads(consensus, self.driver.applied, self.leadership.patience_s, hold_s=hold_s, rng=rng)
        self.members = MemberList(gossip, rng)
        self.duties = Duties(identity, self.members, self.leadership, self.driver, self.reads, self.writes)
        self.autopilot = Autopilot(
            consensus,
            identity.datacenter,
            lambda: (self.members.ever_seen, self.members.settled),
            lambda: self.leadership.current.is_leader,
            lambda: self.leadership.current.term,
            lambda: self.leadership.commit_index or 0,
            lambda: self.driver.state.autopilot or initial,
            heartbeat_s,
        )
        self.datacenters = Datacenters(identity, gossip, connect_elsewhere, rng)
        self.autopilot_desk = AutopilotDesk(identity, self.autopilot, self.leadership, connect_elsewhere)
        self.servicer = CatalogServicer(
            self.driver, self.reads, self.writes, self.leadership, self.datacenters, self.autopilot_desk, consensus
        )
        self.snapshot_servicer = SnapshotServicer(identity, self.driver, self.reads, self.writes, self.leadership, self.datacenters)
        self.stream_servicer = CatalogStreamServicer(identity, self.driver, self.reads, self.writes, self.leadership, self.datacenters)

    @property
    def ready(self) -> bool:
        """Whether the state was once as new as the log; a leader is not needed for that."""
        return self.driver.is_caught_up(self.leadership.commit_index)

    async def start(self) -> None:
        """It binds no port and opens no file."""

    async def run(self) -> None:
        """Until cancelled."""
        forget = self.leadership.listen(self.stream_servicer.tell_contact)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.driver.run(), name="catalog: log")
                tasks.create_task(self.leadership.run(), name="catalog: leadership")
                tasks.create_task(self.writes.run(), name="catalog: writes")
                tasks.create_task(self.reads.run(), name="catalog: reads")
                tasks.create_task(self._tick(), name="catalog: clock")
                tasks.create_task(self._say_alive(), name="catalog: still here")
                if not self._observer:
                    tasks.create_task(self.members.run(), name="catalog: members")
                    tasks.create_task(self.duties.run(), name="catalog: duties")
                    tasks.create_task(self.autopilot.run(), name="catalog: autopilot")
        finally:
            forget()

    async def stop(self) -> None:
        """Sends the watchers elsewhere."""
        self.stream_servicer.end_watches(NotReady("the catalog stops"))
        await asyncio.sleep(0)
        await self.datacenters.close()
        await self.autopilot_desk.close()

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        """The ``catalog`` group of ``rostra info``, and who leads, under Consul's names."""
        store, current = self.driver.state.store, self.leadership.current
        return {
            "consul": {"leader": str(current.is_leader).lower(), "leader_addr": current.leader_address},
            "catalog": {
                "applied_index": str(self.driver.state.applied_index),
                "attached": str(self.driver.attached).lower(),
                "nodes": str(len(store.nodes)),
                "services": str(len(store.services)),
                "checks": str(len(store.checks)),
                "published_topics": str(len(self.driver.publications)),
                "watch_streams": str(self.stream_servicer.watch_count),
            },
        }

    async def _tick(self) -> None:
        while True:
            self.stream_servicer.tell_contact()
            self.driver.publications.sweep(time.monotonic())
            store = self.driver.state.store
            metrics.APPLIED_INDEX.set(self.driver.state.applied_index)
            metrics.NODES.set(len(store.nodes))
            metrics.SERVICES.set(len(store.services))
            metrics.CHECKS.set(len(store.checks))
            metrics.TOPICS.set(len(self.driver.publications))
            metrics.WRITES_PENDING.set(len(self.writes))
            await asyncio.sleep(CONTACT_S)

    async def _say_alive(self) -> None:
        while True:
            await asyncio.sleep(ASKED_CONTACT_S)
            self.stream_servicer.tell_who_waits()

    def _known(self, request_id: bytes) -> Outcome | None:
        return self.driver.state.results.get(request_id)

    def _admit(self, command: Command) -> None:
        refuse_twins(command, self.driver.state.store, self.members.members)

    def _replaced(self, another: bool) -> None:
        self.writes.state_replaced()
        self.members.compare_all()
        if another:
            self.stream_servicer.end_watches(another_cluster())
