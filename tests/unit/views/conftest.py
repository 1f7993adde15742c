"""A hub against fake catalogs, over a socket and within the process."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from rostra.views.hub import Hub
from rostra.views.limits import HubLimits
from rostra.views.upstreams import FixedUpstreams, Upstream

from .fake_catalog import IDENTITY, FakeCatalog, FakeCluster, until


class World:
    """A cluster, its catalogs, and hubs that live on them."""

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self.cluster = FakeCluster()
        self.catalogs: list[FakeCatalog] = []
        self.upstreams: list[Upstream] = []
        self._hubs: list[asyncio.Task[None]] = []

    async def add_catalog(self) -> FakeCatalog:
        catalog = FakeCatalog(self.cluster, f"catalog {len(self.catalogs) + 1}")
        self.catalogs.append(catalog)
        self.upstreams.append(await catalog.start(self.transport))
        return catalog

    async def add_hub(self, *, hold_s: float = 60.0, limits: HubLimits | None = None) -> Hub:
        """A hub that is ready, where there is a catalog to make it so."""
        hub = Hub(FixedUpstreams(self.upstreams), IDENTITY, hold_s=hold_s, limits=limits or HubLimits(), rng=random.Random(1))
        self._hubs.append(asyncio.create_task(hub.run()))
        if self.upstreams:
            await until(lambda: hub.ready and hub.contact.known_leader)
        return hub

    async def close_hubs(self) -> None:
        for hub in self._hubs:
            hub.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await hub
        self._hubs.clear()

    async def close(self) -> None:
        await self.close_hubs()
        for upstream in self.upstreams:
            await upstream.channel.close()
        for catalog in self.catalogs:
            await catalog.stop()

    def serving(self) -> FakeCatalog:
        """The catalog that the hub lives on."""
        return next(catalog for catalog in self.catalogs if catalog.watched)

    def other(self) -> FakeCatalog:
        return next(catalog for catalog in self.catalogs if catalog is not self.serving())


@pytest.fixture(params=["socket", "in-process"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    world = World(request.param)
    yield world
    await world.close()
