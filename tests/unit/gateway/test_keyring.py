"""``/v1/operator/keyring``: both pools in lock-step, and Consul's texts."""

from __future__ import annotations

import base64

import pytest

from .conftest import World

PATH = "/v1/operator/keyring"
KEY = bytes(range(32))
BODY = f'{{"Key":"{base64.b64encode(KEY).decode()}"}}'
FIRST = base64.b64encode(bytes(16)).decode()


async def test_keys_are_listed_for_the_wan_pool_and_then_the_lan_pool(world: World) -> None:
    shared = {"Datacenter": "dc1", "Segment": "", "Keys": {FIRST: 1}, "PrimaryKeys": {FIRST: 1}, "NumNodes": 1}
    assert (await world.get(PATH)).json == [{"WAN": True, **shared}, {"WAN": False, **shared}]
    assert (await world.get(f"{PATH}?local-only=true")).json == [{"WAN": False, **shared}]


@pytest.mark.parametrize(("method", "action"), [("POST", "install"), ("PUT", "use"), ("DELETE", "remove")])
async def test_a_change_goes_to_both_pools(world: World, method: str, action: str) -> None:
    answer = await world.ask(method, f"{PATH}?relay-factor=3", BODY)
    assert (answer.status, answer.body) == (200, b"")
    assert world.gossip.key_calls == [(action, KEY, "wan", 3), (action, KEY, "lan", 3)]


async def test_what_went_wrong_where_is_one_text(world: World) -> None:
    world.gossip.key_errors = {"n2": "no room", "n3": "it did not answer in time"}
    answer = await world.ask("POST", PATH, BODY)
    lines = ["2/2 nodes reported failure", "n2: no room", "n3: it did not answer in time"]
    listed = "".join(f"\t* {pool} error: {lines[0]}\n\t* {lines[1]}\n\t* {lines[2]}\n" for pool in ("WAN", "dc1 (LAN)"))
    assert (answer.status, answer.text) == (500, f"6 errors occurred:\n{listed}\n")


async def test_a_pool_that_is_not_encrypted_says_so(world: World) -> None:
    world.gossip.keys = {}
    answer = await world.get(f"{PATH}?local-only=1")
    assert (answer.status, answer.text) == (500, "1 error occurred:\n\t* dc1 (LAN) error: the pool is not encrypted\n\n")


@pytest.mark.parametrize(
    ("method", "query", "body", "text"),
    [
        ("GET", "?relay-factor=6", "", "Bad request: Invalid relay-factor: Relay factor must be in range: [0, 5]"),
        ("GET", "?relay-factor=x", "", 'Bad request: Error parsing relay factor: "x" is not a whole number'),
        ("GET", "?local-only=x", "", 'Bad request: Error parsing local-only: "x" is neither true nor false'),
        ("POST", "?local-only=1", BODY, "Bad request: Invalid use of local-only: local-only can only be set for list requests"),
        ("POST", "", "", "Bad request: Request decode failed: EOF"),
        ("POST", "", '{"Key":"?"}', "Bad request: Key is not base64"),
        ("PUT", "", '{"Key":"abcd"}', "Bad request: Key has 3 bytes: key size must be 16, 24 or 32 bytes"),
        ("DELETE", "", "{}", "Bad request: Key has 0 bytes: key size must be 16, 24 or 32 bytes"),
        ("DELETE", "", '{"key":"","x":1}', 'Bad request: Request decode failed: json: unknown field "x"'),
    ],
)
async def test_bad_input_is_refused_and_changes_nothing(world: World, method: str, query: str, body: str, text: str) -> None:
    answer = await world.ask(method, PATH + query, body)
    assert (answer.status, answer.text) == (400, text)
    assert world.gossip.key_calls == []


async def test_a_client_lists_its_pool_and_sends_changes_to_a_server(world: World) -> None:
    world.gossip.is_server = False
    del world.gossip.pools["wan"]
    listed = (await world.get(PATH)).json
    assert isinstance(listed, list)
    assert [pool["WAN"] for pool in listed] == [False]
    answer = await world.ask("PUT", PATH, BODY)
    assert answer.status == 501
    assert "ask a server" in answer.text
    assert [call[0] for call in world.gossip.key_calls] == ["list"]
