"""Who the servers are, as ``/v1/status`` shows it: from the catalog that the views come from, and consensus where it is within reach."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.clients.consensus import ConsensusClient
from rostra.errors import RostraError
from rostra.views.reader import Reader


class CatalogRaft:
    """Implements ``RaftInfo``. Without consensus within reach, the leader is the only peer known."""

    def __init__(self, reader: Reader, consensus: ConsensusClient | None = None) -> None:
        self._reader = reader
        self._consensus = consensus

    async def leader_address(self) -> str:
        contact = self._reader.contact
        return contact.leader_address if contact.known_leader else ""

    async def peers(self) -> Sequence[str]:
        if self._consensus is not None:
            try:
                return [member.address for member in (await self._consensus.get_configuration()).members]
            except RostraError:
                pass
        leader = await self.leader_address()
        return [leader] if leader else []
