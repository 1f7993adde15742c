"""Every client over both kinds of channel, against the real roles: the same calls, answers, errors and ends."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

import dns.message
import pytest
from msgspec.structs import replace

from rostra.clients.agent import LocalCheck
from rostra.clients.catalog import ReadOptions
from rostra.clients.catalog_stream import CatalogStreamClient, NumberedWrite, prepare_write
from rostra.clients.consensus import Entries, Proposal
from rostra.clients.gossip import Members
from rostra.errors import BadRequest, NotFound
from rostra.gossip.feed import Feed
from rostra.gossip.pool import MemberWatch
from rostra.model.catalog import (
    Check,
    CheckDefinition,
    Deregistration,
    HealthStatus,
    Node,
    Registration,
    Service,
    ServiceInstance,
    ServiceSummary,
)
from rostra.model.consistency import Consistency
from rostra.model.coordinates import Coordinate
from rostra.model.members import MemberChange, MemberStatus
from rostra.model.topics import NODES, SERVICES, Topic, TopicKind
from rostra.rpc.inprocess import InProcessChannel
from rostra.views.messages import BarrierAnswer, BarrierRequest, SnapshotPart, Subscribe
from tests.unit.clients.conftest import IDENTITY, World, until

LIMIT_S = 30.0
WEB = Registration(Node("db1", "127.0.0.9"), service=Service("web", "web", port=80))


async def test_gossip_tells_who_is_there(world: World) -> None:
    status = await world.gossip.get_status()
    assert status.identity == IDENTITY
    members, settled = await world.gossip.list_members("lan", MemberStatus.ALIVE)
    assert ([member.name for member in members], settled) == (["n1"], True)
    async with contextlib.aclosing(world.gossip.watch_members()) as events:  # type: ignore[type-var]
        first = await anext(events)
    assert isinstance(first, Members)
    assert [member.name for member in first.members] == ["n1"]


async def test_gossip_changes_tags_and_refuses_what_is_wrong(world: World) -> None:
    assert (await world.gossip.set_tags({"rack": "7"}))["rack"] == "7"
    assert await world.gossip.send_user_event("deploy", b"v2") > 0
    with pytest.raises(BadRequest, match="name is required"):
        await world.gossip.send_user_event("")
    with pytest.raises(BadRequest, match="WAN pool"):
        await world.gossip.list_members("wan")
    with pytest.raises(NotFound):
        await world.gossip.force_leave("nobody")


async def test_consensus_commits_what_is_proposed_and_hands_it_to_whoever_attaches(world: World) -> None:
    async with world.consensus.propose() as stream:
        await stream.send([Proposal(7, b"", LIMIT_S), Proposal(8, b"", LIMIT_S)])
        results = await stream.receive()
    assert [(result.sequence, result.error) for result in results] == [(7, None), (8, None)]
    async with world.consensus.read_index() as reads:
        await reads.send(3, Consistency.CONSISTENT, LIMIT_S)
        answer = await reads.receive()
    assert answer.index >= results[-1].index
    at_once = world.consensus.read_index_at_once(Consistency.CONSISTENT)
    assert at_once >= answer.index if isinstance(world.channel, InProcessChannel) else at_once == 0
    seen = 0
    async with world.consensus.attach() as attachment:
        while seen < results[-1].index:
            event = await attachment.receive()
            if isinstance(event, Entries):
                assert event.entries[0].index == seen + 1, "entries come in order, without gaps"
                seen = event.entries[-1].index
                await attachment.report_applied(seen)


async def test_consensus_tells_who_leads(world: World) -> None:
    async with contextlib.aclosing(world.consensus.watch_leadership()) as states:  # type: ignore[type-var]
        state = await anext(states)
    assert (state.leader, state.is_leader, state.last_contact_ms) == ("n1", True, 0)
    status = await world.consensus.get_status()
    assert (status.node_id, status.state) == (IDENTITY.id, "leader")
    configuration = await world.consensus.get_configuration()
    assert [member.node_id for member in configuration.members] == [IDENTITY.id]
    with pytest.raises(NotFound):
        await world.consensus.transfer_leadership("00000000-0000-0000-0000-000000000000")


async def test_the_catalog_answers_single_calls(world: World) -> None:
    index = await world.catalog.register(WEB)
    for consistency in Consistency:
        nodes = await world.catalog.list_nodes(options=ReadOptions(consistency))
        assert [node.name for node in nodes.value] == ["db1", "n1"]
        assert nodes.index >= index
    (instance,) = (await world.catalog.list_service_instances("web")).value
    assert (instance.node.name, instance.service.port, instance.service.modify_index) == ("db1", 80, index)
    assert [summary.name for summary in (await world.catalog.list_services()).value] == ["consul", "web"]
    assert [each.name for each in await world.catalog.list_datacenters()] == ["dc1"]
    await world.catalog.deregister(Deregistration("db1"))
    assert (await world.catalog.list_service_instances("web")).value == []


async def test_a_catalog_write_that_is_wrong_names_the_field_and_changes_nothing(world: World) -> None:
    before = await world.catalog.list_nodes()
    with pytest.raises(BadRequest) as caught:
        await world.catalog.register(Registration(Node("", "127.0.0.9")))
    assert caught.value.field
    with pytest.raises(BadRequest) as wrong:
        await world.catalog.list_nodes(options=ReadOptions(filter="Nonsense == a"))
    assert "Nonsense" in str(wrong.value)
    assert [node.name for node in (await world.catalog.list_nodes(options=ReadOptions(filter="Node == nobody"))).value] == []
    assert await world.catalog.list_nodes() == before


async def test_a_blocking_read_waits_for_its_own_change(world: World) -> None:
    index = (await world.catalog.list_service_instances("web")).index
    waiting = asyncio.ensure_future(world.catalog.list_service_instances("web", options=ReadOptions(wait_index=index, wait_s=30.0)))
    await world.catalog.register(Registration(Node("db2", "127.0.0.8")))
    assert not waiting.done()
    written = await world.catalog.register(WEB)
    assert (await waiting).index == written


async def test_the_catalog_streams_topics_writes_and_barriers(world: World) -> None:
    client = CatalogStreamClient(world.channel, IDENTITY, "client")
    async with client.write() as writes:
        await writes.send([NumberedWrite(1, prepare_write(WEB, b"0123456789abcdef"), LIMIT_S)])
        (result,) = await writes.receive()
    assert (result.sequence, result.error) == (1, None)
    async with client.watch() as watch:
        await watch.send(Subscribe(1, NODES))
        await watch.send(Subscribe(2, Topic(TopicKind.SERVICE, "web")))
        names: dict[int, list[str]] = {}
        while len(names) < 2:
            if isinstance(part := await watch.receive(), SnapshotPart):
                names.setdefault(part.subscription, []).extend(entry.key for entry in part.entries)
        await watch.send(BarrierRequest(9, Consistency.DEFAULT, LIMIT_S))
        while not isinstance(event := await watch.receive(), BarrierAnswer):
            pass
    assert event.index >= result.index
    assert names == {1: ["db1", "n1"], 2: ["db1\0web"]}


async def test_the_agent_keeps_services_and_checks_and_the_catalog_follows(world: World) -> None:
    alive = LocalCheck(definition=CheckDefinition(ttl_s=30.0))
    await world.agent.register_service(Service("api", "api", port=8080), [alive])
    assert [service.id for service in await world.agent.list_services()] == ["api"]
    await world.agent.update_ttl("service:api", HealthStatus.PASSING, "well")
    async with asyncio.timeout(60):
        found = await world.catalog.list_service_instances("api")
        while not found.value or found.value[0].status is not HealthStatus.PASSING:
            found = await world.catalog.list_service_instances("api", options=ReadOptions(wait_index=found.index, wait_s=1.0))
    await world.agent.set_maintenance(True, "moving", "api")
    assert len(await world.agent.list_checks()) == 2
    await world.agent.deregister_service("api")
    assert await world.agent.list_checks() == []
    with pytest.raises(NotFound, match="does not have associated TTL"):
        await world.agent.update_ttl("service:api", HealthStatus.PASSING, "")


async def test_agent_waits_for_a_service_until_it_is_another(world: World) -> None:
    await world.agent.register_service(Service("api", "api", port=1))
    (known,) = await world.agent.list_services()
    assert await world.agent.wait_for_service(known, 0.01) == known
    waiting = asyncio.create_task(world.agent.wait_for_service(known, 60.0))
    await world.agent.register_service(Service("other", "other", port=1))
    await world.agent.register_service(Service("api", "api", port=1))
    assert not waiting.done()
    await world.agent.register_service(Service("api", "api", port=2))
    assert (await waiting).port == 2
    waiting = asyncio.create_task(world.agent.wait_for_service(await waiting, 60.0))
    await asyncio.sleep(0)
    await world.agent.deregister_service("api")
    with pytest.raises(NotFound):
        await waiting
    await world.agent.deregister_service("other")


async def test_the_agent_describes_itself_and_leaves_when_asked(world: World) -> None:
    description = await world.agent.get_self()
    assert (description.identity.name, description.version, description.stats) == ("n1", "0.0.0", {"build": {"version": "0.0.0"}})
    assert await world.agent.reload() == (("log_level",), ("datacenter",))
    await world.agent.leave()
    assert world.control.left


async def test_dns_answers_over_grpc(world: World) -> None:
    await until(lambda: world.dns_role.ready)
    question = dns.message.make_query("n1.node.consul.", "A")
    answer = dns.message.from_wire(await world.dns.query(question.to_wire()))
    assert [str(record) for rrset in answer.answer for record in rrset] == ["127.0.0.1"]
    with pytest.raises(BadRequest):
        await world.dns.query(b"no")


async def test_an_entry_that_is_larger_than_a_message_is_watched_like_any_other(world: World) -> None:
    large = replace(WEB, service=Service("web", "web", tags=("t" * 400_000,)))
    await world.catalog.register(large)
    for number in range(4):  # each has the tags of its service
        check = Check("", f"c{number}", "c", service_id="web")
        await world.catalog.register(replace(large, skip_node_update=True, service=None, checks=(check,)))
    reading = await world.hub.read((Topic(TopicKind.SERVICE, "web"), NODES), Consistency.DEFAULT)
    (instance,) = reading.views[0].values()
    assert isinstance(instance, ServiceInstance)
    assert [(check.check_id, check.service_tags) for check in instance.checks] == [(f"c{number}", ("t" * 400_000,)) for number in range(4)]
    await world.catalog.register(replace(large, service=Service("web", "web", port=1)))
    reading = await world.hub.read((Topic(TopicKind.SERVICE, "web"),), Consistency.DEFAULT)
    (instance,) = reading.views[0].values()
    assert isinstance(instance, ServiceInstance)
    assert instance.service.port == 1
    await world.catalog.deregister(Deregistration("db1"))


async def test_a_summary_that_is_larger_than_a_message_takes_no_other_service_away(world: World) -> None:
    for number in range(12):
        tags = tuple(f"{number} {each} {'t' * 1000}" for each in range(450))
        await world.catalog.register(Registration(Node(f"db{number}", "127.0.0.9"), service=Service("web", "web", tags=tags)))
    reading = await world.hub.read((SERVICES, Topic(TopicKind.SERVICE, "consul")), Consistency.DEFAULT)
    summary = next(value for value in reading.views[0].values() if isinstance(value, ServiceSummary) and value.name == "web")
    assert (len(summary.tags), len(reading.views[1])) == (5400, 1)


async def test_lists_of_the_agent_may_be_larger_than_a_message(world: World) -> None:
    names = [f"s{number:02}" for number in range(20)]
    for name in names:
        check = LocalCheck(notes="n" * 100_000, definition=CheckDefinition(ttl_s=30.0))
        await world.agent.register_service(Service(name, name, meta={"m" * 100: "v" * 500}, tags=("t" * 100_000,)), [check])
    assert [service.id for service in await world.agent.list_services()] == names
    assert [check.check_id for check in await world.agent.list_checks()] == [f"service:{name}" for name in names]
    await world.agent.register_check(LocalCheck("disk", definition=CheckDefinition(ttl_s=30.0)))
    assert [service.id for service in await world.agent.list_services(service_id="s07")] == ["s07"]
    assert [service.id for service in await world.agent.list_services(name="s08")] == ["s08"]
    assert [check.check_id for check in await world.agent.list_checks(concerning=["s07"])] == ["disk", "service:s07"]


async def test_lists_of_members_may_be_larger_than_a_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = world.gossip_role.pools["lan"]
    tags = {"id": "i" * 1000}
    many = tuple(dataclasses.replace(pool.local_member(), name=f"m{number:05}", tags=tags) for number in range(2000))
    names = [member.name for member in many]
    monkeypatch.setattr(pool, "members", lambda: many)
    monkeypatch.setattr(pool, "watch", lambda: MemberWatch(many, Feed[MemberChange]().subscribe()))
    monkeypatch.setattr(pool, "coordinates", lambda: dict.fromkeys([f"{name}{'x' * 500}" for name in names], Coordinate()))
    members, _ = await world.gossip.list_members()
    assert [member.name for member in members] == names
    async with contextlib.aclosing(world.gossip.watch_members()) as events:  # type: ignore[type-var]
        first = await anext(events)
    assert isinstance(first, Members)
    assert [member.name for member in first.members] == names
    assert [name[:6] for name in await world.gossip.list_coordinates()] == names
