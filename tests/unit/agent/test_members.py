"""Where a client looks for servers: what gossip says of them, over its restarts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from rostra.agent.members import ServersByGossip
from rostra.clients.gossip import MemberEvent, Members, Settled
from rostra.errors import Unavailable
from rostra.model.identity import Identity
from rostra.model.members import Member, MemberChange, MemberChangeKind, MemberStatus

JOINS = ("10.0.0.9:8301",)
ALIVE, FAILED, LEAVING, LEFT = MemberStatus.ALIVE, MemberStatus.FAILED, MemberStatus.LEAVING, MemberStatus.LEFT


def server(number: int, status: MemberStatus = ALIVE, datacenter: str = "dc1") -> Member:
    return Member(f"s{number}", f"10.0.0.{number}", 8301, {"role": "rostra", "dc": datacenter, "port": "8300"}, status, incarnation=1)


def change(member: Member, kind: MemberChangeKind = MemberChangeKind.UPDATED) -> MemberChange:
    return MemberChange(kind, member)


CLIENT = Member("c", "10.0.0.7", 8301, {"role": "rostra-client", "dc": "dc1"}, ALIVE, incarnation=1)


class Gossip:
    """Tells what it is given; a ``RostraError`` ends a watch, and the next one goes on."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[MemberEvent | Unavailable] = asyncio.Queue()

    async def watch_members(self, pool: str = "lan") -> AsyncIterator[MemberEvent]:
        while True:
            event = await self.events.get()
            self.events.task_done()
            if isinstance(event, Unavailable):
                raise event
            yield event


class Connector:
    def connect(self, address: str) -> Any:
        return object()


class World:
    def __init__(self) -> None:
        self.gossip = Gossip()
        identity = Identity("c", "id", "dc1", "10.0.0.7")
        self.servers = ServersByGossip(self.gossip, identity, Connector(), JOINS)

    async def tell(self, *events: MemberEvent | Unavailable) -> None:
        """Returns when they have been taken."""
        for event in (*events, Settled()):
            self.gossip.events.put_nowait(event)
        await self.gossip.events.join()
        await asyncio.sleep(0)

    @property
    def found(self) -> Sequence[str]:
        return sorted(each.address for each in self.servers.candidates())


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr("rostra.agent.members.AGAIN_S", 0.0)
    world = World()
    running = asyncio.create_task(world.servers.run())
    yield world
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_live_servers_of_the_own_datacenter_are_found_and_those_to_join_are_sought_before(world: World) -> None:
    assert (world.found, world.servers.sought()) == ([], JOINS)
    await world.tell(Members([CLIENT, server(1), server(2), server(3, datacenter="dc2"), server(4, FAILED)], settled=True))
    assert world.found == ["10.0.0.1:8300", "10.0.0.2:8300"]


async def test_servers_that_failed_one_after_the_other_are_all_sought_and_one_that_left_is_not(world: World) -> None:
    await world.tell(Members([CLIENT, server(1), server(2), server(3)], settled=True))
    for number in (1, 2):
        await world.tell(change(server(number, FAILED)))
    await world.tell(change(server(3, LEFT)))
    assert world.found == []
    assert world.servers.sought() == ["10.0.0.1:8300", "10.0.0.2:8300"]
    await world.tell(change(server(1), MemberChangeKind.JOINED), change(server(2, FAILED), MemberChangeKind.REAPED))
    assert world.found == world.servers.sought() == ["10.0.0.1:8300"]


async def test_a_channel_is_kept_while_its_server_is_alive(world: World) -> None:
    await world.tell(Members([server(1)], settled=True))
    (before,) = world.servers.candidates()
    await world.tell(change(server(2), MemberChangeKind.JOINED), Members([server(1), server(2)], settled=True))
    assert before in world.servers.candidates()


async def test_what_gossip_showed_stays_while_it_is_away_and_while_it_knows_nobody_after_its_return(world: World) -> None:
    await world.tell(Members([CLIENT, server(1)], settled=True))
    await world.tell(Unavailable("gone"))
    assert world.found == ["10.0.0.1:8300"]
    await world.tell(Members([CLIENT], settled=False))
    assert world.found == ["10.0.0.1:8300"]
    await world.tell(Members([CLIENT, server(2)], settled=True))
    assert world.found == ["10.0.0.2:8300"]
