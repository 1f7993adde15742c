"""The description of the API is the table that serves."""

from __future__ import annotations

import itertools
import re

import msgspec
import pytest

from rostra.model.catalog import Check, HealthStatus, Service

from .conftest import World


async def test_the_description_names_every_route_and_nothing_else(world: World) -> None:
    document = msgspec.json.decode((await world.get("/v1/openapi.json")).body)
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in world.role.table.routes}
    identifiers = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(identifiers)) == len(identifiers)


ODD = ["", "?index=abc", "?wait=1", "?filter=%28", "?filter=Name==n1", "?stale&consistent", "?pretty", "?dc=dc9", "?ns=x", "?format=text",
       "?format=prometheus", "?enable=perhaps", "?enable=true&reason=x", "?id=x", "?cas=x", "?relay-factor=x", "?near=_agent&cached",
       "?dns=%", "?loglevel=x", "?passing=x", "?hash=x&wait=1ms", "?segment=x", "?x=%zz"]  # fmt: skip
UNASKED = {"/v1/agent/leave", "/v1/agent/monitor"}


@pytest.mark.parametrize("leader", [True, False])
async def test_every_answer_is_one_that_is_described(world: World, leader: bool) -> None:
    """Its status, and its media type."""
    document = msgspec.json.decode((await world.get("/v1/openapi.json")).body)
    world.agent.services["sick"] = Service("sick", "sick")
    world.agent.checks["c"] = Check("n1", "c", "c", HealthStatus.CRITICAL, service_id="sick")
    world.hub.leader = leader
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            bodies = (
                [b"", b"{", b"{}", b'{"Node":"n1","Address":"1.1.1.1","Name":"w","Status":"passing"}']
                if "requestBody" in operation
                else [b""]
            )
            for query, body, name in itertools.product(ODD if leader else ODD[:5], bodies, ("none", "sick") if "{" in path else ("",)):
                if path in UNASKED:
                    continue
                target = re.sub(r"\{\w+\}", name, path) + query
                answer = await world.ask(method.upper(), target, body)
                described = operation["responses"].get(str(answer.status))
                assert described is not None, f"{method} {target} {body!r}: {answer.status} {answer.text}"
                kind = answer.headers.get("content-type", "").partition(";")[0]
                assert not answer.body or kind in described["content"], f"{method} {target} {body!r}: {answer.status} {kind}"


async def test_parameters_of_reads_are_described(world: World) -> None:
    document = msgspec.json.decode((await world.get("/v1/openapi.json")).body)

    def parameters(path: str) -> set[str]:
        return {each["name"] for each in document["paths"][path]["get"]["parameters"]}

    assert {"cached", "node-meta", "max_stale", "index", "filter"} <= parameters("/v1/catalog/services")
    assert parameters("/v1/coordinate/nodes") == {"dc", "segment", "pretty"}
    assert parameters("/v1/agent/members") == {"wan", "filter", "pretty"}


async def test_bodies_are_described_with_consuls_names(world: World) -> None:
    document = msgspec.json.decode((await world.get("/v1/openapi.json")).body)
    schema = document["components"]["schemas"]["RegisterBody"]
    assert {"Node", "Address", "ID", "NodeMeta", "Service", "Checks", "SkipNodeUpdate"} <= set(schema["properties"])


async def test_a_page_for_people_links_it(world: World) -> None:
    page = await world.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert 'href="/v1/openapi.json"' in page.text
    assert "/v1/catalog/service/{service}" in page.text


async def test_a_page_for_people_leads_to_what_a_browser_can_ask_for(world: World) -> None:
    page = await world.get("/")
    links = re.findall(r'href="([^"]+)"', page.text)
    assert {"/v1/catalog/nodes", "/v1/agent/members", "/v1/status/leader"} <= set(links)
    assert not {link for link in links if "{" in link} | {"/dns-query", "/v1/agent/leave"} & set(links)
    assert [(await world.get(link)).status for link in ("/v1/catalog/nodes", "/v1/status/leader")] == [200, 200]


# Every method of the agent, catalog, health, coordinate, status and operator tables that a first release must have, and each
# endpoint that a command of ours or of Consul's asks for.
NEEDED = [
    *("GET /v1/catalog/datacenters", "GET /v1/catalog/nodes", "GET /v1/catalog/services", "GET /v1/catalog/service/{service}"),
    *("GET /v1/catalog/node/{node}", "GET /v1/catalog/node-services/{node}", "PUT /v1/catalog/register", "PUT /v1/catalog/deregister"),
    *("GET /v1/health/node/{node}", "GET /v1/health/checks/{service}", "GET /v1/health/service/{service}", "GET /v1/health/state/{state}"),
    *("GET /v1/status/leader", "GET /v1/status/peers"),
    *("GET /v1/agent/self", "GET /v1/agent/members", "PUT /v1/agent/join/{address}", "PUT /v1/agent/leave"),
    *("PUT /v1/agent/force-leave/{node}", "PUT /v1/agent/reload", "PUT /v1/agent/maintenance", "GET /v1/agent/metrics"),
    *("GET /v1/agent/monitor", "GET /v1/agent/services", "GET /v1/agent/service/{service}", "PUT /v1/agent/service/register"),
    *("GET /v1/agent/health/service/id/{service}", "GET /v1/agent/health/service/name/{service}", "GET /v1/agent/checks"),
    *("PUT /v1/agent/service/deregister/{service}", "PUT /v1/agent/service/maintenance/{service}", "PUT /v1/agent/check/register"),
    *("PUT /v1/agent/check/deregister/{check}", "PUT /v1/agent/check/pass/{check}", "PUT /v1/agent/check/warn/{check}"),
    *("PUT /v1/agent/check/fail/{check}", "PUT /v1/agent/check/update/{check}", "GET /v1/agent/version"),
    *("GET /v1/coordinate/datacenters", "GET /v1/coordinate/nodes", "GET /v1/coordinate/node/{node}"),
    *("GET /v1/operator/raft/configuration", "DELETE /v1/operator/raft/peer", "POST /v1/operator/raft/transfer-leader"),
    *(f"{method} /v1/operator/keyring" for method in ("GET", "POST", "PUT", "DELETE")),
    *("GET /v1/operator/autopilot/configuration", "PUT /v1/operator/autopilot/configuration"),
    *("GET /v1/operator/autopilot/health", "GET /v1/operator/autopilot/state", "GET /v1/snapshot", "PUT /v1/snapshot"),
    *("GET /v1/openapi.json", "GET /"),
]


@pytest.mark.parametrize("endpoint", NEEDED)
async def test_what_is_needed_is_served(world: World, endpoint: str) -> None:
    method, _, path = endpoint.partition(" ")
    assert any(route.method == method and route.path == path for route in world.role.table.routes)
