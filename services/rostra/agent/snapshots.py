"""Backup and restore, asked of the catalog that this process's views live on: it is known to answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from rostra.clients.snapshot import SavedSnapshot, SnapshotClient
from rostra.errors import NoServers, NotReady
from rostra.model.consistency import Consistency
from rostra.views.upstreams import Upstreams


class Views(Protocol):
    """The hub, as far as it says where it lives."""

    @property
    def upstream(self) -> str: ...


class SnapshotsOfCatalogs:
    """The gateway's ``SnapshotDoor``. While the views have no catalog there is none to ask either."""

    def __init__(self, catalogs: Upstreams, views: Views) -> None:
        self._catalogs = catalogs
        self._views = views

    async def save(self, consistency: Consistency = Consistency.DEFAULT, datacenter: str = "") -> SavedSnapshot:
        return await self._client(datacenter).save(consistency)

    async def restore(self, chunks: AsyncIterator[bytes], datacenter: str = "") -> int:
        return await self._client(datacenter).restore(chunks)

    def _client(self, datacenter: str) -> SnapshotClient:
        candidates = self._catalogs.candidates()
        found = next((each for each in candidates if each.address == self._views.upstream), None)
        if found is None:
            raise NotReady("no catalog answers this agent now") if candidates else NoServers()
        return SnapshotClient(found.channel, datacenter)
