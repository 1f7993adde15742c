"""``rostra members``: rows, filters, formats, colours."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from rostra.cli import exits
from rostra.cli.commands.members import rows

from .conftest import FakeAgent, Rostra


def member(name: str, status: int = 1, role: str = "consul", **tags: str) -> dict[str, object]:
    return {"Name": name, "Addr": "10.0.0.1", "Port": 8301, "Status": status, "Tags": {"role": role, "dc": "dc1", "vsn": "2", **tags}}


@pytest.fixture
def three(agent: FakeAgent) -> FakeAgent:
    agent.answers["GET /v1/agent/members"] = [
        member("web-1", 4, "node", build="0.1.0:abc"),
        member("server-long", build="0.1.0"),
        member("app", 3, "node", build="0.1.0"),
    ]
    return agent


def test_the_table_has_servers_first_then_names_and_no_segments_where_nobody_has_one(rostra: Rostra, three: FakeAgent) -> None:
    outcome = rostra("members")
    assert outcome.code == exits.OK
    assert outcome.out == (
        "Node         Address        Status  Type    Build  Protocol  DC\n"
        "server-long  10.0.0.1:8301  alive   server  0.1.0  2         dc1\n"
        "app          10.0.0.1:8301  left    client  0.1.0  2         dc1\n"
        "web-1        10.0.0.1:8301  failed  client  0.1.0  2         dc1\n"
    )
    assert three.requests[0].query == {"segment": ["_all"]}


def test_detailed_shows_the_tags_in_order_instead(rostra: Rostra, three: FakeAgent) -> None:
    lines = rostra("members", "-detailed").out.splitlines()
    assert lines[0].split() == ["Node", "Address", "Status", "Tags"]
    assert lines[1].endswith("  alive   build=0.1.0,dc=dc1,role=consul,vsn=2")


def test_wan_asks_for_the_servers_of_all_datacenters(rostra: Rostra, three: FakeAgent) -> None:
    rostra("members", "-wan")
    assert three.requests[0].query["wan"] == ["1"]


@pytest.mark.parametrize("command", ["members", "info", "maint", "monitor", "reload", "leave", "keyring", "rtt", "join"])
def test_what_is_this_agent_s_own_is_asked_of_no_datacenter(rostra: Rostra, three: FakeAgent, command: str) -> None:
    for flag in ("-datacenter=dc2", "-stale"):
        outcome = rostra(command, flag)
        assert outcome.code == exits.FAILED
        assert f"flag provided but not defined: {flag.partition('=')[0]}" in outcome.err
    assert three.requests == []


@pytest.mark.parametrize(("status", "names"), [("left|failed", ["app", "web-1"]), ("^al", ["server-long"]), ("live", ["server-long"])])
def test_status_is_a_regular_expression_that_may_match_anywhere(rostra: Rostra, three: FakeAgent, status: str, names: list[str]) -> None:
    assert [line.split()[0] for line in rostra("members", f"-status={status}").out.splitlines()[1:]] == names


def test_no_match_prints_nothing_and_exits_2(rostra: Rostra, three: FakeAgent) -> None:
    assert rostra("members", "-status=^leaving$") == rostra("members", "-status", "^none")
    assert (rostra("members", "-status=^leaving$").code, rostra("members", "-status=^leaving$").out) == (exits.NO_MATCH, "")


def test_a_broken_expression_is_refused_before_anyone_is_asked(rostra: Rostra, three: FakeAgent) -> None:
    outcome = rostra("members", "-status=[")
    assert outcome.code == exits.FAILED
    assert outcome.err.startswith("Failed to compile the -status expression '['")
    assert not three.requests


def test_json_is_what_the_api_answered_after_the_filter(rostra: Rostra, three: FakeAgent) -> None:
    shown = json.loads(rostra("members", "-format=json", "-status=failed").out)
    assert shown == [member("web-1", 4, "node", build="0.1.0:abc")]
    none = rostra("members", "-format=json", "-status=none")
    assert (none.code, json.loads(none.out)) == (exits.NO_MATCH, [])


def test_a_member_of_another_kind_and_one_of_an_unknown_state_are_shown_as_unknown() -> None:
    table = rows([member("x", 1, "stranger"), member("y", 9, "node")], is_detailed=False)
    assert table[1] == ["x", "10.0.0.1:8301", "alive", "unknown", "", "", ""]
    assert table[2][2:5] == ["unknown (9)", "client", "< 0.3"]


def on_terminal(address: str, columns: int, **environ: str) -> str:
    """What ``rostra members -detailed`` writes to a terminal of that width."""
    controller, terminal = pty.openpty()
    code = "import fcntl, struct, sys, termios; from rostra.cli.main import main\n"
    code += f"fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', 24, {columns}, 0, 0)); sys.exit(main())"
    command = [sys.executable, "-c", code, "members", "-detailed", "-http-addr", address]
    variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    try:
        subprocess.run(command, stdout=terminal, env={**variables, "TERM": "xterm", **environ}, check=True, timeout=120)
        os.close(terminal)
        written = b""
        while True:
            try:
                written += os.read(controller, 65536)
            except OSError:
                return written.decode().replace("\r\n", "\n")
    finally:
        os.close(controller)


def test_on_a_terminal_the_state_has_a_colour_unless_colours_are_not_wanted(three: FakeAgent) -> None:
    text = on_terminal(three.address, 200)
    assert "\x1b[1mNode " in text
    for colour, state in (("32", "alive"), ("31", "failed"), ("2", "left")):
        assert f"10.0.0.1:8301  \x1b[{colour}m{state}\x1b[0m" in text
    assert "\x1b" not in on_terminal(three.address, 200, NO_COLOR="1")
    assert "\x1b" not in on_terminal(three.address, 200, TERM="dumb")


def test_a_name_from_the_network_cannot_command_the_terminal(agent: FakeAgent) -> None:
    agent.answers["GET /v1/agent/members"] = [member("evil\x1b]0;x\x07")]
    assert "evil\\x1b]0;x\\x07" in on_terminal(agent.address, 200)


def test_on_a_narrow_terminal_the_columns_fold_and_nothing_is_lost(three: FakeAgent) -> None:
    lines = re.sub(r"\x1b\[\d+m", "", on_terminal(three.address, 60)).splitlines()
    assert max(map(len, lines)) <= 60
    start = lines[0].index("Tags")
    assert "".join(line[start:].strip() for line in lines[1:3]) == "build=0.1.0,dc=dc1,role=consul,vsn=2"
    assert [line.split()[0] for line in lines if "10.0.0.1:8301" in line] == ["server-long", "app", "web-1"]
