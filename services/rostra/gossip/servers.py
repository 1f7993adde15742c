"""Servers among the members: reported when they are found, and brought into the WAN pool (gossip-wire section 16.1).

Only members with our own tags are servers of ours; a Consul server in the pool is a member like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Sequence
from typing import Final

from rostra.errors import Resync
from rostra.gossip.feed import Subscription
from rostra.gossip.pool import Pool
from rostra.model.members import Member, MemberChange, MemberStatus
from rostra.model.servers import is_server

log = logging.getLogger("rostra.gossip")

_FLOOD_INTERVAL_S: Final = 60.0
_WAN_PORT_TAG: Final = "wan_join_port"


async def report_servers(pool: Pool) -> None:
    """For ever. What an operator looks for in the log: which servers have been found."""
    known: set[str] = set()
    while True:
        watch = pool.watch()
        with watch.changes:
            try:
                for member in watch.snapshot:
                    _report(pool.config.pool, member, known)
                async for change in watch.changes:
                    _report(pool.config.pool, change.member, known)
            except Resync:
                continue


def _report(pool: str, member: Member, known: set[str]) -> None:
    datacenter = member.tags.get("dc", "")
    if member.status is not MemberStatus.ALIVE:
        known.discard(member.name)
    elif member.name not in known and is_server(member.tags, datacenter):
        known.add(member.name)
        where = {"server": member.name, "address": f"{member.address}:{member.tags['port']}", "datacenter": datacenter}
        log.info("adding %s server", pool.upper(), extra=where)


async def flood_join(lan: Pool, wan: Pool, datacenter: str, rng: random.Random) -> None:
    """For ever: every server of the LAN pool that the WAN pool does not know is joined there, when it appears and once a minute, so that
    an operator joins one server of each datacenter and has joined them all."""
    while True:
        watch = lan.watch()
        with watch.changes:
            try:
                while True:
                    await _join_missing(lan, wan, datacenter)
                    await _next_server(watch.changes, datacenter, _FLOOD_INTERVAL_S * rng.uniform(0.9, 1.1))
            except Resync:
                continue


async def _next_server(changes: Subscription[MemberChange], datacenter: str, at_most_s: float) -> None:
    """Until a server has appeared or said something new, or the time is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            async for change in changes:
                if change.member.status is MemberStatus.ALIVE and is_server(change.member.tags, datacenter):
                    return


async def _join_missing(lan: Pool, wan: Pool, datacenter: str) -> None:
    addresses = missing_in_wan(lan.members(), wan.members(), datacenter)
    for result in await wan.join(addresses):
        if result.error:
            log.info("could not bring a server into the WAN pool", extra={"address": result.address, "reason": result.error})


def missing_in_wan(lan: Sequence[Member], wan: Sequence[Member], datacenter: str) -> list[str]:
    """Where to reach, in the WAN pool, the living servers of the LAN pool that are not in it, or not alive there."""
    there = {member.name for member in wan if member.status is MemberStatus.ALIVE}
    return [
        f"{f'[{member.address}]' if ':' in member.address else member.address}:{member.tags[_WAN_PORT_TAG]}"
        for member in lan
        if member.status is MemberStatus.ALIVE
        and is_server(member.tags, datacenter)
        and _is_port(member.tags.get(_WAN_PORT_TAG, ""))
        and f"{member.name}.{datacenter}" not in there
    ]


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) < 65536
