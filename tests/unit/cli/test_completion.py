"""Completion, asked of the real shells; zsh and fish where they are installed."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from rostra.cli import exits
from rostra.cli.commands.completion import SHELLS
from rostra.cli.described import commands
from rostra.cli.main import COMMANDS, SERVERS

from .conftest import Rostra

ASK = """
source ./script
COMP_WORDS=({words}) COMP_CWORD={position}
_rostra
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p rostra
"""


@pytest.fixture
def script(rostra: Rostra, tmp_path: Path) -> Path:
    """The folder with bash's script."""
    (tmp_path / "script").write_text(rostra("completion", "bash").out)
    return tmp_path


def completed(folder: Path, *words: str) -> list[str]:
    """What bash offers for the last word; "=" is a word of its own, as bash splits it."""
    ask = ASK.format(words=" ".join(map(shlex.quote, words)), position=len(words) - 1)
    done = subprocess.run(["bash", "--norc", "-c", ask], cwd=folder, text=True, capture_output=True, check=True, timeout=120)
    assert done.stderr == ""
    *offered, registered = done.stdout.splitlines()
    assert registered == "complete -F _rostra rostra"
    return [word for word in offered if word]


def test_every_command_is_offered_word_by_word(script: Path) -> None:
    assert set(completed(script, "rostra", "")) == {command.split()[0] for command in (*COMMANDS, *SERVERS)}
    assert completed(script, "rostra", "mem") == ["members"]
    assert completed(script, "rostra", "catalog", "") == ["datacenters", "nodes", "services"]
    assert completed(script, "rostra", "tls", "ca", "") == ["create"]
    assert completed(script, "rostra", "help", "tls", "c") == ["ca", "cert"]


def test_a_dash_offers_the_flags_of_that_command_alone(script: Path) -> None:
    offered = completed(script, "rostra", "members", "-")
    assert {"-detailed", "-http-addr", "-h"} <= set(offered)
    assert "-data-dir" not in offered
    assert completed(script, "rostra", "agent", "-bootstrap") == ["-bootstrap", "-bootstrap-expect"]
    assert "-observer" in completed(script, "rostra", "catalog", "-")


@pytest.mark.parametrize("words", [("-format", ""), ("-format", "="), ("-detailed", "-format", "=", ""), ("--format", "")])
def test_a_flags_values_are_offered_in_every_spelling(script: Path, words: tuple[str, ...]) -> None:
    assert completed(script, "rostra", "members", *words) == ["pretty", "json"]


def test_files_are_offered_where_files_are_meant(script: Path) -> None:
    assert completed(script, "rostra", "validate", "scr") == ["script"]
    assert completed(script, "rostra", "agent", "-config-file", "scr") == ["script"]
    assert completed(script, "rostra", "members", "scr") == []
    assert completed(script, "rostra", "members", "-status", "scr") == []


def test_every_flag_of_every_command_is_in_every_script(rostra: Rostra) -> None:
    for shell in SHELLS:
        text = rostra("completion", shell).out
        for command in commands():
            assert all(flag.name in text for flag in command.flags)


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_reads_its_script(rostra: Rostra, tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    (tmp_path / "script").write_text(rostra("completion", shell).out)
    done = subprocess.run([shell, "-n", str(tmp_path / "script")], text=True, capture_output=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_shell_or_with_an_unknown_one_the_known_are_named(rostra: Rostra) -> None:
    assert rostra("completion").code == rostra("completion", "bsh").code == exits.FAILED
    assert "bash, zsh, fish" in rostra("completion").err
    assert 'did you mean "bash"?' in rostra("completion", "bsh").err
