"""What can be watched of the catalog (docs/architecture.md, "A read"): topics, and the entries they hold."""

from __future__ import annotations

import enum
from typing import Final, TypeAlias

from msgspec import Struct

from rostra.model.catalog import Check, Node, Service, ServiceInstance, ServiceSummary

SEPARATOR: Final = "\0"
"""Joins the parts of an entry's key, so that keys sort by their parts."""


class TopicKind(enum.IntEnum):
    """What a topic holds; the value is the number in the contract."""

    NODES = 1
    SERVICES = 2
    SERVICE = 3
    NODE = 4
    CHECKS = 5

    __hash__ = object.__hash__  # Enum's own is a Python function, and reads look up by this


class Topic(Struct, frozen=True):
    """A part of the catalog; ``name`` is the service, the node, or the state ("any" for all), and empty for lists."""

    kind: TopicKind
    name: str = ""


NODES: Final = Topic(TopicKind.NODES)
SERVICES: Final = Topic(TopicKind.SERVICES)
ANY_CHECKS: Final = Topic(TopicKind.CHECKS, "any")

Value: TypeAlias = Node | ServiceSummary | ServiceInstance | Service | Check


class Entry(Struct, frozen=True):
    """One thing of a topic. ``index`` is the log index of its last change as this topic shows it; no value: it is gone."""

    key: str
    index: int
    value: Value | None


def node_key(name: str) -> str:
    """Key in ``nodes``. Names are compared without case, so the key is folded."""
    return name.lower()


def instance_key(node: str, service_id: str) -> str:
    """Key in ``service:NAME``."""
    return f"{node}{SEPARATOR}{service_id}"


def check_key(node: str, check_id: str) -> str:
    """Key in ``checks:STATE``."""
    return f"{node}{SEPARATOR}{check_id}"


NODE_ENTRY_KEY: Final = "node"
"""Key of the node itself in ``node:NAME``; order in that topic is check, node, service."""


def node_service_key(service_id: str) -> str:
    """Key of a service in ``node:NAME``."""
    return f"service{SEPARATOR}{service_id}"


def node_check_key(check_id: str) -> str:
    """Key of a check in ``node:NAME``."""
    return f"check{SEPARATOR}{check_id}"
