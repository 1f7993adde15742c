"""The gateway role: Consul's HTTP API on top of the views and of the services of this node."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping

from rostra.errors import NoPath
from rostra.gateway.agent import AgentEndpoints
from rostra.gateway.agent_metrics import Metrics
from rostra.gateway.autopilot import AutopilotDoor, AutopilotEndpoints, NoAutopilot
from rostra.gateway.catalog import CatalogReads
from rostra.gateway.coordinates import CoordinateReads
from rostra.gateway.datacenters import DatacenterReads
from rostra.gateway.dns_over_https import DnsDoor, DnsOverHttps
from rostra.gateway.door import Door
from rostra.gateway.elsewhere import Alone, Datacenters, Everywhere
from rostra.gateway.keyring import KeyringEndpoints
from rostra.gateway.local import LocalEndpoints
from rostra.gateway.openapi import Pages
from rostra.gateway.raft import RaftOperator
from rostra.gateway.reads import Reads
from rostra.gateway.routes import build_table
from rostra.gateway.settings import GatewaySettings, Limits
from rostra.gateway.snapshot import SnapshotEndpoints
from rostra.gateway.sockets import Sockets
from rostra.gateway.status import StatusReads
from rostra.gateway.upstreams import AgentDoor, GossipDoor, RaftInfo, RaftServers, SnapshotDoor
from rostra.gateway.writes import CatalogWrites
from rostra.version import VERSION
from rostra.views.reader import BarrierReader, Writer

log = logging.getLogger("rostra.gateway")


class GatewayRole:
    """Serves HTTP from ``start`` to ``stop``. It keeps nothing; what is behind it may come and go."""

    name = "gateway"

    def __init__(
        self,
        reader: BarrierReader,
        writer: Writer,
        agent: AgentDoor,
        gossip: GossipDoor,
        raft: RaftInfo,
        dns: DnsDoor,
        settings: GatewaySettings,
        tls: ssl.SSLContext | None = None,
        datacenters: Datacenters | None = None,
        autopilot: AutopilotDoor | None = None,
        snapshots: SnapshotDoor | None = None,
        servers_elsewhere: Callable[[str], RaftServers] | None = None,
    ) -> None:
        """With ``tls`` HTTPS is served too, where ``settings`` has a port for it. Without ``datacenters`` there is only one, and
        without ``autopilot`` nobody answers for it. ``servers_elsewhere`` gives those of another datacenter."""
        self._reads = reads = Reads(reader, gossip.list_coordinates, settings)
        datacenters = datacenters or Alone(settings.datacenter)
        pages = Pages()
        self.table = build_table(
            Everywhere(CatalogReads(reads, settings), datacenters, settings),
            CatalogWrites(writer, datacenters, settings),
            AgentEndpoints(agent, gossip, settings),
            LocalEndpoints(agent, reads.places, settings),
            StatusReads(raft, datacenters, settings),
            CoordinateReads(gossip, reader, datacenters, settings),
            DatacenterReads(datacenters, settings),
            AutopilotEndpoints(autopilot or NoAutopilot(), settings),
            KeyringEndpoints(gossip, settings),
            RaftOperator(raft, servers_elsewhere or _nowhere, settings),
            SnapshotEndpoints(snapshots, writer, settings),
            Metrics(settings),
            DnsOverHttps(dns),
            pages,
        )
        pages.describe_table(self.table, VERSION)
        self.door = Door(self.table, reads, settings)
        self._sockets = Sockets(self.door, settings, tls)
        self._started = False

    @property
    def addresses(self) -> list[str]:
        """Where HTTP is served: ``HOST:PORT`` or ``unix://PATH``."""
        return self._sockets.addresses

    @property
    def ready(self) -> bool:
        """The door is open, and stale reads are answered. Whether there is a leader does not matter."""
        return self._started

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        """For ``rostra info``."""
        return {"gateway": {"connections": str(self.door.connections), "blocked_queries": str(self._reads.places.taken)}}

    def reload(self, limits: Limits) -> None:
        """Other limits from now on, for connections that are there as well; the time for TLS handshakes stays."""
        self.door.limits = limits
        self._reads.places.limit = limits.blocked_queries
        self._reads.results.max_bytes = limits.answer_bytes

    async def start(self) -> None:
        """Raises an error that names the address that cannot be bound."""
        await self._sockets.start()
        self._started = True
        for scheme, addresses in (("HTTP", self._sockets.addresses), ("HTTPS", self._sockets.secure_addresses)):
            for address in addresses:
                log.info("%s listening", scheme, extra={"address": address})

    async def run(self) -> None:
        """Connections are served by the loop; there is nothing to do but to be there."""
        await asyncio.get_running_loop().create_future()

    async def stop(self) -> None:
        self._started = False
        await self._sockets.stop()


def _nowhere(datacenter: str) -> RaftServers:
    raise NoPath
