"""``/v1/catalog/datacenters``: those whose servers the WAN pool knows, the nearest first.

https://developer.hashicorp.com/consul/api-docs/catalog#list-datacenters
"""

from __future__ import annotations

from typing import Final

from rostra.gateway.answer import Answer
from rostra.gateway.ask import Ask
from rostra.gateway.catalog import render_json
from rostra.gateway.elsewhere import Datacenters
from rostra.gateway.settings import GatewaySettings

CACHED: Final = ((b"X-Cache", b"HIT"), (b"Age", b"0"))
"""What is known here is kept up to date, as Consul's cache is."""


class DatacenterReads:
    """The one endpoint."""

    def __init__(self, datacenters: Datacenters, settings: GatewaySettings) -> None:
        self._datacenters = datacenters
        self._settings = settings

    async def datacenters(self, ask: Ask) -> Answer:
        """As a server tells them: a client is not in the WAN pool itself."""
        answer = render_json(ask, list(await self._datacenters.list()), self._settings)
        return Answer(answer.status, (*answer.headers, *CACHED), answer.body) if "cached" in ask.parameters else answer
