"""The version before this one, out of the repository: its last tag, or, while there is none, the last state that was given out."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Final

from ..harness.program import Program

ROOT: Final = Path(__file__).parents[3]
SOURCES: Final = ("services", "gateway", "proto")
BEFORE_ANY_TAG: Final = "6218455"
"""Of those before it, an agent that stops loses what is on its way on a kept connection: no test of the new one."""
START: Final = (
    "import sys; sys.path[:] = [path for path in sys.path if path not in {ours!r}]; from rostra.cli.main import main; sys.exit(main())"
)
LIMIT_S: Final = 60.0


class NoHistory(Exception):
    """Why there is no version before this one here."""


def last_version() -> str:
    """The name of the last tag that HEAD has behind it, or of a commit. Raises ``NoHistory``."""
    described = _git("describe", "--tags", "--abbrev=0", "HEAD")
    name = described.stdout.decode().strip() if described.returncode == 0 else BEFORE_ANY_TAG
    if _git("cat-file", "-e", f"{name}^{{commit}}").returncode != 0:
        raise NoHistory(f"{name} is not in this repository, or there is none")
    return name


def program_of(version: str, folder: Path) -> Program:
    """Its code, unpacked in ``folder``, run by this interpreter with the libraries that are here."""
    archive = _git("archive", version, *SOURCES)
    assert archive.returncode == 0, archive.stderr.decode()
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(folder)
    ours = [str(ROOT / source) for source in SOURCES]
    path = ":".join(str(folder / source) for source in SOURCES)
    return Program([sys.executable, "-c", START.format(ours=ours)], {"PYTHONPATH": path})


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, timeout=LIMIT_S, check=False)
    except FileNotFoundError:
        raise NoHistory("git is not here") from None
