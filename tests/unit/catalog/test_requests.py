"""Reads and writes while consensus answers, hesitates, breaks, or has no leader."""

from __future__ import annotations

import asyncio

import pytest

from rostra.clients.catalog import ReadOptions
from rostra.errors import BadRequest, NoLeader, Unavailable, UnknownOutcome, Unsupported
from rostra.model.catalog import Deregistration, HealthStatus
from rostra.model.consistency import Consistency

from .conftest import HOLD_S, World
from .helpers import ID_1, check, registration, service

STALE = ReadOptions(Consistency.STALE)


async def test_a_write_whose_outcome_consensus_does_not_know_is_found_in_the_log(world: World) -> None:
    world.consensus.forgetful = True
    assert await world.client.register(registration("a")) == 1


async def test_a_write_survives_a_broken_stream_and_is_done_once(near: World) -> None:
    near.consensus.deaf = True
    writing = asyncio.create_task(near.client.register(registration("a")))
    await near.until(lambda: len(near.consensus.proposals) == 1)
    near.consensus.deaf = False
    near.consensus.break_streams()
    assert await writing == 1
    assert [one.data for one in near.consensus.proposals[:1]] == [one.data for one in near.consensus.proposals[1:]]


async def test_a_write_that_is_never_answered_has_an_unknown_outcome(near: World) -> None:
    near.consensus.deaf = True
    with pytest.raises(UnknownOutcome):
        await near.client.register(registration("a"))


async def test_a_write_without_consensus_is_definitely_not_done(near: World) -> None:
    near.consensus.down = True
    near.consensus.break_streams()
    await near.until(lambda: not near.role.driver.attached)
    with pytest.raises(NoLeader):
        await near.client.register(registration("a"))


async def test_without_a_leader_default_reads_wait_the_hold_time_and_later_ones_fail_at_once(world: World) -> None:
    await world.client.register(registration("a"))
    world.consensus.lead(0)
    await world.until(lambda: not world.role.leadership.contact(0).known_leader)
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(NoLeader, match="No cluster leader"):
        await world.client.list_nodes()
    assert HOLD_S / 2 < loop.time() - started < HOLD_S * 20
    started = loop.time()
    with pytest.raises(NoLeader):
        await world.client.list_nodes(ReadOptions(Consistency.CONSISTENT))
    assert loop.time() - started < HOLD_S
    stale = await world.client.list_nodes(STALE)
    assert [node.name for node in stale.value] == ["a"]
    assert not stale.known_leader
    world.consensus.lead(2)
    await world.until(lambda: world.role.leadership.contact(0).known_leader)
    world.consensus.answer_rounds()
    assert (await world.client.list_nodes()).known_leader


async def test_a_dead_consensus_leaves_stale_reads(near: World) -> None:
    await near.client.register(registration("a"))
    near.consensus.down = True
    near.consensus.break_streams()
    assert [node.name for node in (await near.client.list_nodes(STALE)).value] == ["a"]
    with pytest.raises(NoLeader):
        await near.client.list_nodes()


async def test_a_round_serves_only_the_reads_that_asked_before_it_was_sent(near: World) -> None:
    near.consensus.deaf = True
    first = asyncio.create_task(near.role.reads.be_fresh(Consistency.DEFAULT))
    await near.until(lambda: len(near.consensus.rounds) == 1)
    late = [asyncio.create_task(near.role.reads.be_fresh(Consistency.DEFAULT)) for _ in range(5)]
    await asyncio.sleep(0)
    near.consensus.do(registration("a"))
    near.consensus.answer_rounds()
    assert await first == 0
    await near.until(lambda: len(near.consensus.rounds) == 2)
    assert not any(one.done() for one in late)
    near.consensus.answer_rounds()
    assert await asyncio.gather(*late) == [1] * 5
    assert near.role.driver.state.applied_index == 1


async def test_beside_a_leader_that_knows_no_round_is_asked(near: World) -> None:
    near.consensus.knows_at_once = True
    near.consensus.entries_per_message = 1
    for number in range(20):
        near.consensus.do(registration(f"n{number}"))
        assert len((await near.client.list_nodes()).value) == number + 1
    assert near.consensus.rounds == []


async def test_at_once_is_only_what_is_applied_already(near: World) -> None:
    near.consensus.knows_at_once = True
    near.consensus.do(registration("a"))
    assert near.role.driver.state.applied_index == 0
    assert near.role.reads.at_once(Consistency.DEFAULT) == 0
    assert await near.role.reads.be_fresh(Consistency.DEFAULT) == 1
    assert near.role.reads.at_once(Consistency.DEFAULT) == 1
    near.consensus.knows_at_once = False
    assert near.role.reads.at_once(Consistency.DEFAULT) == 0


async def test_a_round_that_breaks_is_asked_again(near: World) -> None:
    near.consensus.deaf = True
    reading = asyncio.create_task(near.role.reads.be_fresh(Consistency.CONSISTENT))
    await near.until(lambda: len(near.consensus.rounds) == 1)
    near.consensus.deaf = False
    near.consensus.break_streams()
    assert await reading == 0
    assert [one.consistency for one in near.consensus.rounds] == [2, 2]


async def test_a_default_read_sees_every_write_acknowledged_before_it(near: World) -> None:
    near.consensus.entries_per_message = 1
    for number in range(50):
        near.consensus.do(registration(f"n{number}"))
        assert len((await near.client.list_nodes()).value) == number + 1


async def test_a_blocking_query_answers_when_its_own_topic_changed(world: World) -> None:
    index = await world.client.register(registration("a", service=service()))
    options = ReadOptions(wait_index=index, wait_s=5)
    waiting = asyncio.create_task(world.client.list_service_instances("web", options))
    await world.client.register(registration("b", service=service("db")))
    changed = await world.client.register(registration("a", service=service(port=80)))
    answer = await waiting
    assert answer.index == changed
    assert [instance.service.port for instance in answer.value] == [80]


async def test_a_blocking_query_that_times_out_gives_what_is_there(near: World) -> None:
    index = await near.client.register(registration("a"))
    answer = await near.client.list_nodes(ReadOptions(wait_index=index + 100, wait_s=0.02))
    assert answer.index == index
    assert len(answer.value) == 1


async def test_lists_are_narrowed_by_meta_tags_and_health(world: World) -> None:
    client = world.client
    await client.register(registration("a", meta={"rack": "1"}, service=service(tags=("Blue", "x")), checks=(check("n"),)))
    bad = check("s", HealthStatus.CRITICAL, service_id="web")
    await client.register(registration("b", node_id=ID_1, meta={"rack": "2"}, service=service(tags=("x",)), checks=(bad,)))
    rack = {"rack": "1"}
    assert [node.name for node in (await client.list_nodes(node_meta=rack)).value] == ["a"]
    assert (await client.list_services(node_meta=rack)).value[0].tags == ("Blue", "x")
    assert [each.instances for each in (await client.list_services()).value] == [2]
    instances = client.list_service_instances
    assert [each.node.name for each in (await instances("WEB")).value] == ["a", "b"]
    assert [each.node.name for each in (await instances("web", tags=["blue", "x"])).value] == ["a"]
    assert [each.node.name for each in (await instances("web", passing_only=True)).value] == ["a"]
    assert [each.node.name for each in (await instances("web", node_meta=rack)).value] == ["a"]
    assert [each.check_id for each in (await client.list_checks(service="web")).value] == ["s"]
    assert [each.check_id for each in (await client.list_checks(node="A")).value] == ["n"]
    assert [each.check_id for each in (await client.list_checks(state=HealthStatus.CRITICAL)).value] == ["s"]
    assert [each.check_id for each in (await client.list_checks()).value] == ["n", "s"]
    by_id = (await client.list_node_services(ID_1)).value
    assert by_id is not None
    assert [each.name for each in by_id.services] == ["web"]
    assert (await client.list_node_services("none")).value is None
    assert [each.name for each in await client.list_datacenters()] == ["dc1"]


async def test_lists_are_narrowed_by_a_filter_expression_over_the_fields_of_their_records(world: World) -> None:
    client = world.client
    bad = check("s", HealthStatus.CRITICAL, service_id="web")
    await client.register(registration("a", meta={"rack": "1"}, service=service(tags=("blue",)), checks=(check("n"),)))
    await client.register(registration("b", node_id=ID_1, meta={"rack": "2"}, service=service(), checks=(bad,)))

    def matching(expression: str) -> ReadOptions:
        return ReadOptions(filter=expression)

    assert [node.name for node in (await client.list_nodes(matching("Meta.rack == 2 and Datacenter == dc1"))).value] == ["b"]
    assert [each.name for each in (await client.list_services(matching("blue in ServiceTags"))).value] == ["web"]
    assert (await client.list_services(matching("ServiceName != web"))).value == []
    instances = (await client.list_service_instances("web", matching("Checks.Status == critical"))).value
    assert [each.node.name for each in instances] == ["b"]
    assert [each.check_id for each in (await client.list_checks(matching("CheckID == s"))).value] == ["s"]
    node = (await client.list_node_services("a", matching("Service == db"))).value
    assert node is not None
    assert (node.node.name, list(node.services)) == ("a", [])


async def test_a_filter_that_cannot_be_read_is_refused_with_its_place(near: World) -> None:
    with pytest.raises(BadRequest, match=r'1:1 \(0\): Selector "Rack" is not valid') as refused:
        await near.client.list_nodes(ReadOptions(filter="Rack == 1"))
    assert refused.value.field == "filter"


async def test_deregistering_goes_the_same_way(near: World) -> None:
    await near.client.register(registration("a", service=service()))
    await near.client.deregister(Deregistration("a", "web"))
    assert not (await near.client.list_services()).value


async def test_what_is_not_served_says_so(near: World) -> None:
    near.client._datacenter = "dc9"
    with pytest.raises(Unavailable, match="No path to datacenter"):
        await near.client.list_nodes()
    near.client._datacenter = ""
    with pytest.raises(BadRequest):
        await near.client.list_service_instances("")
    with pytest.raises(BadRequest):
        await near.client.list_node_services("")


async def test_an_answer_that_does_not_fit_a_message_is_refused_and_says_what_to_do(near: World) -> None:
    meta = {str(number): "x" * 512 for number in range(64)}
    for number in range(40):
        near.consensus.do(registration(f"n{number}", meta=meta))
    with pytest.raises(Unsupported, match="Watch"):
        await near.client.list_nodes()
