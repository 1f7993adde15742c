"""A server that stops without leaving hands over first, if it leads and somebody could take over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rostra.agent.control import Control
from rostra.agent.departure import hand_over, leave_raft
from rostra.clients.consensus import Configuration, ConsensusStatus, Leadership, RaftMember
from rostra.errors import NotReady, RostraError, Timeout
from rostra.model.identity import Identity

OWN = RaftMember("id-1", "store-1", "n1", "127.0.0.1:8300", True)
OTHER = RaftMember("id-2", "store-2", "n2", "127.0.0.2:8300", True)
LEARNER = RaftMember("id-3", "store-3", "n3", "127.0.0.3:8300", False)


class Servers:
    """Consensus as far as it is asked here."""

    def __init__(self, *members: RaftMember, leads: bool = True, error: RostraError | None = None) -> None:
        self.transfers = 0
        self._members = members
        self._leads = leads
        self._error = error

    async def get_configuration(self, timeout_s: float = 1.0) -> Configuration:
        if self._error is not None:
            raise self._error
        return Configuration(1, "cluster", self._members, "id-1")

    async def get_status(self, timeout_s: float = 1.0) -> ConsensusStatus:
        return ConsensusStatus("cluster", "id-1", "store-1", "leader", Leadership(is_leader=self._leads))

    async def transfer_leadership(self, node_id: str = "", timeout_s: float = 1.0) -> str:
        self.transfers += 1
        return "n2"

    async def remove(self, member: RaftMember, *, only_at_index: int = 0, timeout_s: float = 1.0) -> int:
        raise AssertionError("who only stops stays a member")


class SlowToTakeOver(Servers):
    """The first that leadership is handed to does not take it in time."""

    removed: RaftMember | None = None

    async def transfer_leadership(self, node_id: str = "", timeout_s: float = 1.0) -> str:
        self.transfers += 1
        if self.transfers == 1:
            raise Timeout("leadership was not taken over in time")
        self._leads = False
        return "n2"

    async def remove(self, member: RaftMember, *, only_at_index: int = 0, timeout_s: float = 1.0) -> int:
        self.removed = member
        return 7


class Broken(Servers):
    """A bug."""

    async def get_configuration(self, timeout_s: float = 1.0) -> Configuration:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("servers", "transfers"),
    [
        (Servers(OWN, OTHER), 1),
        (Servers(OWN, OTHER, leads=False), 0),
        (Servers(OWN, LEARNER), 0),
        (Servers(OWN), 0),
        (Servers(OWN, OTHER, error=NotReady("this server belongs to no cluster yet")), 0),
    ],
)
async def test_leadership_is_handed_over_only_by_who_has_it_to_who_can_take_it(servers: Servers, transfers: int) -> None:
    await hand_over(servers)
    assert servers.transfers == transfers


async def test_a_leader_that_leaves_hands_over_again_where_the_first_attempt_took_too_long() -> None:
    servers = SlowToTakeOver(OWN, OTHER)
    await leave_raft(servers, OWN.node_id)
    assert (servers.transfers, servers.removed) == (2, OWN)


@pytest.mark.parametrize("how", ["stop", "leave"])
async def test_who_is_told_to_go_ends_whatever_goes_wrong(how: str) -> None:
    ended = asyncio.Event()
    no_gossip: Any = None
    identity = Identity("n1", OWN.node_id, "dc1", server=True)
    control = Control(identity, no_gossip, config_json=str, reread=no_gossip, end=ended.set, drain_s=0.01, consensus=Broken(OWN, OTHER))
    with pytest.raises((ZeroDivisionError, AttributeError)):
        await (control.stop() if how == "stop" else control.leave())
    async with asyncio.timeout(10):
        await ended.wait()
