"""``/v1/status``: https://developer.hashicorp.com/consul/api-docs/status"""

from __future__ import annotations

from rostra.gateway.answer import Answer
from rostra.gateway.ask import Ask, check_datacenter, read_options
from rostra.gateway.catalog import render_json
from rostra.gateway.settings import GatewaySettings
from rostra.gateway.upstreams import RaftInfo


class StatusReads:
    """Each method is an endpoint."""

    def __init__(self, raft: RaftInfo, settings: GatewaySettings) -> None:
        self._raft = raft
        self._settings = settings

    async def leader(self, ask: Ask) -> Answer:
        """An empty string while there is none."""
        self._check(ask)
        return render_json(ask, await self._raft.leader_address(), self._settings)

    async def peers(self, ask: Ask) -> Answer:
        self._check(ask)
        return render_json(ask, list(await self._raft.peers()), self._settings)

    def _check(self, ask: Ask) -> None:
        read_options(ask.parameters, default_wait_s=self._settings.default_query_time_s, max_wait_s=self._settings.max_query_time_s)
        check_datacenter(ask.parameters.get("dc"), self._settings.datacenter)
