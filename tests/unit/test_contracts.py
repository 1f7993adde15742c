"""Rules about the contracts: complete, and never broken for those who speak an earlier version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROTO = Path(__file__).parents[2] / "proto"
FILES = sorted((PROTO / "rostra" / "v1").glob("*.proto"))
EMPTY = re.compile(r"// (\w+) ([^\n]*)\n(?://[^\n]*\n)*message \1 \{\s*\}")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_message_is_empty_only_as_a_request_without_parameters_or_a_bare_success(file: Path) -> None:
    text = file.read_text()
    empty = re.findall(r"message (\w+) \{\s*\}", text)
    explained = dict(EMPTY.findall(text))
    for name in empty:
        says = explained.get(name, "")
        assert says.startswith(("has no parameters", "says that")), f"{name}: {says!r}"


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """A repository with our contracts, as of the tag ``v1``."""
    shutil.copytree(PROTO, tmp_path / "proto", ignore=shutil.ignore_patterns("*.py", "*.pyi", "__pycache__"))
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "proto"], ["commit", "-q", "-m", "first"], ["tag", "v1"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    return tmp_path


def breaking(repository: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
    command = [sys.executable, str(PROTO / "breaking.py"), str(repository)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_a_contract_that_breaks_the_last_tag_is_refused_and_one_that_adds_is_not(tagged: Path) -> None:
    file = tagged / "proto" / "rostra" / "v1" / "common.proto"
    text = file.read_text()
    added = text.replace("message Hello {", "message Hello {\n  // New.\n  string new = 99;")
    file.write_text(added)
    done = breaking(tagged)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "compared with v1" in done.stdout
    file.write_text(re.sub(r"  // Datacenter, for example[^\n]*\n  string datacenter = 3;\n", "", text))
    done = breaking(tagged)
    assert done.returncode != 0
    assert "datacenter" in done.stdout + done.stderr


def test_without_a_tag_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    done = breaking(tmp_path)
    assert (done.returncode, done.stdout) == (0, "no tag yet: nothing to compare with\n")
