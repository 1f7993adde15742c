"""Checks that the contracts still speak with those of the last tag: ``python proto/breaking.py [REPOSITORY]``.

The rules are ``breaking`` in buf.yaml. Exit code 0: nothing is broken, or there is no tag yet; else buf's, with every break named.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def last_tag(repository: Path) -> str:
    """The newest tag among the ancestors of what is checked out; empty when there is none."""
    found = subprocess.run(["git", "-C", str(repository), "describe", "--tags", "--abbrev=0"], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def main(repository: Path) -> int:
    tag = last_tag(repository)
    if not tag:
        print("no tag yet: nothing to compare with")
        return 0
    print(f"compared with {tag}")
    against = f"{repository}/.git#tag={tag},subdir=proto"
    return subprocess.run(["buf", "breaking", str(repository / "proto"), "--against", against], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]))
