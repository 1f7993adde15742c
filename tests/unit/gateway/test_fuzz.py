"""No input makes the gateway fail: whatever a client sends, the answer is 2xx, 3xx or 4xx, and comes."""

from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from .conftest import World

LEAVES: list[Any] = [None, True, False, 0, -1, 1.5, 10**30, "", "x", "10s", "\u0000", "\U0001f600", "a" * 300, [], {}, "dc1", "passing"]


def random_value(rng: random.Random, names: list[str], depth: int = 0) -> Any:
    """JSON that often uses the names that the API knows."""
    kind = rng.random()
    if depth > 3 or kind < 0.5:
        return rng.choice(LEAVES)
    if kind < 0.65:
        return [random_value(rng, names, depth + 1) for _ in range(rng.randrange(3))]
    return {rng.choice(names): random_value(rng, names, depth + 1) for _ in range(rng.randrange(5))}


def known_names(document: dict[str, Any]) -> list[str]:
    schemas = document["components"]["schemas"].values()
    return [*sorted({name for schema in schemas for name in schema.get("properties", {})}), "odd"]


@pytest.mark.parametrize("seed", range(4))
async def test_no_body_makes_it_fail(world: World, seed: int) -> None:
    rng = random.Random(seed)
    names = known_names(msgspec.json.decode((await world.get("/v1/openapi.json")).body))
    connection = await world.connect()
    for route in world.role.table.routes:
        if route.body is None:
            continue
        for _ in range(60):
            body = {rng.choice(names): random_value(rng, names) for _ in range(rng.randrange(6))} | (
                {"Node": "n1", "Address": "1.1.1.1", "Name": "x"} if rng.random() < 0.5 else {}
            )
            encoded = json.dumps(body).encode()
            if rng.random() < 0.1:
                encoded = encoded[: rng.randrange(len(encoded) + 1)] + bytes([rng.randrange(256)])
            connection.send("PUT", route.prefix + ("x" if route.path != route.prefix else ""), encoded)
            answer = await connection.receive()
            assert answer.status < 500 or answer.text == "No path to datacenter", (route.path, encoded, answer.text)


@pytest.mark.parametrize("seed", range(4))
async def test_no_target_makes_it_fail(world: World, seed: int) -> None:
    rng = random.Random(seed)
    world.hub.register("n1", "web")
    connection = await world.connect()
    names = [
        "stale",
        "consistent",
        "filter",
        "index",
        "wait",
        "near",
        "node-meta",
        "tag",
        "passing",
        "pretty",
        "hash",
        "format",
        "enable",
        "odd",
    ]
    values = ["", "1", "true", "x:y", "web", "Node == n1", "(", "5ms", "-1", "9" * 30, "\u0000", "%", "é", "`"]
    for _ in range(300):
        route = rng.choice([route for route in world.role.table.routes if route.method == "GET" and "monitor" not in route.path])
        tail = (
            quote(rng.choice(["web", "n1", "", "a/b", "..", "\u0000", "é", "%", "x" * 500]), safe="/.")
            if route.path != route.prefix
            else ""
        )
        query = "&".join(f"{name}={quote(rng.choice(values))}" for name in rng.sample(names, rng.randrange(4)))
        if "index=1" in query or "index=9" in query or "hash=" in query:
            query += "&wait=1ms"
        connection.send("GET", f"{route.prefix}{tail}?{query}")
        answer = await connection.receive()
        assert answer.status < 500 or "health" in route.path, (route.path, tail, query, answer.text)
