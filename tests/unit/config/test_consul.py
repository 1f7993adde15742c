"""Against the real Consul: its list of flags, and what it takes and refuses as configuration."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rostra.config.document import SyntaxProblem, read_hcl, read_json
from rostra.config.keys import FLAGS

CONSUL = shutil.which("consul")

pytestmark = [pytest.mark.interop, pytest.mark.skipif(CONSUL is None, reason="consul is not on PATH")]


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    assert CONSUL is not None
    return subprocess.run([CONSUL, *argv], capture_output=True, text=True, check=False, timeout=60)


def test_each_flag_that_consul_prints_is_in_the_table() -> None:
    printed = re.findall(r"^  -([\w-]+)", run("agent", "-h").stdout, re.MULTILINE)
    assert len(printed) == 65
    assert [flag for flag in printed if flag not in FLAGS] == []


@pytest.mark.parametrize(
    "text",
    [
        "ports { dns = 1000, http = 2000 }",
        "ports { dns = 1000 http = 2000 }",
        '"node_name" = "x"',
        'dns_config { service_ttl { "*" = "5s" } }',
        'node_meta { "a-b" = "c" }',
        "node_name = <<EOF\nx\nEOF\n",
        '// one\n# two\n/* three */ node_name = "x"',
        "ports = { dns = 0x400 }",
        'service "web" { port = 1 }',
        'retry_join = ["a", "b",]',
        'retry_join = ["a" "b"]',
        "a = [1,",
        "ports {",
        'node_name = "x',
        "node_name = x",
        "reconnect_timeout = 10s",
        'node_name "x"',
        "}",
    ],
)
def test_hcl_that_consul_can_parse_is_what_we_can_parse(text: str, tmp_path: Path) -> None:
    check(text, "hcl", read_hcl, tmp_path)


@pytest.mark.parametrize("text", ["{}", '{"node_name": "x"}', '{"node_name": "x",}', "{/* x */}", '{"ports": {"dns": 1000}}', '{"a"}'])
def test_json_that_consul_can_parse_is_what_we_can_parse(text: str, tmp_path: Path) -> None:
    check(text, "json", read_json, tmp_path)


def check(text: str, kind: str, read: Callable[[str], object], folder: Path) -> None:
    """Consul says where a syntax error is; what it only finds no key for, or a bad value, it did parse."""
    (folder / f"a.{kind}").write_text(text)
    (folder / f"b.{kind}").write_text('data_dir = "/x"' if kind == "hcl" else '{"data_dir": "/x"}')
    said = run("validate", str(folder)).stderr
    consul_can = "failed to parse" not in said or "invalid config key" in said or "error(s) decoding" in said
    try:
        read(text)
        can = True
    except SyntaxProblem:
        can = False
    assert can == consul_can, said
