"""Services and checks from configuration files, as ``rostra.config`` hands them on: dictionaries in Consul's snake_case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rostra.config.durations import parse_duration
from rostra.local.core import type_of
from rostra.model.catalog import Check, CheckDefinition, HealthStatus, Service, ServiceAddress, Weights

_DURATIONS: Final = ("ttl", "interval", "timeout", "deregister_critical_service_after")
_PLAIN: Final = (
    "success_before_passing",
    "failures_before_critical",
    "failures_before_warning",
    "output_max_size",
)


def service_from_definition(definition: Mapping[str, Any]) -> tuple[Service, list[Check]]:
    """A service with its checks."""
    name = definition.get("name", "")
    weights = definition.get("weights", {})
    tagged = definition.get("tagged_addresses") or {}
    service = Service(
        id=definition.get("id") or name,
        name=name,
        tags=tuple(definition.get("tags", ())),
        address=definition.get("address", ""),
        tagged_addresses={tag: ServiceAddress(each.get("address", ""), each.get("port", 0)) for tag, each in tagged.items()},
        meta=dict(definition.get("meta") or {}),
        port=definition.get("port", 0),
        weights=Weights(weights.get("passing", 1), weights.get("warning", 1)),
        enable_tag_override=definition.get("enable_tag_override", False),
    )
    return service, [check_from_definition(each) for each in definition.get("checks", ())]


def check_from_definition(definition: Mapping[str, Any]) -> Check:
    """A check; one of a service gets its ID and name from there where it has none."""
    fields: dict[str, Any] = {f"{name}_s": parse_duration(definition[name]) for name in _DURATIONS if definition.get(name)}
    fields |= {name: definition[name] for name in _PLAIN if name in definition}
    how = CheckDefinition(**fields)
    return Check(
        node="",
        check_id=definition.get("id") or definition.get("check_id") or "",
        name=definition.get("name", ""),
        status=HealthStatus(definition.get("status") or "critical"),
        notes=definition.get("notes", ""),
        service_id=definition.get("service_id", ""),
        type=type_of(how),
        definition=how,
    )
