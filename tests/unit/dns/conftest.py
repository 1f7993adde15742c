"""A running role on ports of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from rostra.dns.role import DnsRole
from rostra.dns.settings import DnsSettings

from .support import Catalog

HOST = "127.0.0.1"


class Running:
    """A role that runs: where it listens, and what it reads from."""

    def __init__(self, role: DnsRole, catalog: Catalog, task: asyncio.Task[None]) -> None:
        self.role = role
        self.catalog = catalog
        self.task = task

    @property
    def port(self) -> int:
        return self.role.endpoints[0][1]


Start = Callable[..., "asyncio.Future[Running]"]


@asynccontextmanager
async def running(catalog: Catalog, settings: DnsSettings) -> AsyncIterator[Running]:
    role = DnsRole(catalog, settings, source=random.Random(1))
    await role.start()
    task = asyncio.create_task(role.run())
    await asyncio.sleep(0)
    try:
        yield Running(role, catalog, task)
    finally:
        await role.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., object]]:
    """``await start(catalog, **settings)`` runs a role on a free port until the test ends."""
    async with AsyncExitStack() as stack:

        async def start_one(catalog: Catalog, **settings: object) -> Running:
            merged = DnsSettings(**{"addresses": (HOST,), "port": 0, **settings})  # type: ignore[arg-type]
            return await stack.enter_async_context(running(catalog, merged))

        yield start_one
