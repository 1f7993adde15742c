"""What operators ask of autopilot, on whatever server: only the leader knows how the servers are, so another one asks it."""

from __future__ import annotations

from grpc import aio

from rostra.catalog.autopilot import Autopilot
from rostra.catalog.datacenters import ConnectElsewhere
from rostra.catalog.leadership import LeadershipWatch
from rostra.clients.catalog import CatalogClient
from rostra.errors import NoLeader
from rostra.model.autopilot import AutopilotState
from rostra.model.identity import Identity

ASK_S = 2.0


class AutopilotDesk:
    """``connect`` makes a channel to the leader."""

    def __init__(self, identity: Identity, autopilot: Autopilot, leadership: LeadershipWatch, connect: ConnectElsewhere) -> None:
        self._datacenter = identity.datacenter
        self._autopilot = autopilot
        self._leadership = leadership
        self._connect = connect
        self._leader: tuple[str, aio.Channel] | None = None

    async def state(self) -> AutopilotState:
        """As the leader sees it. Raises ``NoLeader``."""
        current = self._leadership.current
        if current.is_leader:
            return await self._autopilot.state()
        if not current.leader_address:
            raise NoLeader
        return await CatalogClient(await self._channel(current.leader_address)).get_autopilot(ASK_S)

    async def close(self) -> None:
        if self._leader is not None:
            await self._leader[1].close()
            self._leader = None

    async def _channel(self, address: str) -> aio.Channel:
        if self._leader is None or self._leader[0] != address:
            await self.close()
            self._leader = (address, self._connect(address, self._datacenter))
        return self._leader[1]
