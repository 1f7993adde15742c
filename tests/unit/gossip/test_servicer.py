"""GossipService before a pool of any size."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from rostra.clients.gossip import GossipClient, Members
from rostra.gossip.feed import Feed
from rostra.gossip.pool import MemberWatch
from rostra.gossip.servicer import MEMBERS_IN_PART, GossipServicer
from rostra.model.identity import Identity
from rostra.model.members import Member, MemberChange, MemberChangeKind, MemberStatus
from rostra.rpc.handlers import Handlers
from rostra.rpc.inprocess import InProcessChannel
from rostra.v1 import gossip_pb2_grpc

IDENTITY = Identity("n1", "", "dc1")
TAGS: Mapping[str, str] = {"role": "rostra-client", "dc": "dc1", "id": "3f8d9e54-2a43-4f0c-9a5e-0d8f3c1b7a11", "note": "x" * 400}


def member(number: int) -> Member:
    return Member(f"node-{number:06}", "127.0.0.1", 8301, TAGS, MemberStatus.ALIVE, 1, 1, 1, 5, 2, 2, 5, 4)


class Pool:
    """Nothing but a list and its changes."""

    def __init__(self, count: int) -> None:
        self.listed: Sequence[Member] = [member(number) for number in range(count)]
        self.changes: Feed[MemberChange] = Feed()

    def members(self) -> Sequence[Member]:
        return self.listed

    def watch(self) -> MemberWatch:
        return MemberWatch(tuple(self.listed), self.changes.subscribe())


class Role:
    identity = IDENTITY

    def __init__(self, pool: Pool) -> None:
        self.pools: Any = {"lan": pool}

    def is_settled(self, name: str) -> bool:
        return True


def client_of(pool: Pool) -> GossipClient:
    handlers = Handlers()
    handlers.add(gossip_pb2_grpc.add_GossipServiceServicer_to_server, GossipServicer(Role(pool)))  # type: ignore[arg-type]
    return GossipClient(InProcessChannel(handlers), IDENTITY)


async def test_a_list_of_any_length_comes_as_one_and_before_the_changes_after_it() -> None:
    for count in (0, 1, MEMBERS_IN_PART, MEMBERS_IN_PART + 1, 12_000):
        pool = Pool(count)
        async with asyncio.timeout(60):
            watch = client_of(pool).watch_members()
            first = await anext(watch)
            assert isinstance(first, Members)
            assert [each.name for each in first.members] == [each.name for each in pool.listed]
            assert first.settled
            pool.changes.publish(MemberChange(MemberChangeKind.JOINED, member(count)))
            change = await anext(watch)
            assert isinstance(change, MemberChange)
            assert change.member.name == member(count).name
            await watch.aclose()  # type: ignore[attr-defined]
