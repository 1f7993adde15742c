"""The table: every flag, environment variable and configuration key that Consul or rostra knows, in groups as people read them."""

from __future__ import annotations

from collections.abc import Mapping

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

__all__ = ["DEFINITION_FIELDS", "FLAGS", "GROUPS", "SETTINGS", "VARIABLES", "Key", "Standing", "is_table"]


def is_table(path: str, table: Mapping[str, Key]) -> bool:
    """Whether ``path`` names a table of settings, such as ``dns_config`` or ``dns_config.soa``."""
    return any(known.startswith(path + ".") for known in table)
