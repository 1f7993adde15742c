"""One row of the table of settings: what a flag, an environment variable and a configuration key have in common.

The rows themselves are in ``rows/``, one module a group; ``keys`` joins them. A row says everything about its setting, so that
parsing, checking, merging, help and the effective configuration are each written once, for all of them.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Any, TypeAlias

VARIABLE_PREFIX = "ROSTRA_"

Value: TypeAlias = Any
"""A setting's value once read: str, int, float (seconds), bool, tuple, dict or None. ``Settings`` gives it its type."""


class Standing(enum.Enum):
    """What this version does with a setting. Changing one is a one-word edit of its row."""

    WORKS = "works"
    HARMLESS = "harmless"
    """Accepted; one warning says what it does not do."""
    REFUSED = "refused"
    """An error that names it: not in this version."""


class Kind(enum.Enum):
    """How a value is written, and how later values meet earlier ones (``LISTS`` append, ``MAPS`` merge, others replace)."""

    STRING = "string"
    GOSSIP_KEY = "key of 16, 24 or 32 bytes in base64"
    BOOL = "bool"
    INT = "int"
    FLOAT = "number"
    DURATION = "duration"
    PORT = "port"
    ADDRESS = "address"
    ADDRESSES = "addresses"
    LISTEN = "address:port"
    STRINGS = "list"
    HOSTS = "hosts"
    NETWORKS = "networks"
    ROLES = "roles"
    TARGETS = "targets"
    MAP = "map"
    DURATIONS = "map of durations"
    TABLE = "table"
    DEFINITIONS = "definitions"
    LIST = "any list"


LISTS = frozenset({Kind.STRINGS, Kind.HOSTS, Kind.NETWORKS, Kind.DEFINITIONS, Kind.LIST})
MAPS = frozenset({Kind.MAP, Kind.DURATIONS})
DOCUMENT_ONLY = frozenset({Kind.DURATIONS, Kind.TABLE, Kind.DEFINITIONS, Kind.LIST})
"""These have no environment variable: a variable holds one value, or several with commas."""
NO_VARIABLE = frozenset({"hcl"})
"""Flags that are no setting have a variable too, but for ``-hcl``: it would have the last word, over flags."""


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. ``path`` is empty for the flags that are no setting (``-config-file``, ``-dev``, ...)."""

    standing: Standing
    path: str
    kind: Kind
    default: Value
    """Consul's own default, unless ``why`` gives the reason for another."""
    help: str
    flags: tuple[str, ...] = ()
    field: str = ""
    """Where in ``Settings`` the value goes, dotted; empty where nothing reads it."""
    dev: Value = None
    """The default with ``-dev``; None for the same."""
    why: str = ""
    note: str = ""
    """What a harmless setting does not do, or why one is refused."""
    deprecated: str = ""
    """What to use instead."""
    secret: bool = False
    reloadable: bool = False
    strict: bool = False
    """Refused whatever its value: a security setting is never ignored, not even one that asks for nothing."""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def variable(self) -> str:
        """``ROSTRA_`` and the path (or the flag) in upper case, an underscore for everything else; empty where there is none."""
        name = self.path or self.flags[0]
        if self.kind in DOCUMENT_ONLY or name in NO_VARIABLE or name.startswith(("service.", "check.")):
            return ""
        return VARIABLE_PREFIX + re.sub(r"[^A-Z0-9]", "_", name.upper())
