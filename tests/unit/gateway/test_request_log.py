"""Requests in the log: each once, whatever way it takes, and only for who wants to see them."""

from __future__ import annotations

import logging
import re

import pytest

from .conftest import World
from .test_ways import fill, read_responses

TARGETS = [
    ("GET", "/v1/catalog/nodes?stale", 200),
    ("GET", "/v1/catalog/nodes?stale", 200),
    ("GET", "/v1/catalog/nodes", 200),
    ("GET", "/v1/catalog/nodes?index=x", 400),
    ("GET", "/v1/status/leader", 200),
    ("GET", "/v1/none?token=secret&pretty", 404),
    ("PUT", "/v1/catalog/register", 400),
]


async def ask_all(world: World) -> list[int]:
    """In one piece, on one connection; the statuses of the answers."""
    connection = await world.connect()
    connection.writer.write(b"".join(f"{method} {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode() for method, target, _ in TARGETS))
    answers = await read_responses(connection.reader, len(TARGETS))
    return [int(answer[9:12]) for answer in answers]


async def test_each_request_is_a_line_at_level_debug(world: World, caplog: pytest.LogCaptureFixture) -> None:
    fill(world)
    caplog.set_level(logging.DEBUG, "rostra.gateway.http")
    assert await ask_all(world) == [status for *_, status in TARGETS]
    lines = [vars(record) for record in caplog.records if record.message == "request finished"]
    wanted = [(method, target.replace("secret", "<hidden>"), status) for method, target, status in TARGETS]
    assert [(line["method"], line["url"], line["status"]) for line in lines] == wanted
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", line["from"]) and line["latency_ms"] > 0 for line in lines)


async def test_nobody_pays_for_lines_that_nobody_reads(world: World, caplog: pytest.LogCaptureFixture) -> None:
    fill(world)
    caplog.set_level(logging.INFO, "rostra.gateway.http")
    await ask_all(world)
    assert not caplog.records
