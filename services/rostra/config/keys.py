"""The table: every flag, environment variable and configuration key that Consul or rostra knows, in groups as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rostra.config.key import Key, Standing
from rostra.config.rows.definitions import CHECK, SERVICE
from rostra.config.rows.discovery import DISCOVERY, DNS, QUERIES
from rostra.config.rows.doors import CONSOLE, HTTP, LIMITS, MESH
from rostra.config.rows.identity import ADDRESS_KEYS, IDENTITY, PORTS
from rostra.config.rows.own import ROLES, SOURCES
from rostra.config.rows.security import ACL, TLS
from rostra.config.rows.server import GOSSIP, JOIN, SERVER
from rostra.config.rows.telemetry import LOGS, TELEMETRY

GROUPS: tuple[tuple[str, tuple[Key, ...]], ...] = (
    ("Where settings come from", SOURCES),
    ("Node", IDENTITY),
    ("Server", SERVER),
    ("Joining and leaving", JOIN),
    ("Addresses", ADDRESS_KEYS),
    ("Ports", PORTS),
    ("Roles", ROLES),
    ("Gossip", GOSSIP),
    ("Services and checks", DISCOVERY),
    ("DNS", DNS),
    ("Queries", QUERIES),
    ("Limits", LIMITS),
    ("HTTP", HTTP),
    ("Logs", LOGS),
    ("Telemetry", TELEMETRY),
    ("Access control", ACL),
    ("TLS", TLS),
    ("Console", CONSOLE),
    ("Mesh and the rest", MESH),
)

SETTINGS: Mapping[str, Key] = {key.path: key for _, rows in GROUPS for key in rows if key.path}
"""By configuration path."""

DEFINITION_FIELDS: Mapping[str, Key] = {key.path: key for key in (*SERVICE, *CHECK)}
"""The fields of ``service.`` and ``check.``: not settings of the agent, but each has a standing like one."""

FLAGS: Mapping[str, Key] = {flag: key for _, rows in GROUPS for key in rows for flag in key.flags}
VARIABLES: Mapping[str, Key] = {key.variable: key for _, rows in GROUPS for key in rows if key.variable}

__all__ = ["DEFINITION_FIELDS", "DEFINITION_TABLES", "FLAGS", "GROUPS", "SETTINGS", "SETTING_TABLES", "VARIABLES", "Key", "Standing"]


def _tables_of(keys: Mapping[str, Key]) -> frozenset[str]:
    return frozenset(path[:place] for path in keys for place, character in enumerate(path) if character == ".")


SETTING_TABLES: Final = _tables_of(SETTINGS)
"""Paths of tables of settings, such as ``dns_config`` or ``dns_config.soa``."""

DEFINITION_TABLES: Final = _tables_of(DEFINITION_FIELDS)
"""The same within ``service.`` and ``check.``."""
