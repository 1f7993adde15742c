"""``/v1/catalog/datacenters``: those whose servers the WAN pool knows, the nearest first.

https://developer.hashicorp.com/consul/api-docs/catalog#list-datacenters
"""

from __future__ import annotations

from rostra.gateway.answer import Answer
from rostra.gateway.ask import Ask
from rostra.gateway.catalog import render_json
from rostra.gateway.elsewhere import Datacenters
from rostra.gateway.settings import GatewaySettings


class DatacenterReads:
    """The one endpoint."""

    def __init__(self, datacenters: Datacenters, settings: GatewaySettings) -> None:
        self._datacenters = datacenters
        self._settings = settings

    async def datacenters(self, ask: Ask) -> Answer:
        """As a server tells them: a client is not in the WAN pool itself."""
        return render_json(ask, list(await self._datacenters.list()), self._settings)
