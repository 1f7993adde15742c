"""The agent's endpoints: what they pass on, and what they say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from rostra.clients.agent import LocalCheck
from rostra.gateway.ask import Ask
from rostra.gateway.local import LocalEndpoints
from rostra.gateway.reads import Places
from rostra.gateway.settings import GatewaySettings
from rostra.model.catalog import Check, CheckDefinition, HealthStatus, Service, ServiceAddress
from rostra.model.coordinates import Coordinate
from rostra.model.members import Member, MemberStatus

from .conftest import World, until


async def test_self_describes_the_agent_in_consuls_shape(world: World) -> None:
    answer = (await world.get("/v1/agent/self")).json
    assert isinstance(answer, dict)
    assert list(answer) == ["Config", "DebugConfig", "Coord", "Member", "Stats", "Meta"]
    assert answer["Config"]["NodeName"] == "n1"
    assert answer["Config"]["Server"] is True
    assert answer["Member"]["Name"] == "n1"
    assert answer["Coord"] == {"Vec": [0.0] * 8, "Error": 1.5, "Adjustment": 0.0, "Height": 1e-05}
    assert answer["Meta"] == {"rack": "7"}


async def test_members_show_roles_in_consuls_words_and_states_as_serfs_numbers(world: World) -> None:
    states = (MemberStatus.ALIVE, MemberStatus.LEAVING, MemberStatus.LEFT, MemberStatus.FAILED)
    world.gossip.pools["lan"] = [
        Member(f"m{number}", "127.0.0.1", 8301, {"role": "rostra-client"}, status, 1) for number, status in enumerate(states)
    ]
    answer = (await world.get("/v1/agent/members")).json
    assert isinstance(answer, list)
    assert [member["Status"] for member in answer] == [1, 2, 3, 4]
    assert {member["Tags"]["role"] for member in answer} == {"node"}
    assert list(answer[0])[-6:] == ["ProtocolMin", "ProtocolMax", "ProtocolCur", "DelegateMin", "DelegateMax", "DelegateCur"]
    wan = (await world.get("/v1/agent/members?wan=false")).json
    assert isinstance(wan, list)
    assert (wan[0]["Name"], wan[0]["Tags"]["role"]) == ("n1.dc1", "consul")


async def test_join_leave_force_leave_and_reload_are_passed_on(world: World) -> None:
    for target in ("/v1/agent/join/10.0.0.1:8301", "/v1/agent/join/10.0.0.2?wan=1", "/v1/agent/force-leave/n1?prune", "/v1/agent/reload"):
        answer = await world.put(target)
        assert (answer.status, answer.body) == (200, b"")
    await world.put("/v1/agent/leave")
    assert world.gossip.joined == [(["10.0.0.1:8301"], "lan"), (["10.0.0.2"], "wan")]
    assert world.gossip.forced == [("n1", True, "lan")]
    assert world.agent.calls == [("reload",), ("leave",)]


async def test_force_leave_of_a_stranger_has_consuls_text(world: World) -> None:
    answer = await world.put("/v1/agent/force-leave/nope")
    assert (answer.status, answer.text) == (500, "agent: No node found with name 'nope'")


async def test_a_service_is_registered_with_its_checks_in_either_spelling(world: World) -> None:
    body = """{"name":"web","id":"web1","tags":["a"],"port":80,"enable_tag_override":true,"token":"t",
      "tagged_addresses":{"lan":{"address":"1.1.1.1","port":3}},
      "Checks":[{"TTL":"10s"},{"HTTP":"http://x","Interval":"5s","DeregisterCriticalServiceAfter":"90m","Status":"passing"}]}"""
    assert (await world.put("/v1/agent/service/register?replace-existing-checks", body)).body == b""
    _, service, checks, replaced, token = world.agent.calls[0]
    assert service == Service(
        "web1", "web", tags=("a",), port=80, enable_tag_override=True, tagged_addresses={"lan": ServiceAddress("1.1.1.1", 3)}
    )
    assert checks == (
        LocalCheck(definition=CheckDefinition(ttl_s=10.0)),
        LocalCheck(
            status=HealthStatus.PASSING,
            definition=CheckDefinition(http="http://x", interval_s=5.0, deregister_critical_service_after_s=5400.0),
        ),
    )
    assert (replaced, token) == (True, "t")


@pytest.mark.parametrize(
    ("query", "replaces"),
    [("", False), ("?replace-existing-checks", True), ("?replace-existing-checks=true", True), ("?replace-existing-checks=false", False),
     ("?replace-existing-checks=no", False)],
)  # fmt: skip
async def test_checks_are_replaced_only_where_that_is_wanted(world: World, query: str, replaces: bool) -> None:
    assert (await world.put(f"/v1/agent/service/register{query}", '{"Name":"web"}')).status == 200
    assert world.agent.calls[-1][3] is replaces


async def test_an_empty_check_is_none(world: World) -> None:
    assert (await world.put("/v1/agent/service/register", '{"Name":"web","Check":{}}')).status == 200
    assert world.agent.calls[-1][2] == ()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "Request decode failed: EOF"),
        ("{}", "Missing service name"),
        ('{"Name":"web","Foo":1}', 'Request decode failed: json: unknown field "Foo"'),
        ('{"Name":"web","Check":{"TTL":"abc"}}', 'Request decode failed: time: invalid duration "abc"'),
        ('{"Name":"web","Check":{"Status":"odd"}}', "Status for checks must 'passing', 'warning', 'critical'"),
        ('{"Name":"web","Weights":{"Passing":0}}', "Invalid Weights: Passing must be greater than 0"),
        ('{"Name":"web","Weights":{"Passing":65536}}', "Invalid Weights: DNS Weight must be between 0 and 65535"),
        ('{"Name":"web","Weights":{"Passing":1,"Warning":-1}}', "Invalid Weights: Warning must be greater or equal than 0"),
        ('{"Name":"web","Meta":{"":"x"}}', "Invalid Service Meta: Couldn't load metadata pair ('', 'x'): Key cannot be blank"),
        ('{"Name":"web","Check":{"TTL":"-1s"}}', 'Request decode failed: time: duration "-1s" is negative or longer than ten years'),
    ],
)
async def test_bad_services_are_400(world: World, body: str, text: str) -> None:
    answer = await world.put("/v1/agent/service/register", body)
    assert (answer.status, answer.text) == (400, text)
    assert world.agent.services == {}


async def test_services_and_checks_are_shown_by_id(world: World) -> None:
    await world.put("/v1/agent/service/register", '{"Name":"web"}')
    await world.put("/v1/agent/check/register", '{"Name":"c","TTL":"15s"}')
    assert (await world.get("/v1/agent/services")).text == (
        '{"web":{"ID":"web","Service":"web","Tags":[],"Meta":{},"Port":0,"Address":"",'
        '"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false}}'
    )
    assert (await world.get("/v1/agent/checks")).text == (
        '{"c":{"Node":"n1","CheckID":"c","Name":"c","Status":"critical","Notes":"","Output":"","ServiceID":"","ServiceName":"",'
        '"ServiceTags":[],"Type":"","Definition":{},"CreateIndex":0,"ModifyIndex":0}}'
    )


async def test_thousands_of_services_are_shown_a_slice_at_a_time(world: World) -> None:
    world.agent.services = {f"s{number:05}": Service(f"s{number:05}", "<web>", tags=("a",)) for number in range(5000)}
    turns = 0

    showing = asyncio.ensure_future(LocalEndpoints(world.agent, Places(1), GatewaySettings()).services(Ask()))
    while not showing.done():
        turns += 1
        await asyncio.sleep(0)
    assert [*msgspec.json.decode(showing.result().body)] == [*world.agent.services]
    assert turns > 3


async def test_removing_what_is_not_there_is_done_already(world: World) -> None:
    assert (await world.put("/v1/agent/service/deregister/nope")).status == 200
    assert (await world.put("/v1/agent/check/deregister/nope")).status == 200


async def test_ttl_heartbeats_carry_state_and_note(world: World) -> None:
    world.agent.ttl.add("c/1")
    await world.put("/v1/agent/check/pass/c%2F1?note=fine")
    await world.put("/v1/agent/check/warn/c/1")
    await world.put("/v1/agent/check/fail/c/1")
    await world.put("/v1/agent/check/update/c/1", '{"Status":"warning","Output":"o"}')
    assert [call[2:] for call in world.agent.calls] == [
        (HealthStatus.PASSING, "fine"),
        (HealthStatus.WARNING, ""),
        (HealthStatus.CRITICAL, ""),
        (HealthStatus.WARNING, "o"),
    ]
    assert (await world.put("/v1/agent/check/update/c/1", '{"Status":"odd"}')).text == "Invalid check status: 'odd'"
    unknown = await world.put("/v1/agent/check/pass/nope")
    assert unknown.text == 'CheckID "nope" does not have associated TTL'


async def test_maintenance_needs_to_know_whether_on_or_off(world: World) -> None:
    assert (await world.put("/v1/agent/maintenance")).text == "Missing value for enable"
    assert (await world.put("/v1/agent/maintenance?enable=foo")).text == 'Invalid value for enable: "foo"'
    assert (await world.put("/v1/agent/maintenance?enable=true&reason=abc")).status == 200
    missing = await world.put("/v1/agent/service/maintenance/nope?enable=true")
    assert (missing.status, missing.text) == (404, 'No service registered with ID "nope"')
    assert world.agent.calls == [("set_maintenance", True, "abc", "")]


async def test_metrics_come_as_json_in_consuls_shape_and_for_prometheus(world: World) -> None:
    await world.get("/v1/catalog/nodes")
    answer = msgspec.json.decode((await world.get("/v1/agent/metrics")).body)
    assert list(answer) == ["Timestamp", "Gauges", "Points", "Counters", "Samples"]
    assert any(gauge["Name"] == "rostra.gateway.connections" for gauge in answer["Gauges"])
    prometheus = await world.get("/v1/agent/metrics?format=prometheus")
    assert prometheus.headers["content-type"].startswith("text/plain")
    assert "rostra_gateway_connections" in prometheus.text


async def test_a_service_of_this_node_is_shown_with_a_hash_that_blocks_until_it_is_another(world: World) -> None:
    await world.put("/v1/agent/service/register", '{"Name":"web","Port":1}')
    first = await world.get("/v1/agent/service/web")
    known = first.headers["x-consul-contenthash"]
    assert first.json["ContentHash"] == known  # type: ignore[index]
    assert (await world.get("/v1/agent/service/web?hash=other&wait=10m")).status == 200
    assert (await world.get(f"/v1/agent/service/web?hash={known}&wait=20ms")).headers["x-consul-contenthash"] == known
    await world.put("/v1/agent/service/register", '{"Name":"web","Port":2}')
    assert (await world.get(f"/v1/agent/service/web?hash={known}&wait=10m")).headers["x-consul-contenthash"] != known
    missing = await world.get("/v1/agent/service/nope")
    assert (missing.status, missing.text) == (404, "unknown service ID: nope")


async def test_queries_that_block_by_hash_wake_when_the_service_changes_and_take_a_place_each(world: World) -> None:
    await world.put("/v1/agent/service/register", '{"Name":"web","Port":1}')
    await world.put("/v1/agent/service/register", '{"Name":"other","Port":1}')
    known = (await world.get("/v1/agent/service/web")).headers["x-consul-contenthash"]
    waiting = []
    for _ in range(20):
        connection = await world.connect()
        connection.send("GET", f"/v1/agent/service/web?hash={known}&wait=10m")
        waiting.append(connection)
    await until(lambda: world.blocked == len(waiting))
    await world.put("/v1/agent/service/register", '{"Name":"other","Port":2}')
    await world.put("/v1/agent/service/register", '{"Name":"web","Port":2}')
    answers = [await asyncio.wait_for(connection.receive(), 60) for connection in waiting]
    assert {(answer.status, answer.json["Port"]) for answer in answers} == {(200, 2)}  # type: ignore[index]
    assert world.blocked == 0
    connection = await world.connect()
    connection.send("GET", f"/v1/agent/service/web?hash={answers[0].headers['x-consul-contenthash']}")
    await until(lambda: world.blocked == 1)
    await world.put("/v1/agent/service/deregister/web")
    assert (await asyncio.wait_for(connection.receive(), 60)).status == 404


@pytest.mark.parametrize(
    ("checks", "code", "word"),
    [
        ({"c": HealthStatus.PASSING}, 200, "passing"),
        ({"c": HealthStatus.WARNING}, 429, "warning"),
        ({"c": HealthStatus.WARNING, "d": HealthStatus.CRITICAL}, 503, "critical"),
        ({"_service_maintenance:web": HealthStatus.CRITICAL}, 503, "maintenance"),
        ({"_node_maintenance": HealthStatus.CRITICAL}, 503, "maintenance"),
    ],
)
async def test_the_health_of_a_service_is_told_by_the_status_code(
    world: World, checks: dict[str, HealthStatus], code: int, word: str
) -> None:
    world.agent.services["web"] = Service("web", "web")
    world.agent.services["db"] = Service("db", "db")
    for name, status in checks.items():
        world.agent.checks[name] = Check("n1", name, name, status, service_id="" if name == "_node_maintenance" else "web")
    for target in ("/v1/agent/health/service/id/web", "/v1/agent/health/service/name/web"):
        answer = await world.get(target)
        assert (answer.status, answer.headers["x-consul-reason"]) == (code, word)
        text = await world.get(f"{target}?format=text")
        assert (text.status, text.text) == (code, word)
    assert (await world.get("/v1/agent/health/service/id/nope")).status == 404
    assert (await world.get("/v1/agent/health/service/name/nope")).text == "[]"


async def test_filters_narrow_members_services_and_checks(world: World) -> None:
    world.agent.services |= {"web": Service("web", "web", port=1), "db": Service("db", "db", port=2)}
    assert list(msgspec.json.decode((await world.get("/v1/agent/services?filter=Port==2")).body)) == ["db"]
    assert (await world.get("/v1/agent/members?filter=Name==n2")).text == "[]"
    for wanted, unwanted in (("Tags.role==consul", "Tags.role==rostra"), ("Status==1", "Status==4"), ("ProtocolCur==2", "Tags+is+empty")):
        assert '"n1"' in (await world.get(f"/v1/agent/members?filter={wanted}")).text
        assert (await world.get(f"/v1/agent/members?filter={unwanted}")).text == "[]"
    for always, never in (("Connect.Native==false", "Connect.Native==true"), ("Proxy.Upstreams+is+empty", "Proxy.Expose.Checks==true")):
        assert list(msgspec.json.decode((await world.get(f"/v1/agent/services?filter={always}")).body)) == ["db", "web"]
        assert (await world.get(f"/v1/agent/services?filter={never}")).text == "{}"
    refused = await world.get("/v1/agent/checks?filter=Port==2")
    assert (refused.status, refused.text) == (400, 'Failed to create boolean expression evaluator: 1:1 (0): Selector "Port" is not valid')


async def test_the_log_is_streamed_from_the_level_asked(world: World) -> None:
    connection = await world.connect()
    connection.send("GET", "/v1/agent/monitor?loglevel=DEBUG")
    head = await connection.reader.readuntil(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert await connection.reader.readuntil(b"0\r\n\r\n") == b"15\r\n[debug] agent: hello\n\r\n0\r\n\r\n"
    refused = await world.get("/v1/agent/monitor?loglevel=foo")
    assert (refused.status, refused.text) == (400, "Bad request: Unknown log level: foo")


async def test_a_client_that_leaves_a_stream_ends_it(world: World) -> None:
    ended = asyncio.Event()

    async def endless(_level: str = "info", *, json: bool = False) -> AsyncIterator[str]:
        try:
            while True:
                yield "line"
                await asyncio.sleep(0.001)
        finally:
            ended.set()

    setattr(world.agent, "stream_logs", endless)
    connection = await world.connect()
    connection.send("GET", "/v1/agent/monitor")
    await connection.reader.readuntil(b"line")
    connection.writer.transport.abort()
    await asyncio.wait_for(ended.wait(), 60)


async def test_the_version_is_told(world: World) -> None:
    assert (await world.get("/v1/agent/version")).text == '{"SHA":"","BuildDate":"0001-01-01T00:00:00Z","HumanVersion":"0.1.0","FIPS":""}'


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/coordinate/nodes", "/v1/coordinate/node/n1", "/v1/catalog/datacenters", "/v1/status/peers"),
        *("/v1/operator/raft/configuration", "/v1/operator/autopilot/configuration", "/v1/operator/autopilot/health"),
    ],
)
async def test_reads_that_do_not_block_refuse_the_parameters_that_others_refuse(world: World, path: str) -> None:
    for query, text in (
        ("stale&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."),
        ("index=abc", "Invalid index"),
        ("wait=1", "Invalid wait time"),
    ):
        answer = await world.get(f"{path}?{query}")
        assert (answer.status, answer.text) == (400, text)


async def test_datacenters_come_from_the_cache_if_one_likes(world: World) -> None:
    answer = await world.get("/v1/catalog/datacenters?cached")
    assert (answer.headers["x-cache"], answer.headers["age"]) == ("HIT", "0")


async def test_coordinates_are_those_that_gossip_knows(world: World) -> None:
    world.gossip.coordinates = {"n2.dc1": Coordinate(), "n1.dc1": Coordinate(height=0.5)}
    nodes = (await world.get("/v1/coordinate/nodes")).json
    assert isinstance(nodes, list)
    assert [node["Node"] for node in nodes] == ["n1.dc1", "n2.dc1"]
    assert nodes[0]["Coord"]["Height"] == 0.5
    assert list(nodes[0]) == ["Node", "Segment", "Coord"]
    areas = (await world.get("/v1/coordinate/datacenters")).json
    assert isinstance(areas, list)
    assert (areas[0]["Datacenter"], areas[0]["AreaID"], areas[0]["Coordinates"][1]["Node"]) == ("dc1", "wan", "n2")
    assert (await world.get("/v1/coordinate/node/n1.dc1")).status == 200
    assert (await world.get("/v1/coordinate/node/N1.dc1")).json == [nodes[0]]
    assert (await world.get("/v1/coordinate/node/nope")).status == 404
    assert (await world.get("/v1/coordinate/nodes?segment=none")).text == "[]"
    assert (await world.get("/v1/coordinate/nodes?dc=dc2")).body.startswith(b'[{"Node":"far"')
    assert (await world.get("/v1/coordinate/nodes?dc=dc9")).status == 500
