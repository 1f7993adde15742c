"""Help, the effective configuration, and what a reload may change."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from rostra.config.effective import MASK, as_json, as_text
from rostra.config.help import WIDTH, help_text
from rostra.config.keys import FLAGS
from rostra.config.load import Loaded
from rostra.config.reload import changes


def test_help_tells_of_each_flag_its_default_key_and_variable() -> None:
    entries = {entry.split()[0]: entry for entry in help_text().split("\n\n") if entry.startswith("  -")}
    assert set(entries) == {f"-{flag}" for flag in FLAGS}
    for flag, key in FLAGS.items():
        words = " ".join(entries[f"-{flag}"].split())
        assert "default " in words
        assert f"key {key.path or 'none'} " in words
        assert words.endswith(f"env {key.variable or 'none'}")


@pytest.mark.parametrize("role", [None, "gossip"])
def test_help_fits_its_width(role: str | None) -> None:
    lines = help_text(role).splitlines()
    assert lines[0] == f"Usage: rostra {role or 'agent'} [flags]"
    assert max(map(len, lines)) <= WIDTH


def test_the_effective_configuration_names_the_origin_of_each_value(loaded: Callable[..., Any]) -> None:
    lines = as_text(loaded("-data-dir=/data", "-node=n1", env={"ROSTRA_PORTS_DNS": "9"})).splitlines()
    found = {line.split(" = ")[0]: line.split("  # ") for line in lines if " = " in line}
    assert [part.strip() for part in found["node_name"]] == ['node_name = "n1"', "-node"]
    assert [part.strip() for part in found["ports.dns"]] == ["ports.dns = 9", "ROSTRA_PORTS_DNS"]
    assert [part.strip() for part in found["retry_interval"]] == ['retry_interval = "30s"', "default"]
    assert [part.strip() for part in found["advertise_addr"]] == ['advertise_addr = "10.1.2.3"', "private address of eth0"]


def test_the_effective_configuration_as_json_gives_the_same_settings_again(
    write: Callable[[str, str], str], loaded: Callable[..., Any]
) -> None:
    first = loaded(
        "-data-dir=/data", "-server", "-bootstrap-expect=3", "-retry-join=10.0.0.1", "-client=127.0.0.1 10.1.2.3",
        "-hcl", 'service { name = "web" check { ttl = "3s" } } dns_config { service_ttl { "*" = "5s" } } node_meta { a = "b" } ui = true',
    )  # fmt: skip
    write("effective.json", as_json(first))
    assert loaded("-config-file=effective.json").settings == first.settings


def test_reading_the_configuration_needs_neither_an_event_loop_nor_grpc() -> None:
    heavy = "{'asyncio', 'grpc', 'hcl2', 'lark', 'google.protobuf'}"
    script = (
        f"import sys, rostra.config, rostra.config.help, rostra.config.effective, rostra.config.reload; print({heavy} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_secrets_are_masked(loaded: Callable[..., Any]) -> None:
    result = loaded("-data-dir=/data")
    told = Loaded(result.settings, (), {**result.values, "encrypt": "hunter2"}, result.origins, result.given | {"encrypt"})
    for text in (as_text(told), as_json(told)):
        assert "hunter2" not in text
        assert MASK in text
    assert json.loads(as_json(told))["encrypt"] == MASK


def test_secrets_in_definitions_are_masked_and_the_rest_of_them_is_not(loaded: Callable[..., Any]) -> None:
    check = 'check { http = "https://me:hunter1@web:80/up" interval = "9s" header { X-Key = ["hunter2"] } body = "hunter3" }'
    result = loaded("-data-dir=/data", "-hcl", f'service {{ name = "web" port = 80 {check} }}')
    for text in (as_text(result), as_json(result)):
        assert "hunter" not in text
    ((service,),) = [json.loads(as_json(result))["service"]]
    assert (service["name"], service["port"]) == ("web", 80)
    assert service["checks"] == [
        {"http": f"https://{MASK}@web:80/up", "interval": "9s", "header": {"X-Key": [MASK]}, "body": MASK},
    ]


def test_a_reload_changes_what_is_reloadable_and_names_the_rest(loaded: Callable[..., Any]) -> None:
    old = loaded("-data-dir=/data")
    new = loaded(
        "-data-dir=/data",
        "-log-level=warn",
        "-node-meta=a:b",
        "-dns-port=9",
        "-hcl",
        'dns_config { node_ttl = "3s" } service { name = "web" }',
    )
    assert changes(old, old) == ((), ())
    found = changes(old, new)
    assert set(found.reloadable) == {"node_meta", "log_level", "dns_config.node_ttl", "service"}
    assert found.refused == ("ports.dns",)
