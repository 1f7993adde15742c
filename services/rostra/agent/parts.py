"""What a process runs beside its roles: the views they share, and the metrics door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rostra.agent.members import ServersByGossip
from rostra.agent.process import Role
from rostra.errors import RostraError
from rostra.telemetry.metrics import MetricsDoor
from rostra.views.hub import Hub


class ViewsPart:
    """The hub as something a process runs."""

    name = "views"

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @property
    def ready(self) -> bool:
        return self._hub.ready

    async def start(self) -> None:
        """It binds nothing."""

    async def run(self) -> None:
        await self._hub.run()
        raise RostraError("the views ended by themselves")

    async def stop(self) -> None:
        """It holds nothing open."""

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        return self._hub.stats()


class FollowServers:
    """A client's search for servers as something a process runs."""

    name = "servers"

    def __init__(self, servers: ServersByGossip) -> None:
        self._servers = servers

    @property
    def ready(self) -> bool:
        return bool(self._servers.candidates())

    async def start(self) -> None:
        """It binds nothing."""

    async def run(self) -> None:
        await self._servers.run()

    async def stop(self) -> None:
        """Its channels close with the process."""

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        return {"consul": {"known_servers": str(len(self._servers.candidates()))}}


class MetricsPart(MetricsDoor):
    """The metrics door of a process with these parts."""

    name = "metrics port"

    def __init__(self, address: str, parts: Sequence[Role]) -> None:
        super().__init__(address, {part.name: lambda part=part: part.ready for part in parts})  # type: ignore[misc]
