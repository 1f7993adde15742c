"""Durations, addresses, ports, and what is said about bad ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.config.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("1h30m", 5400), ("1.5h", 5400), ("300ms", 0.3), ("0", 0), ("1h0m0.5s", 3600.5), (".5s", 0.5), ("2us", 2e-6),
     ("2µs", 2e-6), ("-3s", -3), ("+3s", 3), ("87600h", 315360000)],
)  # fmt: skip
def test_durations_are_written_as_in_go(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "10", "10 s", "1d", "ten", "1h-3m", "--3s", ".s", "10S", "9999999h", "1" * 80 + "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(-(10**15), 10**15))
def test_a_duration_reads_back_as_it_was_written(microseconds: int) -> None:
    assert parse_duration(format_duration(microseconds / 1e6)) == pytest.approx(microseconds / 1e6, abs=1e-9, rel=1e-12)


@pytest.mark.parametrize(
    ("seconds", "text"), [(10, "10s"), (5400, "1h30m"), (0.2, "200ms"), (0, "0s"), (1.5, "1.5s"), (3600.25, "1h0.25s")]
)
def test_a_duration_is_written_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("-retry-interval=10", '-retry-interval: "10" is not a duration: it needs a unit, as in 10s'),
        ("-retry-interval=soon", '-retry-interval: "soon" is not a duration, as in 300ms, 10s or 1h30m'),
        ("-retry-interval=-3s", "-retry-interval: -3s is too short: at least 0s"),
        ("-dns-port=70000", "-dns-port: 70000 is not a port: 1 to 65535, or -1 to turn it off"),
        ("-dns-port=0", "-dns-port: 0 is not a port: 1 to 65535, or -1 to turn it off"),
        ("-server-port=-1", "-server-port: -1 is not a port: 1 to 65535"),
        ("-bind=localhost", '-bind: "localhost" is not an IP address'),
        ("-client=127.0.0.1 x", '-client: "x" is not an IP address'),
        ("-client=unix:///run/x", '-client: "unix:///run/x": unix sockets for clients are not in this version'),
        ("-retry-join=a b", '-retry-join: "a b" is neither a host nor host:port'),
        ("-retry-join=a:x", '-retry-join: "a:x": "x" is not a port: 1 to 65535'),
        ("-retry-join=provider=aws secret_access_key=x", "-retry-join: looking up members at a cloud provider is not in this version"),
        ("-log-level=loud", '-log-level: "loud" is none of trace, debug, info, warn, error'),
        ("-grpc-addr=9000", '-grpc-addr: "9000" is not host:port'),
        ("-grpc-addr=localhost:9000", '-grpc-addr: "localhost:9000": "localhost" is not an IP address'),
        ("-roles=gossip,dsn", '-roles: "dsn" is not a role: gossip, consensus, catalog, dns, gateway, local'),
        ("-check_output_max_size=0", "-check_output_max_size: 0 is too small: at least 1"),
        ("-bootstrap-expect=" + "9" * 30, '-bootstrap-expect: "999999999999999999999999999999" is not a whole number'),
        ("-serf-lan-allowed-cidrs=10.0.0.0/99", '-serf-lan-allowed-cidrs: "10.0.0.0/99" is not a network, as in 192.168.1.0/24'),
        ("-node-meta=x", '-node-meta: "x" is not key:value'),
    ],
)
def test_a_bad_value_is_quoted_with_its_flag(argument: str, problem: str, problems: Callable[..., Any]) -> None:
    assert problem in problems("-dev", argument)


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "10.0.0.1:8301", "node-1.example.com", "fd00::1", "[fd00::1]:8301", "[fd00::1]", "{{ GetPrivateIP }}"]
)
def test_a_member_is_joined_by_address_or_name_with_or_without_port(address: str, loaded: Callable[..., Any]) -> None:
    assert len(loaded("-dev", f"-retry-join={address}").settings.join.retry_join) == 1


def test_a_secret_is_never_quoted(problems: Callable[..., Any], write: Callable[[str, str], str]) -> None:
    found = problems("-dev", "-encrypt=hunter2", "-config-file", write("a.hcl", 'acl { tokens { default = 4711 agent = "hunter2" } }'))
    assert len(found) == 3
    assert not [line for line in found if "hunter2" in line or "4711" in line]


def test_levels_are_read_in_any_case_and_err_is_error(loaded: Callable[..., Any]) -> None:
    assert loaded("-dev", "-log-level=ERR").settings.logs.level == "error"
