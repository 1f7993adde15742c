"""HTTP checks, as Consul's: what is passing, what is shown, what is sent."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rostra.local.checks.dialing import Dialer
from rostra.local.checks.http import HttpCheck
from rostra.local.checks.http_exchange import MAX_BODY, MAX_HEAD
from rostra.local.checks.outcome import Outcome
from rostra.model.catalog import CheckDefinition, HealthStatus

from .servers import answering, closed_port, serving

PASSING, WARNING, CRITICAL = HealthStatus.PASSING, HealthStatus.WARNING, HealthStatus.CRITICAL
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def check(url: str, *, limit: int = 4096, timeout_s: float = 30.0, **definition: Any) -> Outcome:
    return await HttpCheck(CheckDefinition(http=url, timeout_s=timeout_s, **definition), Dialer(), limit).run()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("200 OK", PASSING),
        ("204 No Content", PASSING),
        ("299 Odd", PASSING),
        ("300 Multiple Choices", CRITICAL),
        ("404 Not Found", CRITICAL),
        ("429 Too Many Requests", WARNING),
        ("500 Internal Server Error", CRITICAL),
    ],
)
async def test_the_status_decides(line: str, status: HealthStatus) -> None:
    async with answering(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n".encode()) as port:
        url = f"http://127.0.0.1:{port}/health?deep=1"
        assert await check(url) == Outcome(status, f"HTTP GET {url}: {line} Output: ")


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil it hangs up", "until it hangs up"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncut short", "cut short"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate", "late"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xfea", "��a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\nnonsense", "he"),
    ],
)
async def test_the_body_is_shown_as_far_as_it_came(answer: bytes, body: str) -> None:
    async with answering(answer) as port:
        outcome = await check(f"http://127.0.0.1:{port}/")
        assert outcome == Outcome(PASSING, f"HTTP GET http://127.0.0.1:{port}/: 200 OK Output: {body}")


async def test_a_body_that_hangs_is_shown_as_far_as_it_came() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", then_hangs=True) as port:
        outcome = await check(f"http://127.0.0.1:{port}/", timeout_s=1.0)
        assert (outcome.status, outcome.output.endswith("Output: abc")) == (PASSING, True)


async def test_the_end_of_a_long_body_is_kept_and_an_endless_one_is_not_read_to_its_end() -> None:
    numbers = b"".join(b"%07d\n" % number for number in range(2000))
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(numbers) + numbers) as port:
        outcome = await check(f"http://127.0.0.1:{port}/", limit=16)
        assert outcome.output.endswith("Output: 0001998\n0001999\n")

    written = [0]

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            written[0] += 65536
            await writer.drain()

    async with serving(endless) as port:
        outcome = await check(f"http://127.0.0.1:{port}/")
    assert (outcome.status, outcome.output[-10:]) == (PASSING, "x" * 10)
    assert written[0] < 20 * MAX_BODY


@pytest.mark.parametrize(
    "answer", [b"", b"hello there\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nA: " + b"x" * (2 << 20)]
)
async def test_what_is_no_response_is_critical(answer: bytes) -> None:
    async with answering(answer) as port:
        outcome = await check(f"http://127.0.0.1:{port}/")
        assert outcome.status is CRITICAL
        assert outcome.output.startswith(f'Get "http://127.0.0.1:{port}/": ')


async def test_a_head_without_end_is_not_read_to_its_end() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X: %s\r\n" % (b"x" * 60_000))
            await writer.drain()

    async with serving(endless) as port:
        outcome = await check(f"http://127.0.0.1:{port}/", timeout_s=60.0)
    assert outcome.output.endswith(f"the head of the response is longer than {MAX_HEAD} bytes")


async def test_nobody_there_and_nobody_answering_are_critical_and_told_apart() -> None:
    with closed_port() as port:
        refused = f'Get "http://127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'
        assert await check(f"http://127.0.0.1:{port}/") == Outcome(CRITICAL, refused)
        refused = f'Put "http://localhost:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'
        assert await check(f"http://localhost:{port}/", method="put") == Outcome(CRITICAL, refused)
    async with answering(b"", then_hangs=True) as port:
        late = f'Get "http://127.0.0.1:{port}/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        assert await check(f"http://127.0.0.1:{port}/", timeout_s=1.0) == Outcome(CRITICAL, late)


@pytest.mark.parametrize("url", ["foo", "ftp://127.0.0.1/", "http://", "http://[bad/", "http://127.0.0.1:99999/", "http://127.0.0.1:x/"])
async def test_a_url_that_is_none_is_critical(url: str) -> None:
    assert (await check(url)).status is CRITICAL


def echo(request: bytes) -> bytes:
    body = json.dumps(request.decode("latin-1")).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def sent(url: str, **definition: Any) -> list[str]:
    """The request as the server saw it, in lines."""
    outcome = await check(url, **definition)
    return str(json.loads(outcome.output.partition("Output: ")[2])).split("\r\n")


async def test_the_request_says_what_it_was_told_to() -> None:
    async with answering(echo) as port:
        header = {"X-A": ("1", "2"), "user-agent": ("me",), "host": ("web.example",)}
        lines = await sent(f"http://127.0.0.1:{port}/p?q=1", method="post", body="hello", header=header)
        assert (lines[0], lines[-1]) == ("POST /p?q=1 HTTP/1.1", "hello")
        assert {"X-A: 1", "X-A: 2", "user-agent: me", "host: web.example", "Content-Length: 5", "Connection: close"} <= set(lines)
        assert not [line for line in lines if line.startswith(("Host:", "User-Agent:"))]
        lines = await sent(f"http://user:p%20w@127.0.0.1:{port}")
        assert {"GET / HTTP/1.1", f"Host: 127.0.0.1:{port}", "Authorization: Basic dXNlcjpwIHc="} <= set(lines)
        assert (await sent(f"http://127.0.0.1:{port}/a b\u00e9"))[0] == "GET /a%20b%C3%A9 HTTP/1.1"


async def test_a_header_cannot_add_lines_of_its_own() -> None:
    async with answering(echo) as port:
        outcome = await check(f"http://127.0.0.1:{port}/", header={"X": ("1\r\nY: 2",)})
        assert (outcome.status, "invalid header" in outcome.output) == (CRITICAL, True)


async def test_a_head_request_waits_for_no_body() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", then_hangs=True) as port:
        outcome = await check(f"http://127.0.0.1:{port}/", method="HEAD")
        assert outcome == Outcome(PASSING, f"HTTP HEAD http://127.0.0.1:{port}/: 200 OK Output: ")


def redirects(code: int) -> Any:
    def answer(request: bytes) -> bytes:
        if request.split()[1] == b"/":
            return b"HTTP/1.1 %d Go\r\nLocation: /there\r\nContent-Length: 3\r\n\r\n..." % code
        return echo(request)

    return answer


@pytest.mark.parametrize(
    ("code", "line", "body"), [(301, "GET", ""), (302, "GET", ""), (303, "GET", ""), (307, "POST", "b"), (308, "POST", "b")]
)
async def test_redirects_are_followed_unless_told_otherwise(code: int, line: str, body: str) -> None:
    async with answering(redirects(code)) as port:
        lines = await sent(f"http://127.0.0.1:{port}/", method="POST", body="b")
        assert (lines[0], lines[-1]) == (f"{line} /there HTTP/1.1", body)
        outcome = await check(f"http://127.0.0.1:{port}/", disable_redirects=True)
        assert (outcome.status, outcome.output) == (CRITICAL, f"HTTP GET http://127.0.0.1:{port}/: {code} Go Output: ...")


async def test_what_is_meant_for_one_host_is_not_told_to_another() -> None:
    async with (
        answering(echo) as there,
        answering(f"HTTP/1.1 302 Found\r\nLocation: http://localhost:{there}/\r\nContent-Length: 0\r\n\r\n".encode()) as here,
    ):
        header = {"Authorization": ("secret",), "Host": ("inner",), "X-Own": ("1",)}
        lines = await sent(f"http://127.0.0.1:{here}/", header=header)
        assert f"Host: localhost:{there}" in lines
        assert "X-Own: 1" in lines
        assert not [line for line in lines if "secret" in line or "inner" in line]


async def test_redirects_that_lead_nowhere_end() -> None:
    async with answering(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n") as port:
        assert "stopped after 10 redirects" in (await check(f"http://127.0.0.1:{port}/")).output
    async with answering(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n") as port:
        assert "missing Location" in (await check(f"http://127.0.0.1:{port}/")).output


async def test_a_certificate_is_verified_unless_told_otherwise(server_tls: Any) -> None:
    async with answering(OK, ssl=server_tls) as port:
        outcome = await check(f"https://localhost:{port}/")
        assert (outcome.status, "failed to verify certificate" in outcome.output) == (CRITICAL, True)
        assert (await check(f"https://localhost:{port}/", tls_skip_verify=True)).status is PASSING


async def test_tls_with_one_who_does_not_speak_it_is_critical() -> None:
    async with answering(OK) as port:
        outcome = await check(f"https://127.0.0.1:{port}/", timeout_s=1.0)
        assert outcome.status is CRITICAL
