"""``/v1/operator/raft``: Consul's JSON and texts."""

from __future__ import annotations

import pytest

from .conftest import World

CONFIGURATION = "/v1/operator/raft/configuration"
PEER = "/v1/operator/raft/peer"
TRANSFER = "/v1/operator/raft/transfer-leader"


async def test_the_configuration_has_consuls_shape(world: World) -> None:
    answer = (await world.get(CONFIGURATION)).json
    assert isinstance(answer, dict)
    assert answer["Index"] == 7
    assert answer["Servers"][:2] == [
        {"ID": "id-1", "Node": "n1", "Address": "127.0.0.1:8300", "Leader": True, "ProtocolVersion": "3", "Voter": True},
        {"ID": "id-2", "Node": "(unknown)", "Address": "127.0.0.2:8300", "Leader": False, "ProtocolVersion": "3", "Voter": True},
    ]
    assert answer["Servers"][3]["Voter"] is False


async def test_the_leader_is_asked_unless_stale_will_do(world: World) -> None:
    await world.get(CONFIGURATION)
    await world.get(f"{CONFIGURATION}?stale")
    assert world.raft.asked == ["leader", "stale"]


@pytest.mark.parametrize("query", ["id=id-2", "address=127.0.0.2:8300"])
async def test_a_peer_is_removed_by_id_or_address(world: World, query: str) -> None:
    answer = await world.ask("DELETE", f"{PEER}?{query}")
    assert (answer.status, answer.body) == (200, b"")
    assert [member.node_id for member in world.raft.members] == ["id-1", "id-3", "id-3"]


async def test_of_several_stores_of_one_node_one_has_to_be_named(world: World) -> None:
    answer = await world.ask("DELETE", f"{PEER}?id=id-3")
    assert answer.status == 400
    assert "name one of id-3/store-3, id-3/store-4" in answer.text
    assert (await world.ask("DELETE", f"{PEER}?id=id-3/store-4")).status == 200
    assert [member.store_id for member in world.raft.members] == ["store-1", "store-2", "store-3"]


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("", 400, "Bad request: Must specify either ?id with the server's ID or ?address with IP:port of peer to remove"),
        ("?id=x&address=y", 400, "Bad request: Must specify only one of ?id or ?address"),
        ("?id=x", 404, 'id "x" was not found in the Raft configuration'),
        ("?address=1.2.3.4:8300", 404, 'address "1.2.3.4:8300" was not found in the Raft configuration'),
        ("?id=id-2&dc=dc9", 500, "No path to datacenter"),
    ],
)
async def test_a_removal_that_makes_no_sense_changes_nothing(world: World, query: str, status: int, text: str) -> None:
    answer = await world.ask("DELETE", PEER + query)
    assert (answer.status, answer.text) == (status, text)
    assert len(world.raft.members) == 4


async def test_leadership_is_handed_to_a_server_or_to_any(world: World) -> None:
    assert (await world.ask("POST", TRANSFER)).json == {"Success": True}
    assert (await world.ask("POST", f"{TRANSFER}?id=id-2")).json == {"Success": True}
    assert (await world.ask("POST", f"{TRANSFER}?id=id-9")).status == 404
    assert [what for what in world.raft.asked if what != "leader"] == ["transfer to anyone", "transfer to id-2"]


async def test_the_servers_of_another_datacenter_are_those_that_are_asked(world: World) -> None:
    world.raft_of_dc2.members = world.raft_of_dc2.members[:2]
    for query, count in (("?dc=dc1", 4), ("?dc=dc2", 2), ("?dc=DC2", 2)):
        answer = (await world.get(CONFIGURATION + query)).json
        assert isinstance(answer, dict)
        assert len(answer["Servers"]) == count
    assert (await world.ask("DELETE", f"{PEER}?id=id-2&dc=dc2")).status == 200
    assert (await world.ask("POST", f"{TRANSFER}?dc=dc2")).json == {"Success": True}
    assert (len(world.raft.members), len(world.raft_of_dc2.members)) == (4, 1)
    assert (world.raft.asked, world.raft_of_dc2.asked[-1]) == (["leader"], "transfer to anyone")
    for method, path in (("GET", CONFIGURATION), ("POST", TRANSFER)):
        answer_of_none = await world.ask(method, f"{path}?dc=dc9")
        assert (answer_of_none.status, answer_of_none.text) == (500, "No path to datacenter")


async def test_other_methods_are_refused_as_consul_does(world: World) -> None:
    answer = await world.put(CONFIGURATION)
    assert (answer.status, answer.text, answer.headers["allow"]) == (405, "method PUT not allowed", "OPTIONS,GET")
    assert (await world.get(PEER)).headers["allow"] == "OPTIONS,DELETE"
