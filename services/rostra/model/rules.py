"""What every door refuses before a command is proposed. The texts are Consul 1.8.7's where it refuses the same.

Consul checks the metadata of services but not that of externally registered nodes, and takes any port: here the
documented limits (https://developer.hashicorp.com/consul/docs/agent/config/config-files#node_meta) hold at every door.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from rostra.errors import BadRequest
from rostra.model.autopilot import AutopilotChange
from rostra.model.catalog import NO_DEFINITION, Check, CheckDefinition, Command, CommandGroup, Deregistration, Node, Registration, Service
from rostra.model.topics import SEPARATOR

MAX_NAME_LENGTH: Final = 1024
"""Characters of a name or ID; Consul knows no limit, but a name lives in every message about its bearer."""
MAX_META_PAIRS: Final = 64
MAX_META_KEY_LENGTH: Final = 128
MAX_META_VALUE_LENGTH: Final = 512
MAX_PORT: Final = 65535
MAX_WEIGHT: Final = 65535
MAX_DURATION_S: Final = 10 * 365 * 86400.0
"""Of an interval or time-out: more is a mistake, and the longest that a message can hold does not survive being read and written."""
MAX_GROUP: Final = 1024
"""Commands in a group."""

UUID_LENGTH: Final = 36
_DASHES: Final = (8, 13, 18, 23)
_META_KEY = re.compile(r"[a-zA-Z0-9_-]+")
_ANY_ADDRESSES: Final = frozenset({"0.0.0.0", "::", "[::]"})  # noqa: S104 (these are refused, not bound)


def check_command(command: Command) -> None:
    """Raises ``BadRequest`` naming the field for what no catalog would take, whatever it holds."""
    match command:
        case Registration():
            check_registration(command)
        case Deregistration():
            check_deregistration(command)
        case CommandGroup():
            if len(command.commands) > MAX_GROUP:
                raise BadRequest(f"A group holds at most {MAX_GROUP} commands", field="group")
            for part in command.commands:
                check_command(part)
        case AutopilotChange():
            _check_duration(command.configuration.last_contact_threshold_s, "LastContactThreshold")
            _check_duration(command.configuration.server_stabilization_time_s, "ServerStabilizationTime")


def check_registration(registration: Registration) -> None:
    """A node with a name and, unless it is only referred to, an address; what is on it well-formed."""
    node = registration.node
    if not node.name:
        raise BadRequest("Must provide node", field="Node")
    if not node.address and not registration.skip_node_update:
        raise BadRequest("Must provide address if SkipNodeUpdate is not set", field="Address")
    _check_name(node.name, "Node")
    _check_name(node.address, "Address")
    check_node_id(node)
    _check_meta(node.meta, f"Invalid Node Meta for node {node.name}", "NodeMeta")
    check_what_is_on(node.name, registration.service, registration.checks)


def check_what_is_on(node: str, service: Service | None, checks: Iterable[Check]) -> None:
    """A service of that node, and checks of it or of its services."""
    if service is not None:
        _check_service(node, service)
    for check in checks:
        _check_check(node, check)


def check_deregistration(removal: Deregistration) -> None:
    """A node must be named; whether it exists does not matter."""
    if not removal.node:
        raise BadRequest("Must provide node", field="Node")


def check_node_id(node: Node) -> None:
    """A node ID is empty or a UUID in its usual form; its letters may be of either case."""
    if not node.id:
        return
    letters = node.id.encode()
    if len(letters) != UUID_LENGTH:
        raise BadRequest("Bad node ID: uuid string is wrong length", field="ID")
    if any(letters[place] != ord("-") for place in _DASHES):
        raise BadRequest("Bad node ID: uuid is improperly formatted", field="ID")
    for place, letter in enumerate(letters):
        if place not in _DASHES and letter not in b"0123456789abcdefABCDEF":
            raise BadRequest(f"Bad node ID: encoding/hex: invalid byte: U+{letter:04X} {chr(letter)!r}", field="ID")


def check_service_meta(meta: Mapping[str, str], about: str) -> None:
    """``about`` begins the text of a refusal."""
    _check_meta(meta, about, "Service.Meta", reserved="consul-")


def _check_service(node: str, service: Service) -> None:
    if not service.name:
        raise BadRequest("Must provide service name with ID" if service.id else "Must provide service name", field="Service.Service")
    _check_name(service.name, "Service.Service")
    _check_name(service.id, "Service.ID")
    if service.address in _ANY_ADDRESSES:
        raise BadRequest("Invalid service address", field="Service.Address")
    _check_port(service.port, "Service.Port")
    for tag, place in service.tagged_addresses.items():
        _check_port(place.port, f"Service.TaggedAddresses[{tag}].Port")
    check_service_meta(service.meta, f"failed inserting service: Invalid Service Meta for node {node} and serviceID {service.id}")


def _check_check(node: str, check: Check) -> None:
    if check.node and check.node != node:
        raise BadRequest(f'check node "{check.node}" does not match node "{node}"', field="Check.Node")
    if not check.check_id and not check.name:
        raise BadRequest(f'Must provide a check ID or a name for each check on node "{node}"', field="Check.CheckID")
    _check_name(check.check_id, "Check.CheckID")
    _check_name(check.name, "Check.Name")
    _check_definition(check.definition)


def _check_definition(definition: CheckDefinition) -> None:
    if definition is NO_DEFINITION:
        return
    _check_duration(definition.ttl_s, "Check.TTL")
    _check_duration(definition.interval_s, "Check.Interval")
    _check_duration(definition.timeout_s, "Check.Timeout")
    _check_duration(definition.deregister_critical_service_after_s, "Check.DeregisterCriticalServiceAfter")


def _check_name(name: str, field: str) -> None:
    if len(name) > MAX_NAME_LENGTH:
        raise BadRequest(f"{field} is too long (limit: {MAX_NAME_LENGTH} characters)", field=field)
    if SEPARATOR in name:
        raise BadRequest(f"{field} contains a NUL character", field=field)


def _check_port(port: int, field: str) -> None:
    if not 0 <= port <= MAX_PORT:
        raise BadRequest(f"{field} {port} is not a port (0 to {MAX_PORT})", field=field)


def _check_duration(seconds: float, field: str) -> None:
    if not 0 <= seconds <= MAX_DURATION_S:
        raise BadRequest(f"{field} is negative or longer than ten years", field=field)


def _check_meta(meta: Mapping[str, str], about: str, field: str, *, reserved: str = "") -> None:
    if len(meta) > MAX_META_PAIRS:
        raise BadRequest(f"{about}: Node metadata cannot contain more than {MAX_META_PAIRS} key/value pairs", field=field)
    for key, value in meta.items():
        if problem := _meta_problem(key, value, reserved):
            raise BadRequest(f"{about}: Couldn't load metadata pair ('{key}', '{value}'): {problem}", field=field)


def _meta_problem(key: str, value: str, reserved: str) -> str:
    if not key:
        return "Key cannot be blank"
    if not _META_KEY.fullmatch(key):
        return "Key contains invalid characters"
    if len(key) > MAX_META_KEY_LENGTH:
        return f"Key is too long (limit: {MAX_META_KEY_LENGTH} characters)"
    if reserved and key.startswith(reserved):
        return f"Key prefix '{reserved}' is reserved for internal use"
    if len(value) > MAX_META_VALUE_LENGTH:
        return f"Value is too long (limit: {MAX_META_VALUE_LENGTH} characters)"
    return ""
