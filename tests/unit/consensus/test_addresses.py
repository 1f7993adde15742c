"""Where the messages for a server go."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from rostra.clients.gossip import MemberEvent, Members
from rostra.consensus.configuration import Configuration
from rostra.consensus.model import Member as RaftMember
from rostra.consensus.model import PeerId, Suffrage
from rostra.consensus.peers import AddressBook
from rostra.consensus.servers import Servers
from rostra.model.identity import Identity
from rostra.model.members import Member, MemberStatus

OWN = Identity("me", "id-me", "dc1", "127.0.0.1", "127.0.0.1", server=True)
PEER = PeerId("id-a", "store-a")
CONFIGURATION = Configuration("cluster", (RaftMember(PEER, Suffrage.VOTER, "a", "10.0.0.1:8300"),))


def server(name: str, address: str, node_id: str = "id-a", status: MemberStatus = MemberStatus.ALIVE) -> Member:
    tags = {"role": "rostra", "dc": "dc1", "id": node_id, "port": "8300"}
    return Member(name=name, address=address, port=8301, status=status, tags=tags, incarnation=1)


class Gossip:
    """Tells one list."""

    def __init__(self, *members: Member) -> None:
        self.members = members

    async def watch_members(self, pool: str = "lan") -> AsyncIterator[MemberEvent]:
        yield Members(self.members, True)
        raise TimeoutError


async def seen(*members: Member) -> tuple[AddressBook, Servers]:
    book = AddressBook(lambda: CONFIGURATION)
    servers = Servers(Gossip(*members), OWN, book, random.Random(1))
    with pytest.raises(TimeoutError):
        await servers.run()
    return book, servers


async def test_a_server_is_where_gossip_shows_it_alive_and_stays_there_when_it_fails() -> None:
    moved = server("a", "10.0.0.7")
    book, servers = await seen(moved)
    assert book.find(PEER) == "10.0.0.7:8300"
    servers._take(Members([server("a", "10.0.0.7", status=MemberStatus.FAILED)], True))
    assert book.find(PEER) == "10.0.0.7:8300"


async def test_before_gossip_shows_it_it_is_where_the_configuration_says() -> None:
    book, _ = await seen()
    assert book.find(PEER) == "10.0.0.1:8300"
    assert book.find(PeerId("id-b", "store-b")) == ""


@pytest.mark.parametrize("original", ["10.0.0.1", "10.0.0.2"])
async def test_of_two_that_carry_one_id_everybody_speaks_with_the_one_in_the_configuration(original: str) -> None:
    for members in ([server("a", original), server("copy", "10.0.0.9")], [server("copy", "10.0.0.9"), server("a", original)]):
        book, _ = await seen(*members)
        assert book.find(PEER) == "10.0.0.1:8300"


async def test_a_server_sees_that_another_carries_its_own_id() -> None:
    _, servers = await seen(server("me", "10.0.0.1", "id-me"), server("a", "10.0.0.2"))
    assert servers.twin() is None
    twin = server("copy", "10.0.0.9", "id-me")
    _, servers = await seen(server("me", "10.0.0.1", "id-me"), twin)
    assert servers.twin() == twin
