"""GossipService as one member list that a test changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from rostra.errors import Unavailable
from rostra.model.members import Member, MemberStatus
from rostra.v1 import gossip_pb2 as pb

from .partial import Partial

STATUSES = {
    MemberStatus.ALIVE: pb.MEMBER_STATUS_ALIVE,
    MemberStatus.LEAVING: pb.MEMBER_STATUS_LEAVING,
    MemberStatus.LEFT: pb.MEMBER_STATUS_LEFT,
    MemberStatus.FAILED: pb.MEMBER_STATUS_FAILED,
}
KINDS = {
    MemberStatus.ALIVE: pb.MEMBER_CHANGE_KIND_JOINED,
    MemberStatus.LEAVING: pb.MEMBER_CHANGE_KIND_LEAVING,
    MemberStatus.LEFT: pb.MEMBER_CHANGE_KIND_LEFT,
    MemberStatus.FAILED: pb.MEMBER_CHANGE_KIND_FAILED,
}


class FakeGossip(Partial):
    """Watchers get the list, then every change."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.settled = True
        self._watchers: list[asyncio.Queue[pb.WatchMembersResponse | None]] = []

    def change(self, member: Member) -> None:
        self.members[member.name] = member
        self._tell(pb.MemberChange(kind=KINDS[member.status], member=member_to_proto(member)))

    def reap(self, name: str) -> None:
        gone = self.members.pop(name)
        self._tell(pb.MemberChange(kind=pb.MEMBER_CHANGE_KIND_REAPED, member=member_to_proto(gone)))

    def settle(self) -> None:
        self.settled = True
        for watcher in self._watchers:
            watcher.put_nowait(pb.WatchMembersResponse(settled=pb.PoolSettled(members=len(self.members))))

    def restart(self, *members: Member, settled: bool) -> None:
        """The process with gossip is another one, which knows these members."""
        self.members = {member.name: member for member in members}
        self.settled = settled
        for watcher in self._watchers:
            watcher.put_nowait(None)

    def _tell(self, change: pb.MemberChange) -> None:
        for watcher in self._watchers:
            watcher.put_nowait(pb.WatchMembersResponse(change=change))

    async def WatchMembers(self, request: Any, context: Any) -> AsyncIterator[pb.WatchMembersResponse]:
        queue: asyncio.Queue[pb.WatchMembersResponse | None] = asyncio.Queue()
        members = [member_to_proto(member) for member in self.members.values()]
        self._watchers.append(queue)
        try:
            yield pb.WatchMembersResponse(snapshot=pb.MemberSnapshot(members=members, settled=self.settled))
            while (message := await queue.get()) is not None:
                yield message
            raise Unavailable("gossip was restarted by the test")
        finally:
            self._watchers.remove(queue)


def member_to_proto(member: Member) -> pb.Member:
    return pb.Member(
        name=member.name,
        address=member.address,
        port=member.port,
        tags=member.tags,
        status=STATUSES[member.status],
        incarnation=member.incarnation,
    )
