"""Single requests to whichever catalog answers: what operators ask for, and which datacenters there are."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from rostra.clients.catalog import CatalogClient
from rostra.clients.consensus import Configuration, RaftMember
from rostra.errors import NoServers, RostraError, Unavailable, UnknownOutcome
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

    async def get_servers(self, datacenter: str = "", *, stale: bool = False) -> Configuration:
        """Who the servers there are, as their leader has it or, ``stale``, any of them."""
        return await self._ask(lambda catalog: catalog.get_servers(from_leader=not stale), datacenter)

    async def remove_server(self, member: RaftMember, datacenter: str = "") -> None:
        """Takes a server out of the replicated log there."""
        await self._ask(lambda catalog: catalog.remove_server(member), datacenter, again=False)

    async def hand_over_leadership(self, node_id: str = "", datacenter: str = "") -> None:
        """To that node there, or to the voter that is furthest on."""
        await self._ask(lambda catalog: catalog.hand_over_leadership(node_id), datacenter, again=False)

    async def _ask(self, call: Callable[[CatalogClient], Awaitable[Found]], datacenter: str = "", *, again: bool = True) -> Found:
        """``again``: the next catalog may be asked for what this one has perhaps done."""
        error: RostraError = NoServers(self._upstreams.sought())
        for upstream in self._upstreams.candidates():
            try:
                return await call(CatalogClient(upstream.channel, datacenter))
            except Unavailable as failure:
                if isinstance(failure, UnknownOutcome) and not again:
                    raise
                error = failure
        raise error
