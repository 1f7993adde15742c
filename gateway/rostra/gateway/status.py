"""``/v1/status``: https://developer.hashicorp.com/consul/api-docs/status"""

from __future__ import annotations

from rostra.gateway.answer import Answer
from rostra.gateway.ask import Ask
from rostra.gateway.catalog import render_json
from rostra.gateway.elsewhere import Datacenters, other_datacenter
from rostra.gateway.settings import GatewaySettings
from rostra.gateway.upstreams import RaftInfo
from rostra.model.consistency import Consistency
from rostra.model.topics import NODES


class StatusReads:
    """Each method is an endpoint."""

    def __init__(self, raft: RaftInfo, datacenters: Datacenters, settings: GatewaySettings) -> None:
        self._raft = raft
        self._datacenters = datacenters
        self._settings = settings

    async def leader(self, ask: Ask) -> Answer:
        """An empty string while there is none."""
        other = self._other(ask)
        address = await self._leader_of(other) if other else await self._raft.leader_address()
        return render_json(ask, address, self._settings)

    async def peers(self, ask: Ask) -> Answer:
        other = self._other(ask)
        peers = self._datacenters.servers(other) if other else await self._raft.peers()
        return render_json(ask, list(peers), self._settings)

    async def _leader_of(self, datacenter: str) -> str:
        """As the server there says, whom a read makes sure of."""
        views = self._datacenters.reach(datacenter)
        return (await views.read((NODES,), Consistency.STALE)).contact.leader_address

    def _other(self, ask: Ask) -> str:
        return other_datacenter(ask.parameters.get("dc"), self._settings.datacenter)
