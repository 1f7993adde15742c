"""Which servers gossip shows, for the two things consensus wants of it: their addresses, and who waits to be bootstrapped."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol

from rostra.clients.gossip import MemberEvent, Members
from rostra.errors import RostraError
from rostra.model.identity import Identity
from rostra.model.members import Member, MemberChange, MemberStatus
from rostra.model.servers import is_server, server_address

RETRY_S: Final = (0.05, 0.5)


class MemberWatch(Protocol):
    """The part of the gossip client that is needed here."""

    def watch_members(self, pool: str = "lan") -> AsyncIterator[MemberEvent]: ...


class Learner(Protocol):
    """Who keeps the addresses."""

    def learn(self, node_id: str, addresses: Sequence[str]) -> None: ...


class Servers:
    """The servers of this datacenter that are alive, by node ID; without gossip, those it last showed."""

    def __init__(self, gossip: MemberWatch, identity: Identity, book: Learner, rng: random.Random) -> None:
        self._gossip = gossip
        self._identity = identity
        self._book = book
        self._rng = rng
        self._alive: dict[str, Member] = {}

    def expecting(self, expect: int) -> Mapping[str, tuple[str, str]]:
        """Node ID to name and HOST:PORT of those that expect as many servers, this one left out."""
        return {
            member.tags["id"]: (member.name, server_address(member))
            for member in self._alive.values()
            if member.tags.get("expect") == str(expect) and member.tags.get("id") != self._identity.id
        }

    def twin(self) -> Member | None:
        """A server that is alive under another name and carries this node's ID."""
        own = self._identity
        return next((member for member in self._alive.values() if member.tags["id"] == own.id and member.name != own.name), None)

    async def run(self) -> None:
        """Follows gossip for ever, over its restarts."""
        while True:
            try:
                async for event in self._gossip.watch_members("lan"):
                    self._take(event)
            except RostraError:
                pass  # gossip is away: what it last showed stays
            await asyncio.sleep(self._rng.uniform(*RETRY_S))

    def _take(self, event: MemberEvent) -> None:
        if isinstance(event, Members):
            self._alive.clear()
            for member in event.members:
                self._follow(member)
        elif isinstance(event, MemberChange):
            self._follow(event.member)

    def _follow(self, member: Member) -> None:
        if not is_server(member.tags, self._identity.datacenter) or not member.tags.get("id"):
            return
        if member.status is MemberStatus.ALIVE:
            self._alive[member.name] = member
        else:
            self._alive.pop(member.name, None)
        node_id = member.tags["id"]
        addresses = [server_address(each) for each in self._alive.values() if each.tags["id"] == node_id]
        if addresses:
            self._book.learn(node_id, addresses)
