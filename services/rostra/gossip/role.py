"""The gossip role: the LAN pool, on servers the WAN pool too, and GossipService."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rostra.errors import Resync
from rostra.gossip.pool import Pool, PoolConfig
from rostra.gossip.servicer import GossipServicer
from rostra.model.identity import Identity
from rostra.model.members import Member, MemberStatus
from rostra.model.servers import is_server
from rostra.telemetry.metrics import expose_stats

log = logging.getLogger("rostra.gossip")

STATUS_WORDS: Final = (MemberStatus.FAILED, MemberStatus.LEFT)


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """Whom to join: ``start`` once, ``retry`` every ``interval_s`` until one answers, at most ``attempts`` times (0: no end)."""

    start: Sequence[str] = ()
    retry: Sequence[str] = ()
    interval_s: float = 30.0
    attempts: int = 0


class GossipRole:
    """Membership of this node.

    ``alone``: a pool without others is as it should be: one server, and nobody to join. ``ends_with_leave``: ``run`` returns when the
    pools have been left, for a process that has no other role; an agent goes on until it has answered everybody.
    """

    name = "gossip"

    def __init__(
        self,
        identity: Identity,
        pools: Sequence[PoolConfig],
        joins: Mapping[str, JoinPlan],
        *,
        alone: bool,
        ends_with_leave: bool = False,
        rng: random.Random,
    ) -> None:
        self.identity = identity
        self.pools = {config.pool: Pool(config) for config in pools}
        self.servicer = GossipServicer(self)
        self._joins = joins
        self._alone = alone
        self._ends_with_leave = ends_with_leave
        self._rng = rng
        self._bound: dict[str, int] = {}
        self._left = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether every pool serves."""
        return all(pool.ready.is_set() for pool in self.pools.values())

    async def start(self) -> None:
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
                tasks.append(group.create_task(self._report_servers(name, pool), name=f"gossip: servers of {name}"))
            tasks += [
                group.create_task(self._join(name, plan), name=f"gossip: join {name}")
                for name, plan in self._joins.items()
                if name in self.pools
            ]
            await self._left.wait()
            for task in tasks:
                task.cancel()

    async def stop(self) -> None:
        """The sockets close with ``run``; those never run are closed here."""

    async def leave(self, pools: Sequence[str]) -> None:
        """Leaves these pools in that order. Where that ends ``run``, it does so a moment later, so that the caller gets its answer."""
        for name in pools:
            if name in self.pools and self.pools[name].ready.is_set():
                log.info("leaving the %s pool", name.upper())
                await self.pools[name].leave()
        if "lan" in pools and self._ends_with_leave:
            asyncio.get_running_loop().call_later(0.2, self._left.set)

    def is_settled(self, name: str) -> bool:
        pool = self.pools[name]
        return pool.ready.is_set() and (pool.is_settled or self._alone)

    def is_encrypted(self) -> bool:
        return any(pool.config.keys for pool in self.pools.values())

    def port(self, name: str) -> int:
        """The port that the pool is bound to."""
        return self._bound.get(name, 0)

    def pool_stats(self, name: str) -> Mapping[str, str]:
        """Serf's names for what ``rostra info`` shows, and the driver's counters."""
        pool = self.pools[name]
        if not pool.ready.is_set():
            return {}
        statuses = [member.status for member in pool.members()]
        counts = {status.value: str(statuses.count(status)) for status in STATUS_WORDS}
        encrypted = {"encrypted": str(bool(pool.config.keys)).lower()}
        return {**{key: str(value) for key, value in pool.stats().items()}, **counts, **encrypted}

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        return {f"serf_{name}": self.pool_stats(name) for name in self.pools}

    async def _report_servers(self, name: str, pool: Pool) -> None:
        """What an operator looks for in the log: which servers have been found."""
        known: set[str] = set()
        while True:
            watch = pool.watch()
            with watch.changes:
                try:
                    for member in watch.snapshot:
                        self._report_server(name, member, known)
                    async for change in watch.changes:
                        self._report_server(name, change.member, known)
                except Resync:
                    continue

    def _report_server(self, name: str, member: Member, known: set[str]) -> None:
        datacenter = member.tags.get("dc", "")
        if member.status is not MemberStatus.ALIVE:
            known.discard(member.name)
        elif member.name not in known and is_server(member.tags, datacenter):
            known.add(member.name)
            where = {"server": member.name, "address": f"{member.address}:{member.tags['port']}", "datacenter": datacenter}
            log.info("adding %s server", name.upper(), extra=where)

    async def _join(self, name: str, plan: JoinPlan) -> None:
        pool = self.pools[name]
        if plan.start:
            await self._try(name, pool, plan.start)
        attempt = 0
        while plan.retry and not await self._try(name, pool, plan.retry):
            attempt += 1
            if plan.attempts and attempt >= plan.attempts:
                log.error("gave up joining", extra={"pool": name, "attempts": attempt})
                return
            await asyncio.sleep(plan.interval_s * self._rng.uniform(0.9, 1.1))

    async def _try(self, name: str, pool: Pool, addresses: Sequence[str]) -> bool:
        results = await pool.join(addresses)
        joined = [each.address for each in results if not each.error]
        for each in results:
            if each.error:
                log.warning("could not join", extra={"pool": name, "address": each.address, "reason": each.error})
        if joined:
            log.info("joined", extra={"pool": name, "addresses": ", ".join(joined)})
        # An address of our own answers too: that is not yet a pool.
        return bool(joined) and (self._alone or len(pool.members()) > 1)
