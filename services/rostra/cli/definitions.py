"""Service definitions in configuration files, as bodies for the API: snake_case keys become the API's CamelCase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rostra.config.files import read_text
from rostra.config.given import Findings
from rostra.errors import BadRequest, ConfigError

ACRONYMS = frozenset({"grpc", "http", "id", "tcp", "tls", "ttl", "udp"})
USERS_KEYS = frozenset({"header", "meta", "tagged_addresses"})
"""Their keys are the user's, not ours to spell."""


def read_services(paths: Sequence[str]) -> list[dict[str, Any]]:
    """The services of all files as registrations, in order. Raises ``ConfigError`` with every problem of every file."""
    findings = Findings()
    for path in paths:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            findings.problem(path, str(getattr(error, "strerror", None) or error).lower())
            continue
        read_text(text, path, "json" if path.endswith(".json") else "hcl", findings)
    if findings.problems:
        raise ConfigError(findings.problems)
    definitions = [definition for given in findings.given if given.key.path in ("service", "services") for definition in given.value]
    if not definitions:
        raise BadRequest(f"no service is defined in {', '.join(paths)}")
    return [_service(definition) for definition in definitions]


def _service(definition: Mapping[str, Any]) -> dict[str, Any]:
    service: dict[str, Any] = _camel(definition)
    for check, written in zip(service.get("Checks", ()), definition.get("checks", ()), strict=True):
        if "id" in written:
            check["CheckID"] = check.pop("ID")
    return service


def _camel(value: Any, *, keys_too: bool = True) -> Any:
    if isinstance(value, Mapping):
        return {_api_name(key) if keys_too else key: _camel(item, keys_too=key not in USERS_KEYS) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_camel(item) for item in value]
    return value


def _api_name(key: str) -> str:
    """``deregister_critical_service_after`` is ``DeregisterCriticalServiceAfter``, ``tls_skip_verify`` is ``TLSSkipVerify``."""
    return "".join(word.upper() if word in ACRONYMS else word.capitalize() for word in key.split("_"))
