"""Every command that README and documentation show is run, and shows what they say. See ``pages/page.py`` for how blocks are marked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .harness.program import Program
from .pages.page import blocks, steps

ROOT = Path(__file__).parents[2]
PLAY = Path(__file__).parent / "pages" / "play.py"
PAGES = sorted(page for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")))
TRANSLATED = {ROOT / "docs" / "tutorial.zh.md": ROOT / "docs" / "tutorial.md"}
PLAYED = [page for page in PAGES if page not in TRANSLATED and any(True for _ in steps(page))]
NAMESPACE = ("unshare", "--user", "--map-root-user", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
LIMIT_S = 600
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
COMMANDS = ("sh", "console", "bash")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def needs(page: Path) -> list[pytest.MarkDecorator]:
    return [pytest.mark.interop(step.name) for step in steps(page) if step.kind == "needs"]


@pytest.mark.process
@pytest.mark.timeout(LIMIT_S + 20)
@pytest.mark.interop("unshare", "nsenter", "ip", "hostname", "curl", "dig")
@pytest.mark.parametrize("page", [pytest.param(page, marks=needs(page), id=named(page)) for page in PLAYED])
def test_a_page_is_true(page: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / ".venv").symlink_to(sys.prefix)
    for name in ("examples", "proto", "docs"):
        (work / name).symlink_to(ROOT / name)
    environment = Program([]).environment_in(tmp_path)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"], "/usr/sbin", "/sbin"])
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("namespaces of our own are not allowed here")
    command = [*NAMESPACE, sys.executable, str(PLAY), str(page), str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]


@pytest.mark.parametrize("page", TRANSLATED, ids=named)
def test_a_translation_tells_to_do_the_same(page: Path) -> None:
    def without_lines(page: Path) -> list[tuple[str, str, str]]:
        return [(step.kind, step.name, step.text) for step in steps(page)]

    assert without_lines(page) == without_lines(TRANSLATED[page])


@pytest.mark.parametrize("page", [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "guides").glob("*.md")], ids=named)
def test_every_command_of_a_page_is_marked(page: Path) -> None:
    """Run, or said why not. README's test command is run by .ci/run."""
    own = "<!-- test -->"
    unmarked = [
        block.line
        for block in blocks(page)
        if block.language in COMMANDS and block.mark is None and own not in page.read_text().splitlines()[block.line - 2]
    ]
    assert unmarked == [], f"{named(page)}: blocks without a mark"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md"], ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    outside = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    missing = [target for target, _ in LINK.findall(outside) if target and not (page.parent / target).exists()]
    assert missing == []
