"""The LAN members as gossip tells them, followed on every server so that a new leader starts with what was seen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Mapping
from typing import Final

from rostra.clients.gossip import GossipClient, MemberEvent, Members, Settled
from rostra.errors import RostraError
from rostra.model.members import Member, MemberChange, MemberChangeKind
from rostra.rpc.back_off import BackOff

log = logging.getLogger("rostra.catalog")

MAX_REAPED: Final = 16_384
"""Reaped members remembered until their nodes are gone; the oldest give way."""


class MemberList:
    """``members`` is the newest list; ``reaped`` those whose end was seen and who have not come back. ``settled`` is false
    while gossip cannot be reached. ``dirty`` are the names that changed since they were last taken; ``whole`` says that
    everything may have."""

    def __init__(self, gossip: GossipClient, rng: random.Random) -> None:
        self.settled = False
        self.changed = asyncio.Event()
        self._gossip = gossip
        self._rng = rng
        self._members: dict[str, Member] = {}
        self._reaped: dict[str, Member] = {}
        self._dirty: set[str] = set()
        self._whole = True
        self._told = asyncio.Event()

    async def first_told(self, limit_s: float) -> None:
        """Until gossip has told a list since this process started, but no longer than that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._told.wait()

    @property
    def members(self) -> Mapping[str, Member]:
        return self._members

    @property
    def reaped(self) -> Mapping[str, Member]:
        return self._reaped

    @property
    def ever_seen(self) -> Mapping[str, Member]:
        """Both, each as it was last."""
        return {**self._reaped, **self._members}

    def take_changes(self) -> tuple[set[str], bool]:
        """The names that changed since the last time, and whether everything may have."""
        dirty, self._dirty = self._dirty, set()
        whole, self._whole = self._whole, False
        self.changed.clear()
        return dirty, whole

    def compare_all(self) -> None:
        """The catalog is another one: everything may differ from it."""
        self._whole = True
        self.changed.set()

    async def run(self) -> None:
        """For ever: follows gossip, again after a break."""
        backoff = BackOff(self._rng)
        while True:
            try:
                async for event in self._gossip.watch_members():
                    backoff.reset()
                    self._take(event)
            except RostraError as error:
                if self.settled:
                    log.warning("gossip is gone: no node is removed until it is back", extra={"reason": str(error)})
            self.settled = False
            await asyncio.sleep(backoff.next_delay_s())

    def _take(self, event: MemberEvent) -> None:
        match event:
            case Members():
                self._members = {member.name: member for member in event.members}
                self._told.set()
                self.settled, self._whole = event.settled, True
                for name in self._members:
                    self._reaped.pop(name, None)
            case Settled():
                self.settled = self._whole = True
            case MemberChange(kind=MemberChangeKind.REAPED):
                self._members.pop(event.member.name, None)
                self._reaped[event.member.name] = event.member
                while len(self._reaped) > MAX_REAPED:
                    del self._reaped[next(iter(self._reaped))]
                self._dirty.add(event.member.name)
            case MemberChange():
                self._members[event.member.name] = event.member
                self._reaped.pop(event.member.name, None)
                self._dirty.add(event.member.name)
        self.changed.set()
