"""RFC 8484 at ``/dns-query``."""

from __future__ import annotations

import base64

import pytest

from rostra.gateway.settings import GatewaySettings

from .conftest import World

QUESTION = b"\x00\x01a question\xfb\xff"
MEDIA = {"Content-Type": "application/dns-message"}


def encoded(message: bytes) -> str:
    return base64.urlsafe_b64encode(message).decode().rstrip("=")


async def test_both_methods_hand_the_message_on_and_say_for_how_long_the_answer_may_be_kept(world: World) -> None:
    for response in (
        await world.ask("GET", f"/dns-query?dns={encoded(QUESTION)}"),
        await world.ask("POST", "/dns-query", QUESTION, MEDIA),
    ):
        assert (response.status, response.body) == (200, b"answer")
        assert response.headers["content-type"] == "application/dns-message"
        assert response.headers["cache-control"] == "max-age=7"
    assert world.dns.asked == [(QUESTION, "127.0.0.1")] * 2


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "status", "word"),
    [
        ("GET", "/dns-query", b"", {}, 400, "dns"),
        ("GET", "/dns-query?dns=a%2Fb!", b"", {}, 400, "base64url"),
        ("GET", "/dns-query?dns=a", b"", {}, 400, "base64url"),
        ("GET", "/dns-query?dns=", b"", {}, 400, "message"),
        ("POST", "/dns-query", b"x", {}, 415, "application/dns-message"),
        ("POST", "/dns-query", b"x", {"Content-Type": "text/plain"}, 415, "application/dns-message"),
        ("POST", "/dns-query", b"", MEDIA, 400, "message"),
        ("POST", "/dns-query", bytes(65_536), MEDIA, 413, "65535"),
        ("PUT", "/dns-query", b"x", MEDIA, 405, "PUT"),
    ],
)
async def test_what_is_no_question_is_refused_by_name(
    world: World, method: str, target: str, body: bytes, headers: dict[str, str], status: int, word: str
) -> None:
    response = await world.ask(method, target, body, headers)
    assert response.status == status
    assert word in response.text
    assert world.dns.asked == []


async def test_asking_is_no_write(world: World) -> None:
    """Networks that may not write, and web pages of other origins, may ask: a browser's resolver does so by POST."""
    await world.role.stop()
    await world.start(GatewaySettings(allow_write_http_from=("10.0.0.0/8",)))
    assert (await world.ask("PUT", "/v1/agent/leave")).status == 403
    assert (await world.ask("POST", "/dns-query", QUESTION, MEDIA | {"Origin": "https://elsewhere.example"})).status == 200


async def test_it_can_be_blocked_like_any_endpoint(world: World) -> None:
    await world.role.stop()
    await world.start(GatewaySettings(block_endpoints=("/dns-query",)))
    assert (await world.ask("GET", f"/dns-query?dns={encoded(QUESTION)}")).status == 403
