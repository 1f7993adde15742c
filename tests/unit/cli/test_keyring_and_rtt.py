"""``rostra keyring`` and ``rostra rtt``: what they ask an agent, and what they show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rostra.cli import exits

from .conftest import FakeAgent, Rostra

RINGS = [
    {"WAN": True, "Datacenter": "dc1", "Segment": "", "Keys": {"b=": 2, "a=": 1}, "PrimaryKeys": {"a=": 2}, "NumNodes": 2},
    {"WAN": False, "Datacenter": "dc1", "Segment": "", "Keys": {"a=": 3}, "PrimaryKeys": {"a=": 3}, "NumNodes": 3},
]


def coordinate(x: float, height: float = 0.001, adjustment: float = 0.0) -> dict[str, Any]:
    return {"Vec": [x, *[0.0] * 7], "Error": 1.0, "Adjustment": adjustment, "Height": height}


def test_keys_are_listed_by_pool_with_how_many_members_have_them(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers["GET /v1/operator/keyring"] = RINGS
    assert rostra("keyring", "-list").out == (
        "==> Gathering installed encryption keys...\n\nWAN:\n  a= [1/2]\n  b= [2/2]\n\ndc1 (LAN):\n  a= [3/3]\n"
    )
    primary = rostra("keyring", "-list-primary", "-local-only", "-relay-factor=2")
    assert primary.out.startswith("==> Gathering installed primary encryption keys...\n\nWAN:\n  a= [2/2]\n")
    assert [request.query for request in agent.requests] == [{}, {"local-only": ["true"], "relay-factor": ["2"]}]


@pytest.mark.parametrize(
    ("flag", "method", "said"),
    [
        ("-install=a=", "POST", "==> Installing new gossip encryption key..."),
        ("-use=a=", "PUT", "==> Changing primary gossip encryption key..."),
        ("-remove=a=", "DELETE", "==> Removing gossip encryption key..."),
    ],
)
def test_a_change_is_asked_with_its_method(rostra: Rostra, agent: FakeAgent, flag: str, method: str, said: str) -> None:
    agent.answers[f"{method} /v1/operator/keyring"] = b""
    outcome = rostra("keyring", flag, "-relay-factor=3")
    assert (outcome.code, outcome.out) == (exits.OK, said + "\n")
    (request,) = agent.requests
    assert (request.method, request.query, json.loads(request.body)) == (method, {"relay-factor": ["3"]}, {"Key": "a="})


def test_a_member_that_did_not_follow_fails_the_command(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers["POST /v1/operator/keyring"] = (500, "2 errors occurred:\n\t* WAN error: 1/2 nodes reported failure\n\t* n2.dc1: no\n\n")
    outcome = rostra("keyring", "-install", "a=")
    assert outcome.code == exits.FAILED
    assert "WAN error: 1/2 nodes reported failure * n2.dc1: no" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "One action is needed"),
        (("-list", "-use=a="), "Only a single action is allowed"),
        (("-list", "-relay-factor=6"), "Relay factor must be in range: [0, 5]"),
        (("-use=a=", "-local-only"), "-local-only is for -list"),
    ],
)
def test_a_keyring_command_that_makes_no_sense_asks_nobody(rostra: Rostra, agent: FakeAgent, arguments: tuple[str, ...], text: str) -> None:
    outcome = rostra("keyring", *arguments)
    assert outcome.code == exits.FAILED
    assert text in outcome.err
    assert not agent.requests


def test_rtt_estimates_between_two_nodes_or_from_the_agents_own(rostra: Rostra, agent: FakeAgent) -> None:
    nodes = {"n1": coordinate(0), "n2": coordinate(0.1, adjustment=0.02), "n3": coordinate(0, adjustment=-1)}
    agent.answers["GET /v1/coordinate/nodes"] = [{"Node": name, "Segment": "", "Coord": each} for name, each in nodes.items()]
    agent.answers["GET /v1/agent/self"] = {"Config": {"NodeName": "n1", "Datacenter": "dc1"}}
    assert rostra("rtt", "n1", "n2").out == "Estimated n1 <-> n2 rtt: 122.000 ms (using LAN coordinates)\n"
    assert rostra("rtt", "n2").out == "Estimated n2 <-> n1 rtt: 122.000 ms (using LAN coordinates)\n"
    assert rostra("rtt", "n1", "n3").out == "Estimated n1 <-> n3 rtt: 2.000 ms (using LAN coordinates)\n", "a negative sum counts without"
    unknown = rostra("rtt", "n1", "x")
    assert (unknown.code, unknown.err) == (exits.FAILED, 'Could not find a coordinate for node "x"\n')


def test_rtt_across_datacenters_wants_their_names(rostra: Rostra, agent: FakeAgent) -> None:
    agent.answers["GET /v1/coordinate/datacenters"] = [
        {"Datacenter": each, "AreaID": "wan", "Coordinates": [{"Node": "s", "Segment": "", "Coord": coordinate(x)}]}
        for each, x in (("dc1", 0), ("dc2", 0.05))
    ]
    agent.answers["GET /v1/agent/self"] = {"Config": {"NodeName": "s", "Datacenter": "dc1"}}
    assert rostra("rtt", "-wan", "s.dc2").out == "Estimated s.dc2 <-> s.dc1 rtt: 52.000 ms (using WAN coordinates)\n"
    assert "must be specified as <node name>.<datacenter>" in rostra("rtt", "-wan", "s").err
    for arguments in ((), ("a", "b", "c")):
        assert "One or two node names" in rostra("rtt", *arguments).err
