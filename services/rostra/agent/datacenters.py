"""The datacenters that this process can reach: their names, as its catalog tells them, and views of each that is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rostra.agent.any_catalog import AnyCatalog
from rostra.errors import NoPath, RostraError
from rostra.model.coordinates import Coordinate
from rostra.model.servers import Datacenter
from rostra.views.hub import Hub

POLL_S: Final = 2.0
FIRST_POLL_S: Final = 0.25
"""While no catalog has answered yet."""


class Datacenters:
    """A hub for each other datacenter, made when it is first asked for. All of them live on the same catalogs, which hand on."""

    name = "datacenters"

    def __init__(self, own: str, catalogs: AnyCatalog, make_hub: Callable[[str], Hub]) -> None:
        self._own = own
        self._catalogs = catalogs
        self._make_hub = make_hub
        self._known: Mapping[str, Datacenter] = {}
        self._hubs: dict[str, Hub] = {}
        self._wanted: asyncio.Queue[Hub] = asyncio.Queue()

    def knows(self, datacenter: str) -> bool:
        """Whether a server of another datacenter was alive when last looked."""
        return datacenter.lower() in self._known

    def reach(self, datacenter: str) -> Hub:
        """Views of another datacenter. Raises ``NoPath``."""
        name = datacenter.lower()
        if name not in self._known:
            raise NoPath
        if name not in self._hubs:
            hub = self._hubs[name] = self._make_hub(self._known[name].name)
            self._wanted.put_nowait(hub)
        return self._hubs[name]

    def servers(self, datacenter: str) -> Sequence[str]:
        """``HOST:PORT`` of the servers of another datacenter. Raises ``NoPath``."""
        known = self._known.get(datacenter.lower())
        if known is None:
            raise NoPath
        return known.servers

    async def coordinates(self, datacenter: str) -> Mapping[str, Coordinate]:
        """Where the nodes of another datacenter are, by name. Raises ``NoPath``."""
        known = self._known.get(datacenter.lower())
        if known is None:
            raise NoPath
        return await self._catalogs.list_node_coordinates(known.name)

    async def list(self) -> Sequence[str]:
        """Names, nearest first; raises when no catalog answers."""
        return [each.name for each in await self._look()]

    async def _look(self) -> Sequence[Datacenter]:
        found = await self._catalogs.list_datacenters()
        self._known = {each.name.lower(): each for each in found if each.name.lower() != self._own.lower()}
        return found

    # --- as something a process runs ---

    @property
    def ready(self) -> bool:
        return True

    async def start(self) -> None:
        """It binds nothing."""

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll(), name="datacenters: poll")
            while True:
                hub = await self._wanted.get()
                tasks.create_task(hub.run(), name="datacenters: views")

    async def stop(self) -> None:
        """It holds nothing open."""

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        return {"consul": {"known_datacenters": str(len(self._known) + 1)}}

    async def _poll(self) -> None:
        pause_s = FIRST_POLL_S
        while True:
            try:
                await self._look()
                pause_s = POLL_S
            except RostraError:
                pass  # what was known stays until a catalog says otherwise
            await asyncio.sleep(pause_s)
