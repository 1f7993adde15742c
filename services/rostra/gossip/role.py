"""The gossip role: the LAN pool, on servers the WAN pool too, and GossipService."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from typing import Final

from rostra.errors import NotFound
from rostra.gossip.pool import Pool, PoolConfig
from rostra.gossip.servers import flood_join, report_servers
from rostra.gossip.servicer import GossipServicer
from rostra.model.identity import Identity
from rostra.telemetry.metrics import expose_stats

log = logging.getLogger("rostra.gossip")

LAN: Final = "lan"
WAN: Final = "wan"


class GossipRole:
    """Membership of this node.

    ``alone``: a pool without others is as it should be: one server, and nobody to join. ``ends_with_leave``: ``run`` returns when the
    pools have been left, for a process that has no other role; an agent goes on until it has answered everybody.
    """

    name = "gossip"

    def __init__(
        self, identity: Identity, pools: Sequence[PoolConfig], *, alone: bool, ends_with_leave: bool = False, rng: random.Random
    ) -> None:
        self.identity = identity
        self.pools = {config.pool: Pool(config) for config in pools}
        self.servicer = GossipServicer(self)
        self._alone = alone
        self._ends_with_leave = ends_with_leave
        self._rng = rng
        self._bound: dict[str, int] = {}
        self._flood: asyncio.Task[None] | None = None
        self._left = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether every pool serves."""
        return all(pool.ready.is_set() for pool in self.pools.values())

    async def start(self) -> None:
        """Raises an error that names the address or the keyring that cannot be used."""
        for name, pool in self.pools.items():
            self._bound[name] = pool.bind().port

    async def run(self) -> None:
        """Until cancelled, or until the pools have been left by ``leave``."""
        hide = expose_stats(self.name, self.stats)
        try:
            await self._run()
        finally:
            hide()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(pool.run(), name=f"gossip: {name} pool") for name, pool in self.pools.items()]
            for name, pool in self.pools.items():
                await pool.ready.wait()
                log.info("%s pool serves", name.upper(), extra={"address": str(pool.address), "encrypted": pool.is_encrypted})
                tasks.append(group.create_task(report_servers(pool), name=f"gossip: servers of {name}"))
            if LAN in self.pools and WAN in self.pools:
                flood = flood_join(self.pools[LAN], self.pools[WAN], self.identity.datacenter, self._rng)
                self._flood = group.create_task(flood, name="gossip: servers into the WAN pool")
                tasks.append(self._flood)
            await self._left.wait()
            for task in tasks:
                task.cancel()

    async def stop(self) -> None:
        """The sockets close with ``run``; those never run are closed here."""
        for pool in self.pools.values():
            pool.close()

    async def leave(self, pools: Sequence[str]) -> None:
        """Leaves these pools in that order. Where that ends ``run``, it does so a moment later, so that the caller gets its answer."""
        if self._flood is not None:
            self._flood.cancel()
        for name in pools:
            if name in self.pools and self.pools[name].ready.is_set():
                log.info("leaving the %s pool", name.upper())
                await self.pools[name].leave()
        if LAN in pools and self._ends_with_leave:
            asyncio.get_running_loop().call_later(0.2, self._left.set)

    def force_leave(self, pool: str, name: str, *, prune: bool) -> None:
        """A server is in both pools: when it is forced out of the LAN pool, it is out of the WAN pool too."""
        self.pools[pool].force_leave(name, prune=prune)
        if pool == LAN and WAN in self.pools:
            try:
                self.pools[WAN].force_leave(f"{name}.{self.identity.datacenter}", prune=prune)
            except NotFound:  # a client, or a server without WAN pool
                return

    def is_settled(self, name: str) -> bool:
        pool = self.pools[name]
        return pool.ready.is_set() and (pool.is_settled or self._alone)

    def port(self, name: str) -> int:
        """The port that the pool is bound to."""
        return self._bound.get(name, 0)

    def pool_stats(self, name: str) -> Mapping[str, str]:
        """Serf's names for what ``rostra info`` shows, the driver's counters, and what was refused, by reason."""
        pool = self.pools[name]
        if not pool.ready.is_set():
            return {}
        refused = {f"refused_{reason}": str(count) for reason, count in pool.refused().items()}
        encrypted = {"encrypted": str(pool.is_encrypted).lower()}
        return {**{key: str(value) for key, value in pool.stats().items()}, **refused, **encrypted}

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        return {f"serf_{name}": self.pool_stats(name) for name in self.pools}
