"""Flags and variables: Go's syntax, and what is wrong with them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rostra.config.flags import asks_for_help, read_flags, split_flags, write_flags
from rostra.config.given import Findings
from rostra.config.key import Key, Kind, Standing
from rostra.config.keys import FLAGS
from rostra.config.merged import merge
from rostra.config.values import ALL_ROLES


@pytest.mark.parametrize("argv", [("-dns-port", "9"), ("-dns-port=9",), ("--dns-port", "9"), ("--dns-port=9",)])
def test_a_value_follows_its_flag_or_an_equals_sign_after_one_dash_or_two(argv: tuple[str, ...], loaded: Callable[..., Any]) -> None:
    assert loaded("-dev", *argv).settings.ports.dns == 9


def test_a_bool_flag_needs_no_value_and_takes_one_after_an_equals_sign(loaded: Callable[..., Any], problems: Callable[..., Any]) -> None:
    assert loaded("-dev", "-log-json").settings.logs.json is True
    assert loaded("-dev", "-log-json=false").settings.logs.json is False
    assert problems("-dev", "-log-json=maybe") == ('-log-json: "maybe" is neither true nor false',)
    assert problems("-dev", "-log-json", "true") == ('"true": unexpected argument: the agent takes flags only',)


def test_a_flag_given_again_wins_and_a_list_grows(loaded: Callable[..., Any]) -> None:
    settings = loaded(
        "-dev", "-node=a", "-node=b", "-retry-join=10.0.0.1", "-retry-join=10.0.0.2:8301", "-node-meta=a:1", "-node-meta=b:2:3"
    ).settings
    assert settings.identity.node_name == "b"
    assert settings.join.retry_join == ("10.0.0.1", "10.0.0.2:8301")
    assert settings.identity.node_meta == {"a": "1", "b": "2:3"}


def test_an_unknown_flag_is_named_with_the_nearest_one_and_the_rest_is_still_read(problems: Callable[..., Any]) -> None:
    assert problems("-dev", "-dns-prt", "9", "-http-port=x", "--bogus=1") == (
        '-dns-prt: unknown flag (did you mean "-dns-port"?)',
        "--bogus: unknown flag; -h lists all",
        '-http-port: "x" is not a whole number',
    )


def test_a_flag_at_the_end_without_its_value_is_told_what_it_needs(problems: Callable[..., Any]) -> None:
    assert problems("-dev", "-retry-interval") == ("-retry-interval: needs a value (duration)",)


def test_help_is_found_anywhere_in_the_arguments() -> None:
    assert all(asks_for_help(["-dev", flag]) for flag in ("-h", "-help", "--help"))
    assert not asks_for_help(["-dev", "-hcl"])


def test_deprecated_flags_work_and_name_their_successor(loaded: Callable[..., Any]) -> None:
    result = loaded("-dev", "-join=10.0.0.1")
    assert result.settings.join.start_join == ("10.0.0.1",)
    assert result.warnings == ("-join: deprecated: use -retry-join",)


def test_variables_are_named_after_keys_and_an_unknown_one_is_warned_of(loaded: Callable[..., Any], problems: Callable[..., Any]) -> None:
    env = {"ROSTRA_PORTS_DNS": "9", "ROSTRA_RETRY_JOIN": "10.0.0.1, 10.0.0.2", "ROSTRA_NODE_META": "a:1,b:2", "ROSTRA_NODE_NAME": "",
           "ROSTRA_PORTS_DN": "1", "ROSTRA_DEV": "1"}  # fmt: skip
    result = loaded(env=env)
    assert result.settings.dev
    assert result.settings.ports.dns == 9
    assert result.settings.join.retry_join == ("10.0.0.1", "10.0.0.2")
    assert result.settings.identity.node_meta == {"a": "1", "b": "2"}
    assert result.settings.identity.node_name == "host-1"
    assert result.warnings == ('ROSTRA_PORTS_DN: this variable is not known (did you mean "ROSTRA_PORTS_DNS"?)',)
    assert problems("-dev", env={"ROSTRA_LOG_JSON": "x"}) == ('ROSTRA_LOG_JSON: "x" is neither true nor false',)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)
ADDRESS = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str)
PORT = st.integers(1, 65535)
HOST_PORT = st.builds("{}:{}".format, st.ip_addresses(v=4), PORT)


def value_for(key: Key) -> st.SearchStrategy[Any]:
    """Values that ``key`` can have, as they are once read."""
    if key.choices:
        return st.sampled_from(key.choices)
    low, high = int(key.minimum or 0), int(key.maximum or 1 << 40)
    by_kind: dict[Kind, st.SearchStrategy[Any]] = {
        Kind.STRING: TEXT,
        Kind.GOSSIP_KEY: st.sampled_from([16, 24, 32]).map(lambda size: base64.b64encode(bytes(range(size))).decode()),
        Kind.BOOL: st.booleans(),
        Kind.INT: st.integers(low, high),
        Kind.DURATION: st.integers(max(low * 1000, 1), 10**9).map(lambda milliseconds: milliseconds / 1000),
        Kind.PORT: PORT,
        Kind.ADDRESS: ADDRESS,
        Kind.ADDRESSES: st.lists(ADDRESS, unique=True, min_size=1, max_size=3).map(tuple),
        Kind.LISTEN: HOST_PORT,
        Kind.STRINGS: st.lists(TEXT, max_size=3).map(tuple),
        Kind.HOSTS: st.lists(ADDRESS | HOST_PORT | WORD.filter(lambda word: word.strip("-") == word), max_size=3).map(tuple),
        Kind.NETWORKS: st.lists(st.ip_addresses(v=4).map(lambda address: f"{address}/32"), max_size=3).map(tuple),
        Kind.ROLES: st.sets(st.sampled_from(ALL_ROLES), min_size=1).map(lambda names: tuple(role for role in ALL_ROLES if role in names)),
        Kind.TARGETS: st.lists(HOST_PORT | WORD.map("unix:/{}".format), min_size=1, max_size=3).map(tuple),
        Kind.MAP: st.dictionaries(WORD, TEXT, max_size=3),
    }
    return by_kind[key.kind]


WORKING = [key for key in FLAGS.values() if key.path and key.standing is Standing.WORKS]


@given(st.data())
def test_a_value_written_as_flags_reads_back_as_itself(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(WORKING))
    value = data.draw(value_for(key))
    findings = Findings()
    read_flags(split_flags(write_flags(key, value), findings), findings)
    assert findings.problems == []
    assert merge(findings.given, is_dev=False).values[key.path] == value


@given(st.lists(TEXT | st.sampled_from(["-dns-port", "-dns-port=1", "--", "-", "-node", "-x=", "-server"]), max_size=8))
def test_no_arguments_break_the_reader(argv: list[str]) -> None:
    findings = Findings()
    read_flags(split_flags(argv, findings), findings)
