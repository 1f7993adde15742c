"""``/v1/operator/autopilot``: shapes, changes and refusals, as Consul documents them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import World

PATH = "/v1/operator/autopilot/configuration"


async def test_the_configuration_is_shown_with_all_of_consul_s_keys(world: World) -> None:
    assert (await world.get(PATH)).json == {
        "CleanupDeadServers": True,
        "LastContactThreshold": "200ms",
        "MaxTrailingLogs": 250,
        "MinQuorum": 0,
        "ServerStabilizationTime": "10s",
        "RedundancyZoneTag": "",
        "DisableUpgradeMigration": False,
        "UpgradeVersionTag": "",
        "CreateIndex": 3,
        "ModifyIndex": 3,
    }


async def test_it_is_replaced_as_a_whole(world: World) -> None:
    answer = await world.put(PATH, json.dumps({"CleanupDeadServers": False, "LastContactThreshold": "1s", "MinQuorum": 3}))
    assert (answer.status, answer.text) == (200, "true")
    found = world.autopilot.configuration
    assert (found.cleanup_dead_servers, found.last_contact_threshold_s, found.min_quorum, found.max_trailing_logs) == (False, 1.0, 3, 0)


async def test_with_cas_it_is_changed_only_where_it_is_the_one_that_was_read(world: World) -> None:
    assert (await world.put(f"{PATH}?cas=2", json.dumps({"MinQuorum": 3}))).text == "false"
    assert world.autopilot.configuration.min_quorum == 0
    assert (await world.put(f"{PATH}?cas=3", json.dumps({"MinQuorum": 3}))).text == "true"
    assert world.autopilot.configuration.min_quorum == 3


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"MinQuorum": -1}, "MinQuorum"),
        ({"MaxTrailingLogs": -1}, "MaxTrailingLogs"),
        ({"LastContactThreshold": "soon"}, "LastContactThreshold"),
        ({"ServerStabilizationTime": "-1s"}, "ServerStabilizationTime"),
        ({"RedundancyZoneTag": "az"}, "RedundancyZoneTag"),
        ({"Quorum": 1}, "Quorum"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name_and_changes_nothing(world: World, body: dict[str, object], named: str) -> None:
    answer = await world.put(PATH, json.dumps(body))
    assert answer.status == 400
    assert named in answer.text
    assert world.autopilot.configuration.modify_index == 3


async def test_health_is_429_when_a_server_is_not_well(world: World) -> None:
    answer = await world.get("/v1/operator/autopilot/health")
    assert answer.status == 200
    found: Any = answer.json
    (server,) = found["Servers"]
    assert server == {
        "ID": "11111111-2222-3333-4444-555555555555", "Name": "s1", "Address": "127.0.0.1:8300", "SerfStatus": "alive", "Version": "0.1.0",
        "Leader": True, "LastContact": "0s", "LastTerm": 2, "LastIndex": 46, "Healthy": True, "Voter": True,
        "StableSince": "2017-03-06T21:52:00Z",
    }  # fmt: skip
    world.autopilot.healthy, world.autopilot.last_contact_ms = False, None
    answer = await world.get("/v1/operator/autopilot/health")
    found = answer.json
    assert (answer.status, found["Healthy"], found["Servers"][0]["LastContact"]) == (429, False, "never")


async def test_state_has_the_servers_by_id(world: World) -> None:
    state: Any = (await world.get("/v1/operator/autopilot/state")).json
    (server_id,) = state["Servers"]
    assert (state["Leader"], state["Voters"], state["Servers"][server_id]["Status"]) == (server_id, [server_id], "leader")


async def test_another_datacenter_without_a_way_there_is_consul_s_error(world: World) -> None:
    answer = await world.get(f"{PATH}?dc=dc9")
    assert (answer.status, answer.text) == (500, "No path to datacenter")
