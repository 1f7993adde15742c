"""Files and folders: order, merging, and problems that name file, line and key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Write = Callable[[str, str], str]


def test_later_files_replace_scalars_append_lists_and_merge_maps(write: Write, loaded: Callable[..., Any]) -> None:
    write("a.hcl", 'node_name = "a"\nretry_join = ["10.0.0.1"]\nnode_meta { x = "1" y = "1" }\nports { dns = 1 }')
    write("b.json", '{"node_name": "b", "retry_join": ["10.0.0.2"], "node_meta": {"y": "2"}, "ports": {"http": 2}}')
    settings = loaded("-dev", "-config-file=a.hcl", "-config-file=b.json").settings
    assert settings.identity.node_name == "b"
    assert settings.join.retry_join == ("10.0.0.1", "10.0.0.2")
    assert settings.identity.node_meta == {"x": "1", "y": "2"}
    assert (settings.ports.dns, settings.ports.http) == (1, 2)


def test_a_folder_is_read_in_lexical_order_and_not_below(write: Write, loaded: Callable[..., Any]) -> None:
    write("conf/20.json", '{"node_name": "second"}')
    write("conf/10.hcl", 'node_name = "first"\ndatacenter = "dc7"')
    write("conf/30.txt", "not = configuration")
    write("conf/sub.hcl/x", "")
    result = loaded("-dev", "-config-dir", "conf")
    assert result.settings.identity.node_name == "second"
    assert result.settings.identity.datacenter == "dc7"
    assert result.origins["datacenter"] == "conf/10.hcl:2"


def test_precedence_is_default_then_dev_then_file_then_variable_then_flag_then_fragment(write: Write, loaded: Callable[..., Any]) -> None:
    write("a.hcl", 'log_level = "error"')
    steps: list[tuple[list[str], dict[str, str], str]] = [
        (["-dev"], {}, "debug"),
        (["-config-file=a.hcl", "-dev"], {}, "error"),
        (["-config-file=a.hcl", "-dev"], {"ROSTRA_LOG_LEVEL": "trace"}, "trace"),
        (["-log-level=warn", "-config-file=a.hcl", "-dev"], {"ROSTRA_LOG_LEVEL": "trace"}, "warn"),
        (["-hcl", 'log_level = "info"', "-log-level=warn", "-config-file=a.hcl", "-dev"], {"ROSTRA_LOG_LEVEL": "trace"}, "info"),
    ]
    origins = ["-dev", "a.hcl:1", "ROSTRA_LOG_LEVEL", "-log-level", "-hcl:1"]
    for (argv, env, level), origin in zip(steps, origins, strict=True):
        result = loaded(*argv, env=env)
        assert (result.settings.logs.level, result.origins["log_level"]) == (level, origin)
    assert loaded("-config-file=a.hcl", "-server", "-bootstrap", "-data-dir=d").origins["log_json"] == "default"


def test_all_problems_come_at_once_each_with_its_culprit_first(write: Write, problems: Callable[..., Any]) -> None:
    write(
        "agent.hcl",
        """datacentre = "dc1"
ports {
  dns = 70000
  htp = 1
}
server = "true"
retry_join = "10.0.0.1"
domain = 5
reconnect_timeout = 5
reconnect_timeout_wan = "3h"
dns_config = 3
ports = [1]
bootstrap_expect = 2.5
""",
    )
    assert problems("-dev", "-config-file", "agent.hcl", "-http-port=x", "-bogus") == (
        "-bogus: unknown flag; -h lists all",
        'agent.hcl:1: unknown key "datacentre" (did you mean "datacenter"?)',
        "agent.hcl:3: ports.dns: 70000 is not a port: 1 to 65535, or -1 to turn it off",
        'agent.hcl:4: unknown key "ports.htp" (did you mean "ports.http"?)',
        'agent.hcl:6: server: expected true or false, not "true"',
        'agent.hcl:7: retry_join: expected a list of strings, not "10.0.0.1"',
        "agent.hcl:8: domain: expected a string, not 5",
        "agent.hcl:9: reconnect_timeout: expected a string, not 5",
        "agent.hcl:10: reconnect_timeout_wan: 3h is too short: at least 8h",
        "agent.hcl:11: dns_config: expected a table, not 3",
        "agent.hcl:12: ports: expected a table, not a list",
        "agent.hcl:13: bootstrap_expect: expected a whole number, not 2.5",
        '-http-port: "x" is not a whole number',
    )


def test_broken_syntax_is_told_by_file_line_and_column_and_nothing_is_said_to_be_missing(
    write: Write, problems: Callable[..., Any]
) -> None:
    write("a.hcl", 'server = true\ndata_dir = "x\n')
    write("b.json", '{\n  "server": true,\n}')
    assert problems("-server", "-config-file=a.hcl", "-config-file=b.json") == (
        "a.hcl:2:12: this string has no end: expected a closing quote on its line",
        "b.json:3:1: expecting property name",
    )


def test_files_that_cannot_be_read_are_named(write: Write, problems: Callable[..., Any], tmp_path: Any) -> None:
    write("a.txt", "")
    (tmp_path / "latin.hcl").write_bytes(b'node_name = "\xe9"')
    assert problems("-dev", "-config-file=none.hcl", "-config-file=a.txt", "-config-dir=nowhere", "-config-file=latin.hcl") == (
        "-config-file none.hcl: no such file or directory",
        "-config-file a.txt: its name ends in neither .hcl nor .json; -config-format says which it is",
        "-config-dir nowhere: no such file or directory",
        "-config-file latin.hcl: not UTF-8 at byte 13",
    )
    assert problems("-dev", "-config-format=toml") == ('-config-format: "toml" is none of json, hcl',)


def test_the_format_can_be_said_for_files_of_any_name(write: Write, loaded: Callable[..., Any]) -> None:
    write("a.conf", '\ufeffnode_name = "a"')
    assert loaded("-dev", "-config-file=a.conf", "-config-format=hcl").settings.identity.node_name == "a"


def test_fragments_are_told_apart_by_number(problems: Callable[..., Any], loaded: Callable[..., Any]) -> None:
    assert problems("-dev", "-hcl=log_json = true", "-hcl=\nlog_jsn = true") == (
        '-hcl[2]:2: unknown key "log_jsn" (did you mean "log_json"?)',
    )
    assert loaded("-dev", "-hcl", "dns_config { soa { min_ttl = 7 } }").settings.dns.soa.min_ttl_s == 7


def test_keys_are_read_in_any_case(write: Write, loaded: Callable[..., Any]) -> None:
    assert loaded("-dev", "-hcl", 'Node_Name = "a" DNS_config { Node_TTL = "3s" }').settings.dns.node_ttl_s == 3.0
