"""What a reload may change, and what needs a restart."""

from __future__ import annotations

from typing import NamedTuple

from rostra.config.keys import SETTINGS
from rostra.config.load import Loaded


class Changes(NamedTuple):
    """The configuration paths whose effective value differs."""

    reloadable: tuple[str, ...]
    refused: tuple[str, ...]
    """These keep their old value until a restart; say so by name."""


def changes(old: Loaded, new: Loaded) -> Changes:
    """Compare two configurations of one process."""
    changed = [path for path in SETTINGS if old.values[path] != new.values[path]]
    return Changes(
        tuple(path for path in changed if SETTINGS[path].reloadable),
        tuple(path for path in changed if not SETTINGS[path].reloadable),
    )
