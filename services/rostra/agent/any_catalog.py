"""Single requests to whichever catalog answers: what operators ask for, and which datacenters there are."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from rostra.clients.catalog import CatalogClient
from rostra.errors import NoServers, RostraError, Unavailable
from rostra.model.autopilot import AutopilotChange, AutopilotState
from rostra.model.coordinates import Coordinate
from rostra.model.servers import Datacenter
from rostra.views.upstreams import Upstreams

QUICK_S: Final = 1.0
REQUEST_ID_BYTES: Final = 16

Found = TypeVar("Found")


class AnyCatalog:
    """One after the other, until one can answer. A write keeps its request ID, so that it is done once."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    async def list_datacenters(self) -> Sequence[Datacenter]:
        """Nearest first."""
        return await self._ask(lambda catalog: catalog.list_datacenters(QUICK_S))

    async def list_node_coordinates(self, datacenter: str) -> Mapping[str, Coordinate]:
        """As a server there knows them."""
        return await self._ask(lambda catalog: catalog.list_node_coordinates(), datacenter)

    async def get_autopilot(self, datacenter: str = "") -> AutopilotState:
        """As the leader there sees it."""
        return await self._ask(lambda catalog: catalog.get_autopilot(), datacenter)

    async def set_autopilot(self, change: AutopilotChange, datacenter: str = "") -> int:
        """Raises ``Conflict`` where the configuration was written since ``only_at_index``."""
        request_id = secrets.token_bytes(REQUEST_ID_BYTES)
        return await self._ask(lambda catalog: catalog.set_autopilot(change, request_id=request_id), datacenter)

    async def _ask(self, call: Callable[[CatalogClient], Awaitable[Found]], datacenter: str = "") -> Found:
        error: RostraError = NoServers(self._upstreams.sought())
        for upstream in self._upstreams.candidates():
            try:
                return await call(CatalogClient(upstream.channel, datacenter))
            except Unavailable as failure:
                error = failure
        raise error
