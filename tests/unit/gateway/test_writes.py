"""Writes of the catalog: what is taken, what is refused and by which name, and that a refusal changes nothing."""

from __future__ import annotations

import pytest

from rostra.errors import Busy, UnknownOutcome
from rostra.model.catalog import CheckDefinition, Deregistration, HealthStatus, Registration, ServiceAddress, Weights

from .conftest import World

REGISTER = "/v1/catalog/register"
DEREGISTER = "/v1/catalog/deregister"


async def test_a_registration_with_everything_becomes_one_command(world: World) -> None:
    answer = await world.put(
        REGISTER,
        """{"ID":"5a1c0d52-91d4-4c0f-9d0e-0d9b1a4a2f11","Node":"n1","Address":"10.0.0.1","Datacenter":"dc1",
        "TaggedAddresses":{"lan":"10.0.0.1"},"NodeMeta":{"rack":"7"},"SkipNodeUpdate":false,
        "Service":{"ID":"web1","Service":"web","Tags":["a"],"Address":"10.0.0.2","Port":80,"Meta":{"k":"v"},
          "TaggedAddresses":{"wan":{"Address":"1.2.3.4","Port":8080}},"Weights":{"Passing":3,"Warning":2},"EnableTagOverride":true},
        "Check":{"Name":"disk","Status":"passing","Output":"ok","Notes":"n"},
        "Checks":[{"CheckID":"w","Name":"web","ServiceID":"web1","Status":"warning",
          "Definition":{"HTTP":"http://x","Interval":"10s","Timeout":"1.5s","Header":{"A":["b"]},"Unknown":1}}]}""",
    )
    assert (answer.status, answer.text) == (200, "true")
    command = world.hub.commands[0]
    assert isinstance(command, Registration)
    assert (command.node.name, command.node.meta, command.node.tagged_addresses) == ("n1", {"rack": "7"}, {"lan": "10.0.0.1"})
    assert command.service is not None
    assert command.service.tagged_addresses == {"wan": ServiceAddress("1.2.3.4", 8080)}
    assert (command.service.weights, command.service.enable_tag_override) == (Weights(3, 2), True)
    disk, web = command.checks
    assert (disk.check_id, disk.status, disk.output) == ("disk", HealthStatus.PASSING, "ok")
    assert web.definition == CheckDefinition(http="http://x", interval_s=10.0, timeout_s=1.5, header={"A": ("b",)})


async def test_the_case_of_names_does_not_matter_and_null_is_the_same_as_nothing(world: World) -> None:
    answer = await world.put(REGISTER, '{"node":"n1","ADDRESS":"1.1.1.1","NodeMeta":null,"Service":{"service":"web","TAGS":null}}')
    assert answer.status == 200
    assert (await world.get("/v1/catalog/services")).text == '{"web":[]}'


async def test_null_among_others_is_an_empty_one_of_its_kind(world: World) -> None:
    service = '{"Service":"web","Tags":[null,"x"],"Meta":{"k":null},"TaggedAddresses":{"lan":null}}'
    body = '{"Node":"n1","Address":"1.1.1.1","NodeMeta":{"a":null},"Service":' + service + ',"Checks":[{"Name":"c"}]}'
    assert (await world.put(REGISTER, body)).status == 200
    command = world.hub.commands[0]
    assert isinstance(command, Registration)
    assert command.service is not None
    assert (command.node.meta, command.service.tags, command.service.meta) == ({"a": ""}, ("", "x"), {"k": ""})
    assert command.service.tagged_addresses == {"lan": ServiceAddress("", 0)}
    assert (await world.put(REGISTER, '{"Node":"n1","Address":"1.1.1.1","Checks":[null]}')).status == 400


async def test_a_definition_keeps_what_consul_keeps_and_shows_a_ttl_in_nanoseconds(world: World) -> None:
    definition = '{"ScriptArgs":["a","b"],"Shell":"sh","DockerContainerID":"d","OutputMaxSize":9,"TTL":"10s"}'
    await world.put(REGISTER, '{"Node":"n1","Address":"1.1.1.1","Check":{"Name":"x","Definition":' + definition + "}}")
    shown = '"Definition":{"OutputMaxSize":9,"ScriptArgs":["a","b"],"DockerContainerID":"d","Shell":"sh","TTL":10000000000}'
    assert shown in (await world.get("/v1/health/node/n1")).text


@pytest.mark.parametrize(("given", "hint"), [("15", ": a number counts nanoseconds"), ('"10us"', "")])
async def test_a_duration_that_would_be_lost_is_refused(world: World, given: str, hint: str) -> None:
    body = '{"Node":"n1","Address":"1.1.1.1","Check":{"Name":"x","Definition":{"Interval":' + given + "}}}"
    answer = await world.put(REGISTER, body)
    text = f"""Request decode failed: time: duration "{given.strip('"')}" is shorter than a millisecond{hint}"""
    assert (answer.status, answer.text) == (400, text)


async def test_a_check_without_a_state_is_critical(world: World) -> None:
    await world.put(REGISTER, '{"Node":"n1","Address":"1.1.1.1","Check":{"Name":"x"}}')
    assert '"Status":"critical"' in (await world.get("/v1/health/node/n1")).text


@pytest.mark.parametrize("path", [REGISTER, DEREGISTER])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "Request decode failed: EOF"),
        ("{", "Request decode failed: unexpected EOF"),
        ('{"Foo":1}', 'Request decode failed: json: unknown field "Foo"'),
        ('{"Node":1}', "Request decode failed: Expected `str`, got `int` at `Node`"),
        ("[]", "Request decode failed: Expected `object`, got `array`"),
        ('"x"', "Request decode failed: Expected `object`, got `str`"),
        ("{}", "Must provide node"),
        ("null", "Must provide node"),
        ("[" * 100_000, "Request decode failed: nested too deeply"),
        ('{"Node":"n1"} x', None),
        (b'{"Node":"\xff"}', None),
        ('{"Node":"\\ud800"}', None),
    ],
)
async def test_bad_bodies_are_400_and_change_nothing(world: World, path: str, body: str | bytes, text: str | None) -> None:
    answer = await world.put(path, body)
    assert answer.status == 400
    assert text is None or answer.text == text
    assert world.hub.commands == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('"Service":{"Port":"x"}', "Request decode failed: Expected `int`, got `str` at `Service.Port`"),
        ('"Service":{"Service":"s","Port":-1}', "Request decode failed: Expected `int` >= 0 at `Service.Port`"),
        ('"Service":{"Service":"s","Port":65536}', "Request decode failed: Expected `int` <= 65535 at `Service.Port`"),
        ('"Service":{"Foo":1}', 'Request decode failed: json: unknown field "Foo"'),
        ('"Service":{"ID":"x"}', "Must provide service name with ID"),
        ('"Checks":[{"Name":"c","Status":"odd"}]', "Invalid check status: 'odd'"),
        ('"Check":{"Name":"c","Definition":{"Interval":"5x"}}', 'Request decode failed: time: invalid duration "5x"'),
        ('"Check":{"Name":"c","Node":"other"}', 'check node "other" does not match node "n1"'),
        ('"ID":"bad"', "Bad node ID: uuid string is wrong length"),
    ],
)
async def test_what_makes_no_sense_is_400_and_names_the_field(world: World, body: str, text: str) -> None:
    answer = await world.put(REGISTER, f'{{"Node":"n1","Address":"1.1.1.1",{body}}}')
    assert (answer.status, answer.text) == (400, text)
    assert (await world.get("/v1/catalog/nodes")).text == "[]"


async def test_deregistration_names_a_check_a_service_or_a_node_and_what_is_gone_is_gone_already(world: World) -> None:
    await world.put(REGISTER, '{"Node":"n1","Address":"1.1.1.1","Service":{"Service":"web"},"Check":{"Name":"c"}}')
    for body in ('{"Node":"n1","CheckID":"c"}', '{"Node":"n1","ServiceID":"web"}', '{"Node":"n1"}', '{"Node":"n1"}'):
        assert (await world.put(DEREGISTER, body)).text == "true"
    assert world.hub.commands[-1] == Deregistration("n1")
    assert (await world.get("/v1/catalog/nodes")).text == "[]"


async def test_another_datacenter_in_the_body_is_500(world: World) -> None:
    answer = await world.put(REGISTER, '{"Node":"n1","Address":"1.1.1.1","Datacenter":"elsewhere"}')
    assert (answer.status, answer.text) == (500, "No path to datacenter")


async def test_failures_of_writes_are_told_as_what_they_are(world: World) -> None:
    body = '{"Node":"n1","Address":"1.1.1.1"}'
    world.hub.leader = False
    assert (await world.put(REGISTER, body)).text == "No cluster leader"
    world.hub.failure = UnknownOutcome("the write may or may not have happened")
    unknown = await world.put(REGISTER, body)
    assert (unknown.status, unknown.text) == (500, "the write may or may not have happened")
    world.hub.failure = Busy("too many writes", retry_after_s=2.0)
    busy = await world.put(REGISTER, body)
    assert (busy.status, busy.headers["retry-after"]) == (429, "2")
