"""The table of commands, and what happens around every one of them."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Sequence

import pytest

from rostra.cli import exits
from rostra.cli.main import COMMANDS, SERVERS

from .conftest import FakeAgent, Rostra

SLOW = {
    "grpc",
    "msgspec",
    "uvloop",
    "uvicorn",
    "starlette",
    "asyncio",
    "rich",
    "hcl2",
    "http.client",
    "email",
    "ssl",
    "dataclasses",
    "inspect",
}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[str], str | None]]:
    """What ``rostra.agent.main`` was called with; nothing is started."""
    calls: list[tuple[Sequence[str], str | None]] = []
    module = types.ModuleType("rostra.agent.main")

    def fake_main(argv: Sequence[str], role: str | None) -> int:
        calls.append((argv, role))
        return 7

    setattr(module, "main", fake_main)
    monkeypatch.setitem(sys.modules, "rostra.agent.main", module)
    return calls


def test_without_a_command_an_overview_with_commands_and_exit_codes_goes_to_standard_error(rostra: Rostra) -> None:
    outcome = rostra()
    assert (outcome.code, outcome.out) == (exits.NO_COMMAND, "")
    assert all(f"  {command} " in outcome.err for command in (*COMMANDS, *SERVERS))
    assert all(f"  {code:<4} {meaning}\n" in outcome.err for code, meaning in exits.EXIT_CODES.items())


@pytest.mark.parametrize("word", ["-h", "-help", "--help"])
def test_help_is_the_same_overview_on_standard_output(rostra: Rostra, word: str) -> None:
    outcome = rostra(word)
    assert (outcome.code, outcome.out, outcome.err) == (exits.OK, rostra().err, "")


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "help"])
@pytest.mark.parametrize("word", ["-h", "-help", "--help"])
def test_every_command_that_runs_to_its_end_explains_itself(rostra: Rostra, agent: FakeAgent, command: str, word: str) -> None:
    outcome = rostra(*command.split(), word)
    assert outcome.code == exits.OK
    assert outcome.out.startswith(f"Usage: rostra {command} [options]")
    assert rostra("help", *command.split()) == outcome
    assert not agent.requests


def test_help_alone_is_the_overview_and_help_of_nothing_known_is_an_error(rostra: Rostra) -> None:
    assert rostra("help") == rostra("help", "help") == rostra("-h")
    assert rostra("help", "operator").out.startswith("Usage: rostra operator <subcommand>")
    assert rostra("help", "membrs").code == exits.NO_COMMAND


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["membrs"], exits.NO_COMMAND, 'rostra: there is no command "membrs" (did you mean "members"?); rostra -h lists them\n'),
        (["-zzz"], exits.NO_COMMAND, 'rostra: there is no command "-zzz"; rostra -h lists them\n'),
        (["catalog", "nods"], exits.FAILED, '"catalog nods" (did you mean "catalog nodes"?); rostra catalog -h lists them\n'),
        (["operator", "raft"], exits.FAILED, "Usage: rostra operator raft <subcommand> [options]\n\n  operator raft list-peers    "),
        (["services"], exits.FAILED, "  services register      "),
    ],
)
def test_an_unknown_command_names_the_nearest_and_a_group_lists_its_commands(
    rostra: Rostra, words: list[str], code: int, message: str
) -> None:
    outcome = rostra(*words)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err


@pytest.mark.parametrize("name", SERVERS)
def test_the_agent_and_the_roles_get_their_arguments_and_give_the_exit_code(
    rostra: Rostra, started: list[tuple[Sequence[str], str | None]], name: str
) -> None:
    assert rostra(name, "-dev", "-node", "a").code == 7
    assert started == [(["-dev", "-node", "a"], None if name == "agent" else name)]


def test_catalog_is_the_role_with_flags_or_alone_and_a_client_with_a_word(
    rostra: Rostra, agent: FakeAgent, started: list[tuple[Sequence[str], str | None]]
) -> None:
    agent.answers["GET /v1/catalog/datacenters"] = ["dc1"]
    assert rostra("catalog", "datacenters").out == "dc1\n"
    assert started == []
    rostra("catalog")
    help_text = rostra("catalog", "-h")
    assert started == [([], "catalog"), (["-h"], "catalog")]
    assert "  catalog nodes          List the nodes of a datacenter\n" in help_text.out


def test_what_goes_wrong_is_one_line_and_exit_code_1(rostra: Rostra) -> None:
    outcome = rostra("members", "-http-addr=127.0.0.1:1")
    assert (outcome.code, outcome.out) == (exits.FAILED, "")
    assert outcome.err.startswith("Error retrieving members: http://127.0.0.1:1: connection refused; is the agent running there?")
    assert outcome.err.count("\n") == 1


def test_ctrl_c_ends_a_command_quietly(rostra: Rostra, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(arguments: Sequence[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("rostra.cli.commands.keygen.run", interrupted)
    assert rostra("keygen").code == exits.INTERRUPTED


def run_apart(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], text=True, capture_output=True, check=False, timeout=120)


def test_a_client_command_imports_neither_a_server_library_nor_anything_slow(agent: FakeAgent) -> None:
    agent.answers["GET /v1/agent/members"] = [{"Name": "a", "Addr": "::1", "Port": 1, "Status": 1, "Tags": {"role": "node"}}]
    code = "import sys; from rostra.cli.main import main; code = main(); print(*sys.modules, file=sys.stderr); sys.exit(code)"
    done = run_apart(code, "members", "-http-addr", agent.address)
    assert done.returncode == exits.OK
    assert "[::1]:1" in done.stdout
    assert SLOW & set(done.stderr.split()) == set()


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    code = "import os; from rostra.cli.main import main; r, w = os.pipe(); os.close(r); os.dup2(w, 1); raise SystemExit(main(['-h']))"
    done = run_apart(code)
    assert (done.returncode, done.stderr) == (exits.BROKEN_PIPE, "")
