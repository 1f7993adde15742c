"""The version, in one place: ``pyproject.toml``, ``rostra version``, the gossip tag ``build`` and the banner read it here."""

from typing import Final

VERSION: Final = "0.1.0"

COMMAND_LEVEL: Final = 1
"""The newest level of commands in the replicated log that this version understands (docs/design/versions.md)."""
