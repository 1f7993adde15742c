"""How fresh reads are, and what they say of it."""

from __future__ import annotations

import gzip

import pytest

from rostra.errors import Busy, NoLeader
from rostra.gateway.settings import GatewaySettings, Limits

from .conftest import World, until


async def test_headers_tell_index_leader_contact_and_the_consistency_that_was_asked(world: World) -> None:
    index = world.hub.register("n1")
    for query, word in (("", "leader"), ("?leader", "leader"), ("?consistent", "consistent"), ("?stale", "stale")):
        headers = (await world.get(f"/v1/catalog/nodes{query}")).headers
        assert headers["x-consul-index"] == str(index)
        assert headers["x-consul-knownleader"] == "true"
        assert headers["x-consul-lastcontact"] == "0"
        assert headers["x-consul-effective-consistency"] == word


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("stale&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."),
        ("cached&consistent", "Cannot specify ?cached with ?consistent, conflicting semantics."),
        ("index=abc", "Invalid index"),
        ("index=-1", "Invalid index"),
        ("index=18446744073709551616", "Invalid index"),
        ("wait=3", "Invalid wait time"),
        ("wait=soon", "Invalid wait time"),
        ("max_stale=3", 'Invalid max_stale value "3"'),
    ],
)
async def test_parameters_that_contradict_or_cannot_be_read_are_400(world: World, query: str, text: str) -> None:
    answer = await world.get(f"/v1/catalog/nodes?{query}")
    assert (answer.status, answer.text) == (400, text)


async def test_without_a_leader_stale_answers_at_once_and_the_others_say_no_cluster_leader(world: World) -> None:
    world.hub.register("n1")
    world.hub.leader = False
    stale = await world.get("/v1/catalog/nodes?stale")
    assert stale.status == 200
    assert stale.headers["x-consul-knownleader"] == "false"
    for query in ("", "?consistent"):
        answer = await world.get(f"/v1/catalog/nodes{query}")
        assert (answer.status, answer.text) == (500, "No cluster leader")
        assert answer.headers["x-consul-knownleader"] == "false"


async def test_a_default_read_waits_for_its_barrier_and_sees_what_was_written_before_it_was_reached(world: World) -> None:
    world.hub.hold_barriers = True
    connection = await world.connect()
    connection.send("GET", "/v1/catalog/nodes")
    await until(lambda: bool(world.hub.held))
    world.hub.register("n1")
    world.hub.hold_barriers = False
    barrier = await world.hub.barrier(world.hub.peek(()).consistency)  # type: ignore[union-attr]
    world.hub.held[0].set_result(barrier)
    assert '"n1"' in (await connection.receive()).text


async def test_a_barrier_that_fails_is_no_cluster_leader(world: World) -> None:
    world.hub.hold_barriers = True
    connection = await world.connect()
    connection.send("GET", "/v1/catalog/nodes")
    await until(lambda: bool(world.hub.held))
    world.hub.held[0].set_exception(NoLeader())
    answer = await connection.receive()
    assert (answer.status, answer.text) == (500, "No cluster leader")


async def test_cached_answers_from_the_view_and_says_hit_where_consul_caches(world: World) -> None:
    world.hub.register("n1", "web")
    world.hub.leader = False
    answer = await world.get("/v1/health/service/web?cached")
    assert answer.status == 200
    assert answer.headers["x-cache"] == "HIT"
    assert answer.headers["age"] == "0"


async def test_status_names_the_leader_and_the_peers(world: World) -> None:
    assert (await world.get("/v1/status/leader")).text == '"127.0.0.1:8300"'
    assert (await world.get("/v1/status/peers")).text == '["127.0.0.1:8300"]'
    world.hub.leader = False
    assert (await world.get("/v1/status/leader")).text == '""'


async def test_too_many_blocking_queries_are_429() -> None:
    world = World()
    await world.start(GatewaySettings(limits=Limits(blocked_queries=1)))
    index = world.hub.register("n1")
    first = await world.connect()
    first.send("GET", f"/v1/catalog/nodes?index={index}")
    await until(lambda: world.blocked == 1)
    answer = await world.get(f"/v1/catalog/nodes?index={index}&stale")
    assert answer.status == 429
    world.hub.register("n2")
    assert (await first.receive()).status == 200
    await world.stop()


@pytest.mark.parametrize("nodes", [1, 20, 3000])
async def test_gzip_is_given_to_who_accepts_it_where_it_is_worth_it(world: World, nodes: int) -> None:
    for number in range(nodes):
        world.hub.register(f"node-{number}")
    for target in ("/v1/catalog/nodes", "/v1/catalog/nodes?pretty&stale", "/v1/catalog/nodes?near=n1"):
        plain = await world.get(target)
        for _ in range(2):
            packed = await world.get(target, {"Accept-Encoding": "deflate, gzip;q=0.5"})
            assert packed.headers.get("content-encoding") == (None if nodes == 1 else "gzip")
            assert (gzip.decompress(packed.body) if nodes > 1 else packed.body) == plain.body
        refused = await world.get(target, {"Accept-Encoding": "gzip;q=0"})
        assert refused.body == plain.body


async def test_views_without_a_place_for_one_more_topic_are_429_on_every_way(world: World) -> None:
    def full(*_: object) -> None:
        raise Busy("too many topics")

    connection = await world.connect()
    for target in ("/v1/catalog/service/web?stale", "/v1/catalog/service/web"):
        connection.send("GET", target)
        assert (await connection.receive()).status == 200
    world.hub.peek = full  # type: ignore[assignment, method-assign]
    for target in ("/v1/catalog/service/web?stale", "/v1/catalog/service/web", "/v1/catalog/service/db?stale"):
        connection.send("GET", target)
        assert (await connection.receive()).status == 429
