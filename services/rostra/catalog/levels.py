"""The level of each kind of command (docs/design/versions.md): what a server must understand before such a one may be in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rostra.v1 import command_pb2

LEVELS: Final[Mapping[str, int]] = {"register": 1, "deregister": 1, "group": 1, "autopilot": 1, "restore": 1}
"""Kind, as the contract calls it, to level. A new kind gets ``COMMAND_LEVEL`` of the version that brings it."""


def level_of(command: command_pb2.Command) -> int:
    """Of a group: that of its newest part."""
    level = LEVELS[command.WhichOneof("kind") or ""]
    return max([level, *(level_of(part) for part in command.group.commands)])
