"""The description of the API is the table that serves."""

from __future__ import annotations

import re

import msgspec
import pytest

from .conftest import World


async def test_the_description_names_every_route_and_nothing_else(world: World) -> None:
    document = msgspec.json.decode((await world.get("/v1/openapi.json")).body)
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in world.role.table.routes}
    identifiers = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(identifiers)) == len(identifiers)


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
