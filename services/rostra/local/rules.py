"""What a check must be like, and the names it gets, as Consul has them (https://developer.hashicorp.com/consul/api-docs/agent/check)."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from msgspec.structs import replace

from rostra.errors import BadRequest
from rostra.model.catalog import Check, CheckDefinition, Service, ServiceAddress

KINDS: Final = ("docker_container_id", "args", "http", "tcp", "udp", "grpc", "h2ping", "ttl_s", "alias_node", "alias_service", "os_service")
TYPES: Final = {"docker_container_id": "docker", "args": "script", "ttl_s": "ttl", "alias_node": "alias", "alias_service": "alias"}
"""The check's type in Consul's words, where it is not the name of the field."""

INTERVAL_MIN_S: Final = 1.0
"""A shorter interval is taken as this, as by Consul."""
DEREGISTER_MIN_S: Final = 60.0
"""Likewise the time after which a critical service is deregistered."""
MAX_TOLD_BYTES: Final = 448 * 1024
"""Of what the catalog is told at once: a command may have 512 KiB, and the node with its metadata goes along."""
SCRIPTS_OFF: Final = "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"


def name_checks(service: Service, checks: Sequence[Check]) -> list[Check]:
    """Gives a service's checks the IDs and names that Consul gives: ``service:ID``, or ``service:ID:1`` … when there are several."""
    named = []
    for number, check in enumerate(checks, start=1):
        default = f"service:{service.id}" if len(checks) == 1 else f"service:{service.id}:{number}"
        name = check.name or f"Service '{service.name}' check"
        named.append(replace(check, check_id=check.check_id or default, name=name, service_id=service.id))
    return named


def told_bytes(value: Service | Check) -> int:
    """What it takes of a command, rather too much than too little."""
    match value:
        case Service():
            parts = [value.id, value.name, value.kind, value.address, value.socket_path, *value.tags, *value.meta, *value.meta.values()]
            parts += [text for tag, place in value.tagged_addresses.items() for text in (tag, place.address)]
        case Check():
            parts = [value.node, value.check_id, value.name, value.notes, value.output, value.service_id, value.service_name, value.type]
    return 64 + sum(len(part.encode()) + 16 for part in parts)


def check_size(service: Service | None, checks: Sequence[Check], output_bytes: int) -> None:
    """Raises ``BadRequest`` for what is too large for the catalog ever to be told, with that much output for each check."""
    if service is not None and (size := told_bytes(service)) > MAX_TOLD_BYTES:
        raise BadRequest(f"the service takes {size} bytes; at most {MAX_TOLD_BYTES} are allowed", field="Service")
    for check in checks:
        if (size := told_bytes(check) + output_bytes) > MAX_TOLD_BYTES:
            raise BadRequest(f"the check with its output takes {size} bytes; at most {MAX_TOLD_BYTES} are allowed", field="Check.Notes")


def with_tagged_addresses(service: Service) -> Service:
    """The service with its IP address under the names ``lan_ipv4`` and ``wan_ipv4`` (or ``…6``) too, unless they are given.
    Raises ``BadRequest`` for the address that means any."""
    try:
        address = ip_address(service.address.strip("[]"))
    except ValueError:  # a host name, or none: its node's
        return service
    if address.is_unspecified:
        raise BadRequest("Invalid service address", field="Address")
    version = address.version
    own = ServiceAddress(service.address, service.port)
    return replace(service, tagged_addresses={f"lan_ipv{version}": own, f"wan_ipv{version}": own, **service.tagged_addresses})


def kinds_of(definition: CheckDefinition) -> list[str]:
    """The kinds whose fields are set; a container's script and an alias of a service on a node count as one."""
    kinds = [kind for kind in KINDS if getattr(definition, kind)]
    if "docker_container_id" in kinds and "args" in kinds:
        kinds.remove("args")
    if "alias_service" in kinds and "alias_node" in kinds:
        kinds.remove("alias_node")
    return kinds


def validated(check: Check) -> Check:
    """The check with times that are too short lengthened. Raises ``BadRequest`` unless it is of exactly one kind and has what that
    kind needs."""
    definition = check.definition
    kinds = kinds_of(definition)
    for field in ("ttl", "interval", "timeout", "deregister_critical_service_after"):
        if getattr(definition, f"{field}_s") < 0:
            raise BadRequest(f"{field} must not be negative", field=field)
    if kinds == ["ttl_s"] and definition.interval_s:
        raise BadRequest("Interval and TTL cannot both be specified", field="TTL")
    if len(kinds) != 1:
        found = ", ".join(kinds) or "none"
        raise BadRequest(f"a check is of exactly one kind (found: {found}); TTL must be > 0 for TTL checks", field="Check")
    is_run = kinds[0] not in ("ttl_s", "alias_node", "alias_service")
    if is_run and definition.interval_s <= 0:
        raise BadRequest("Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks", field="Interval")
    if kinds == ["docker_container_id"] and not definition.args:
        raise BadRequest("Args must be given for Docker checks", field="Args")
    interval_s = max(definition.interval_s, INTERVAL_MIN_S) if is_run else definition.interval_s
    after_s = definition.deregister_critical_service_after_s
    lengthened = replace(
        definition, interval_s=interval_s, deregister_critical_service_after_s=max(after_s, DEREGISTER_MIN_S) if after_s else 0.0
    )
    return replace(check, definition=lengthened, type=type_of(definition))


def type_of(definition: CheckDefinition) -> str:
    """The check's type in Consul's words; empty where there is none."""
    kind = next((kind for kind in KINDS if getattr(definition, kind)), "")
    return TYPES.get(kind, kind)


def is_script(check: Check) -> bool:
    """Whether it runs a program of the caller's choosing, here or in a container."""
    return bool(check.definition.args or check.definition.docker_container_id)
