"""Who the servers are, to operators and to autopilot, between a consensus of three and gossip."""

from __future__ import annotations

import pytest

from rostra.catalog import autopilot
from rostra.clients.consensus import RaftMember
from rostra.errors import BadRequest, NoLeader, NotFound, UnknownOutcome
from rostra.model.members import MemberStatus
from rostra.v1 import consensus_pb2 as pb
from rostra.v1 import raft_pb2

from .conftest import World
from .helpers import member

LOST_MS = 60_000
ADDRESS = "10.0.0.1:8300"


class Servers:
    """The membership of the fake consensus: it does what it is asked, and keeps what that was."""

    def __init__(self, world: World, *names: str) -> None:
        self.names = list(names)
        self.lost: set[str] = set()
        self.asked: list[str] = []
        world.consensus.servers = self

    def configuration(self, request: pb.GetConfigurationRequest) -> pb.GetConfigurationResponse:
        self.asked.append("leader" if request.from_leader else "any")
        ids = {name: raft_pb2.PeerId(node_id=f"id-{name}", store_id="store") for name in self.names}
        members = [
            raft_pb2.RaftMember(id=ids[name], node_name=name, address=ADDRESS, suffrage=raft_pb2.SUFFRAGE_VOTER) for name in self.names
        ]
        progress = [
            pb.MemberProgress(id=ids[name], match_index=7, last_contact_ms=LOST_MS if name in self.lost else 1) for name in self.names[1:]
        ]
        configuration = raft_pb2.Configuration(cluster_id="cluster", members=members)
        return pb.GetConfigurationResponse(index=7, configuration=configuration, leader=ids[self.names[0]], progress=progress)

    def change(self, request: pb.ChangeMemberRequest) -> pb.ChangeMemberResponse:
        name = request.member.id.node_id.removeprefix("id-")
        if request.action != pb.MEMBER_CHANGE_ACTION_REMOVE:
            raise UnknownOutcome("not what is tested here")
        if name not in self.names:
            raise NotFound(f"node {name} is not a member")
        self.names.remove(name)
        return pb.ChangeMemberResponse(index=8)

    def transfer(self, request: pb.TransferLeadershipRequest) -> pb.TransferLeadershipResponse:
        if not request.node_id:
            raise NoLeader
        return pb.TransferLeadershipResponse(leader=request.node_id.removeprefix("id-"))


async def test_the_servers_are_told_as_consensus_has_them(world: World) -> None:
    servers = Servers(world, "a", "b")
    found = await world.client.get_servers()
    assert (found.index, found.cluster_id, found.leader_id) == (7, "cluster", "id-a")
    assert found.members == [
        RaftMember("id-a", "store", "a", ADDRESS, voter=True),
        RaftMember("id-b", "store", "b", ADDRESS, voter=True, match_index=7, last_contact_ms=1),
    ]
    assert servers.asked[-1] == "leader"
    await world.client.get_servers(from_leader=False)
    assert servers.asked[-1] == "any"


async def test_operators_remove_a_server_and_hand_over(world: World) -> None:
    servers = Servers(world, "a", "b")
    assert await world.client.remove_server(RaftMember("id-b", "store", "", "", voter=False)) == 8
    assert servers.names == ["a"]
    with pytest.raises(NotFound, match="b is not a member"):
        await world.client.remove_server(RaftMember("id-b", "", "", "", voter=False))
    with pytest.raises(BadRequest, match="Missing node ID"):
        await world.client.remove_server(RaftMember("", "", "", "", voter=False))
    assert await world.client.hand_over_leadership("id-b") == "b"
    with pytest.raises(NoLeader):
        await world.client.hand_over_leadership()


@pytest.mark.parametrize(
    ("status", "others", "goes"), [(MemberStatus.LEFT, 2, True), (MemberStatus.FAILED, 3, True), (MemberStatus.FAILED, 2, False)]
)
async def test_a_server_that_gossip_has_forgotten_is_taken_for_what_it_was_last(
    near: World, monkeypatch: pytest.MonkeyPatch, status: MemberStatus, others: int, *, goes: bool
) -> None:
    """``force-leave -prune`` forgets within moments, the reaper after days: either would leave a dead voter in Raft for ever."""
    monkeypatch.setattr(autopilot, "LOOK_S", 0.01)
    names = ["a", "b", "c"][:others]
    servers = Servers(near, *names, "gone")
    servers.lost.add("gone")
    for name in names:
        near.gossip.change(member(name, server=True, id=f"id-{name}"))
    near.gossip.change(member("gone", status, server=True, id="id-gone"))
    near.gossip.reap("gone")
    await near.until(lambda: "gone" in near.role.members.reaped)
    near.consensus.lead(1, here=True)
    if goes:
        await near.until(lambda: "gone" not in servers.names)
        return
    seen = len(servers.asked)
    await near.until(lambda: len(servers.asked) > seen + 20)
    assert "gone" in servers.names
