"""Services and checks in configuration files: known fields, right types, one kind of check. They become plain dictionaries in Consul's
snake_case, durations still as text, for the role ``local`` to register."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from rostra.config.document import Node, Table
from rostra.config.given import Findings, did_you_mean
from rostra.config.key import Key, Kind, Value
from rostra.config.keys import DEFINITION_FIELDS, DEFINITION_TABLES
from rostra.config.rows.definitions import CHECK_KINDS
from rostra.config.values import described, from_document, shown

Definition = dict[str, Any]
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_TAGGED = "tagged_addresses"


def read_definitions(key: Key, node: Node, file: str, findings: Findings) -> tuple[Definition, ...]:
    """The services or checks of one entry: ``service`` and ``check`` hold one, ``services`` and ``checks`` several."""
    what = "service" if key.name.startswith("service") else "check"
    nodes = node.value if isinstance(node.value, list) else [node]
    found = []
    for item in nodes:
        if not isinstance(item.value, Table):
            findings.problem(f"{file}:{item.line}", f"{key.path}: expected a table, not {described(item.plain())}")
            continue
        problem_count = len(findings.problems)
        definition = _read(f"{what}.", item.value, file, findings)
        if len(findings.problems) == problem_count:
            check = _check_service if what == "service" else _check_check
            check(definition, f"{file}:{item.line}", findings)
        found.append(definition)
    return tuple(found)


def _squashed(name: str) -> str:
    """``DeregisterCriticalServiceAfter`` and ``deregister_critical_service_after`` are one."""
    return name.replace("_", "").lower()


@functools.cache
def _known_below(prefix: str) -> Mapping[str, str]:
    """The names of fields, by how they may be written."""
    names = (path[len(prefix) :].partition(".")[0] for path in DEFINITION_FIELDS if path.startswith(prefix))
    return {_squashed(name): name for name in names}


def _read(prefix: str, table: Table, file: str, findings: Findings) -> Definition:
    """The fields below ``prefix``, each judged by its own standing."""
    known = _known_below(prefix)
    definition: Definition = {}
    for written, node in table.entries:
        origin = f"{file}:{node.line}"
        field = known.get(_squashed(written))
        if field is None:
            findings.problem(origin, f"unknown key {shown(prefix + written)}{did_you_mean(written.lower(), known.values(), prefix=prefix)}")
        elif (path := prefix + field) in DEFINITION_TABLES:
            if isinstance(node.value, Table):
                definition.setdefault(field, {}).update(_read(f"{path}.", node.value, file, findings))
            else:
                findings.problem(origin, f"{path}: expected a table, not {described(node.plain())}")
        elif (key := DEFINITION_FIELDS[path]).kind is Kind.DEFINITIONS:
            definition.setdefault("checks", []).extend(read_definitions(key, node, file, findings))
        else:
            value = _read_field(key, node, origin, findings)
            if value is not None:
                definition[_canonical(field)] = value
    return definition


def _canonical(field: str) -> str:
    return {"check_id": "id", "script_args": "args"}.get(field, field)


def _read_field(key: Key, node: Node, origin: str, findings: Findings) -> Value:
    plain = node.plain()
    try:
        value = from_document(key, plain)
    except ValueError as error:
        findings.problem(origin, f"{key.path}: {error}")
        return None
    findings.passes(key, value, origin, subject=key.path)
    if key.kind is Kind.DURATION:
        return plain
    return list(value) if isinstance(value, tuple) else value


def _check_service(service: Definition, origin: str, findings: Findings) -> None:
    name = service.get("name", "")
    if not name:
        findings.problem(origin, "a service needs a name")
    elif not _LABEL.fullmatch(name):
        findings.warn(origin, f"service {shown(name)} cannot be looked up by DNS: a label has letters, digits and dashes, at most 63")
    for tag in service.get("tags", ()):
        if not _LABEL.fullmatch(tag):
            findings.warn(origin, f"tag {shown(tag)} of service {shown(name)} cannot be looked up by DNS")
    for label, address in service.get(_TAGGED, {}).items():
        names = {field.lower() for field in address} if isinstance(address, dict) else {""}
        if not names <= {"address", "port"}:
            findings.problem(origin, f"service.{_TAGGED}.{label}: expected a table of address and port")


def _check_check(check: Definition, origin: str, findings: Findings) -> None:
    label = check.get("name") or check.get("id") or "a check"
    kinds = [kind for kind in CHECK_KINDS if check.get(kind)]
    if "docker_container_id" in kinds and "args" in kinds:
        kinds.remove("args")
    if "alias_service" in kinds and "alias_node" in kinds:
        kinds.remove("alias_node")
    if len(kinds) != 1:
        findings.problem(
            origin, f"{label} needs exactly one of {', '.join(CHECK_KINDS)}" + (f", not {' and '.join(kinds)}" if kinds else "")
        )
    elif kinds == ["ttl"] and check.get("interval"):
        findings.problem(origin, f"{label} has a ttl and an interval: it is either told its state or run")
    elif kinds[0] not in ("ttl", "alias_service", "alias_node") and not check.get("interval"):
        findings.problem(origin, f"{label} needs an interval")
