"""Service definitions in configuration files, as bodies for the API: snake_case keys become the API's CamelCase.

Only the form is checked here. Which fields and kinds of check it takes is for the agent to say: it may be newer than this program,
or Consul's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rostra.config.document import Node, SyntaxProblem, Table, read_hcl, read_json
from rostra.errors import BadRequest, ConfigError

ACRONYMS = frozenset({"grpc", "http", "id", "tcp", "tls", "ttl", "udp"})
USERS_KEYS = frozenset({"Header", "Meta", "TaggedAddresses"})
"""Fields whose keys are the user's, not ours to spell."""

Registration = dict[str, Any]


def read_services(paths: Sequence[str]) -> list[Registration]:
    """The services of all files as registrations, in order. Raises ``ConfigError`` with every problem of every file."""
    problems: list[str] = []
    services: list[Registration] = []
    for path in paths:
        try:
            services.extend(_services(path, Path(path).read_text(encoding="utf-8"), problems))
        except SyntaxProblem as problem:
            problems.append(f"{path}:{problem.line}:{problem.column}: {problem}")
        except OSError as error:
            problems.append(f"{path}: {(error.strerror or str(error)).lower()}")
        except UnicodeDecodeError:
            problems.append(f"{path}: not UTF-8")
    if problems:
        raise ConfigError(problems)
    if not services:
        raise BadRequest(f"No service is defined in {', '.join(paths)}: a file has a service or a list of services")
    return services


def _services(path: str, text: str, problems: list[str]) -> Iterator[Registration]:
    document = read_json(text) if path.endswith(".json") else read_hcl(text)
    for key, node in document.entries:
        if key.lower() not in ("service", "services"):
            continue
        for item in _items(node):
            service = _service(item.value) if isinstance(item.value, Table) else {}
            if isinstance(service.get("Name"), str):
                yield service
            else:
                problems.append(f"{path}:{item.line}: a service needs a name")


def _items(node: Node) -> Sequence[Node]:
    return node.value if isinstance(node.value, list) else [node]


def _service(table: Table) -> Registration:
    service: Registration = {}
    for key, node in table.entries:
        name = _api_name(key)
        if name in ("Check", "Checks"):  # one or several, and in HCL one block each
            service.setdefault("Checks", []).extend(_check(item.plain()) for item in _items(node))
        else:
            service[name] = _camel(name, node.plain())
    return service


def _check(definition: Any) -> Any:
    check = _camel("Check", definition)
    if isinstance(check, dict) and "ID" in check:
        check["CheckID"] = check.pop("ID")
    return check


def _camel(name: str, value: Any) -> Any:
    """The value of the field ``name`` with all keys in the API's spelling."""
    if isinstance(value, Mapping):
        are_users = name in USERS_KEYS
        names = {key: key if are_users else _api_name(key) for key in value}
        return {names[key]: _camel("" if are_users else names[key], item) for key, item in value.items()}
    return [_camel(name, item) for item in value] if isinstance(value, list) else value


def _api_name(key: str) -> str:
    """``deregister_critical_service_after`` is ``DeregisterCriticalServiceAfter``, ``tls_skip_verify`` is ``TLSSkipVerify``."""
    return "".join(word.upper() if word.lower() in ACRONYMS else word[:1].upper() + word[1:] for word in key.split("_"))
