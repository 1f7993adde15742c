"""The catalog at the log: entries, snapshots, breaks, and a log that is another one."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from rostra.catalog.driver import UnknownCommand
from rostra.clients.catalog_stream import WatchStream
from rostra.errors import BadRequest, Conflict, RostraError
from rostra.model.topics import NODES
from rostra.v1 import command_pb2, raft_pb2
from rostra.views.messages import SnapshotPart, Subscribe

from .conftest import World
from .helpers import ID_1, ID_2, Book, alive, registration, save, service


async def receive_all(watch: WatchStream) -> None:
    """Until it ends."""
    while True:
        await watch.receive()


async def test_what_is_committed_is_applied_in_order_and_reported(world: World) -> None:
    for number in range(30):
        world.consensus.do(registration(f"n{number}"))
    await world.until(lambda: world.consensus.applied == 30)
    assert len(world.role.driver.state.store.nodes) == 30


async def test_entries_that_are_not_for_the_catalog_are_passed_over(near: World) -> None:
    near.consensus.commit(kind=raft_pb2.ENTRY_KIND_NO_OP)
    near.consensus.commit(b"configuration", kind=raft_pb2.ENTRY_KIND_CONFIGURATION)
    index = near.consensus.do(registration("a"))
    await near.until(lambda: near.role.driver.state.applied_index == index == 3)


async def test_after_a_break_it_goes_on_where_it_was(world: World) -> None:
    world.consensus.do(registration("a"))
    await world.until(lambda: world.role.driver.state.applied_index == 1)
    world.consensus.break_streams()
    world.consensus.do(registration("b"))
    await world.until(lambda: world.role.driver.state.applied_index == 2)
    place = world.consensus.attachments[-1]
    assert (place.cluster_id, place.applied_index, place.applied_term, place.primary) == (world.consensus.cluster_id, 1, 1, True)


async def test_a_place_that_is_gone_from_the_log_is_made_up_by_a_snapshot(world: World) -> None:
    world.consensus.do(registration("old"))
    await world.until(lambda: world.role.driver.state.applied_index == 1)
    world.consensus.down = True
    world.consensus.break_streams()
    await world.until(lambda: not world.role.driver.attached)
    book = Book()
    for command in (registration("old"), registration("a", service=service()), registration("b")):
        book.do(command)
    for _ in range(2):
        world.consensus.commit()
    world.consensus.truncate(save(book.state))
    world.consensus.do(registration("c"))
    world.consensus.down = False
    await world.until(lambda: world.role.driver.state.applied_index == 4)
    assert sorted(node.name for node in world.role.driver.state.store.nodes) == ["a", "b", "c", "old"]


async def test_a_snapshot_is_handed_over_when_it_is_wanted(world: World) -> None:
    for number in range(300):
        world.consensus.do(registration(f"n{number}", service=service()), bytes([number % 256, number // 256]))
    await world.until(lambda: world.role.driver.state.applied_index == 300)
    world.consensus.want_snapshot()
    await world.until(lambda: world.consensus.handed_over is not None)
    assert world.consensus.handed_over == save(world.role.driver.state)


async def test_the_state_machine_counts_under_consuls_names(near: World) -> None:
    def value(name: str) -> float:
        return REGISTRY.get_sample_value(f"consul_raft_{name}") or 0.0

    names = ("fsm_apply_count", "fsm_snapshot_count", "snapshot_create_count", "fsm_restore_count", "restore")
    before = {name: value(name) for name in names}
    near.consensus.do(registration("a"))
    await near.until(lambda: near.role.driver.state.applied_index == 1)
    near.consensus.want_snapshot()
    await near.until(lambda: value("snapshot_create_count") > before["snapshot_create_count"])
    await near.until(lambda: near.consensus.handed_over is not None)  # which takes in the last piece in a later turn
    near.consensus.down = True
    near.consensus.break_streams()
    await near.until(lambda: not near.role.driver.attached)
    book = Book()
    book.do(registration("a"))
    book.do(registration("b"))
    near.consensus.commit()
    near.consensus.truncate(save(book.state))
    near.consensus.down = False
    await near.until(lambda: near.role.driver.state.applied_index == 2)
    assert {name: value(name) - was for name, was in before.items()} == dict.fromkeys(names, 1)
    assert value("fsm_lastRestoreDuration") > 0


async def test_a_consensus_of_another_cluster_makes_the_catalog_start_over(near: World) -> None:
    near.consensus.do(registration("a"))
    await near.until(lambda: near.role.driver.state.applied_index == 1)
    async with near.streams.watch() as watch:
        await watch.send(Subscribe(1, NODES, 0, ""))
        while not isinstance(await watch.receive(), SnapshotPart):
            pass
        near.consensus.reset("0c6a3b1e-0000-4000-8000-000000000002")
        near.consensus.break_streams()
        with pytest.raises(RostraError, match="another cluster"):
            await receive_all(watch)
    near.consensus.do(registration("b"))
    await near.until(lambda: [node.name for node in near.role.driver.state.store.nodes] == ["b"])


async def test_a_command_of_an_unknown_kind_stops_the_catalog_loudly(near: World) -> None:
    near.consensus.commit(command_pb2.Command(request_id=b"1").SerializeToString())
    with pytest.raises(ExceptionGroup) as caught:
        await near.task
    assert caught.group_contains(UnknownCommand, match="entry 1 of the log holds a kind of command")
    near.task = asyncio.create_task(asyncio.sleep(0))


async def test_a_write_is_answered_from_the_catalogs_own_apply(world: World) -> None:
    assert await world.client.register(registration("a", node_id=ID_1, checks=alive())) == 1
    assert await world.client.register(registration("b")) == 2
    with pytest.raises(Conflict, match="Node name a is reserved by node"):
        await world.client.register(registration("a", node_id=ID_2))
    with pytest.raises(BadRequest, match="Must provide node") as caught:
        await world.client.register(registration(""))
    assert caught.value.field == "Node"
    assert world.consensus.last_index == 3


async def test_a_write_that_comes_again_under_its_id_is_done_once(world: World) -> None:
    first, again = await asyncio.gather(
        world.client.register(registration("a"), request_id=b"0123456789abcdef"),
        world.client.register(registration("a"), request_id=b"0123456789abcdef"),
    )
    assert first == again == 1
    assert await world.client.register(registration("a"), request_id=b"0123456789abcdef") == 1
    assert world.consensus.last_index == 1
