"""The version, in one place: ``pyproject.toml``, ``rostra version``, the gossip tag ``build`` and the banner read it here."""

from typing import Final

VERSION: Final = "0.1.0"
