"""How rostra is started here: the installed command, or the modules of the source roots; never with the tests' own environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import rostra

from .pressure import stretched

COMMAND_LIMIT_S = 20.0
BYTECODE = Path(__file__).parents[3] / ".pytest_cache" / "bytecode"
"""Shared by all processes of all runs: compiling rostra takes longer than starting it."""


@dataclass(frozen=True)
class Program:
    """A command line, and the environment that it needs."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)

    def environment_in(self, folder: Path) -> dict[str, str]:
        """A clean environment whose home and scratch folders are in ``folder``, so that a file made there is seen."""
        for name in ("home", "tmp", "work"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
            "PYTHONPYCACHEPREFIX": str(BYTECODE),
            **self.environment,
        }

    def run(self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Runs to its end; the exit code is the caller's to judge."""
        environment = {**self.environment_in(folder), **(env or {})}
        return subprocess.run(
            [*self.command, *arguments],
            env=environment,
            cwd=folder / "work",
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=stretched(COMMAND_LIMIT_S),
            check=False,
        )


def this_rostra() -> Program:
    """The rostra that these tests import: its command where it is installed, else its modules."""
    script = Path(sys.executable).parent / "rostra"
    if script.exists():
        return Program([str(script)])
    roots = dict.fromkeys(str(Path(entry).parent) for entry in rostra.__path__)
    start = "import sys; from rostra.cli.main import main; sys.exit(main())"
    return Program([sys.executable, "-c", start], {"PYTHONPATH": os.pathsep.join(roots)})
