"""Services and checks from configuration files, as ``rostra.config`` hands them on: dictionaries in Consul's snake_case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rostra.config.durations import parse_duration
from rostra.errors import BadRequest
from rostra.local.core import Definitions
from rostra.local.rules import is_script
from rostra.model.catalog import Check, CheckDefinition, HealthStatus, Service, ServiceAddress, Weights

_DURATIONS: Final = ("ttl", "interval", "timeout", "deregister_critical_service_after")
_PLAIN: Final = (
    "http",
    "method",
    "body",
    "disable_redirects",
    "tcp",
    "tcp_use_tls",
    "udp",
    "grpc",
    "grpc_use_tls",
    "h2ping",
    "tls_server_name",
    "tls_skip_verify",
    "alias_node",
    "alias_service",
    "docker_container_id",
    "shell",
    "os_service",
    "success_before_passing",
    "failures_before_critical",
    "failures_before_warning",
    "output_max_size",
)


def definitions_from(services: Sequence[Mapping[str, Any]], checks: Sequence[Mapping[str, Any]], *, with_scripts: bool) -> Definitions:
    """All that the files define. Raises ``BadRequest`` for a script where none may be run: better no agent than one that does not check
    what it was told to."""
    found = Definitions([service_from_definition(each) for each in services], [check_from_definition(each) for each in checks])
    for check in (*found.checks, *(check for _, of_service in found.services for check in of_service)):
        if is_script(check) and not with_scripts:
            what = check.name or check.check_id or " ".join(check.definition.args)
            raise BadRequest(
                f"check {what!r} is a script, and scripts are disabled on this agent; to enable, configure "
                "'enable_script_checks' or 'enable_local_script_checks' to true",
                field="check.args",
            )
    return found


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
    fields["args"] = tuple(definition.get("args", ()))
    fields["header"] = {name: _values(value) for name, value in (definition.get("header") or {}).items()}
    fields["h2ping_plaintext"] = bool(definition.get("h2ping")) and not definition.get("h2ping_use_tls", True)
    return Check(
        node="",
        check_id=definition.get("id") or definition.get("check_id") or "",
        name=definition.get("name", ""),
        status=HealthStatus(definition.get("status") or "critical"),
        notes=definition.get("notes", ""),
        service_id=definition.get("service_id", ""),
        definition=CheckDefinition(**fields),
    )


def _values(value: object) -> tuple[str, ...]:
    """The values of a header, which is a list even where there is one."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise BadRequest("check.header: expected a list of strings for each header", field="check.header")
