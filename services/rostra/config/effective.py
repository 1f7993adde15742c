"""The effective configuration, for people (a line a setting, with its origin) and for programs (JSON); secrets are masked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rostra.config.durations import format_duration
from rostra.config.key import Key, Kind, Standing, Value
from rostra.config.keys import GROUPS, SETTINGS
from rostra.config.load import Loaded

MASK = "(hidden)"
_ORIGIN_COLUMN = 60
_USER_OF_URL = re.compile(r"(?<=://)[^/@\s]+@")


def as_text(loaded: Loaded) -> str:
    """Each setting that works, or that somebody gave, as ``key = value  # origin``, in the groups of the help text."""
    sections = []
    for title, rows in GROUPS:
        lines = [_line(key, loaded) for key in rows if _is_shown(key, loaded)]
        if lines:
            sections.append("\n".join([f"# {title}", *lines]))
    return "\n\n".join(sections) + "\n"


def as_json(loaded: Loaded) -> str:
    """The same settings as one JSON object, nested as in a configuration file that would give them."""
    document: dict[str, Any] = {}
    for path, key in SETTINGS.items():
        if _is_shown(key, loaded):
            *tables, name = path.split(".")
            table = document
            for part in tables:
                table = table.setdefault(part, {})
            table[name] = _written(key, loaded.values[path])
    return json.dumps(document, indent=2) + "\n"


def _is_shown(key: Key, loaded: Loaded) -> bool:
    return bool(key.path) and (key.path in loaded.given or key.standing is Standing.WORKS)


def _line(key: Key, loaded: Loaded) -> str:
    setting = f"{key.path} = {json.dumps(_written(key, loaded.values[key.path]), ensure_ascii=False)}"
    return f"{setting:<{_ORIGIN_COLUMN}}  # {loaded.origins[key.path]}"


def _written(key: Key, value: Value) -> Value:
    """A value as a configuration file spells it."""
    if key.secret:
        return MASK if value else ""
    if key.kind is Kind.DEFINITIONS:
        return _without_secrets(value)
    if key.kind is Kind.DURATION:
        return format_duration(value)
    if key.kind is Kind.DURATIONS:
        return {name: format_duration(seconds) for name, seconds in value.items()}
    if key.kind is Kind.ADDRESSES:
        return " ".join(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _without_secrets(value: Any, name: str = "") -> Any:
    """Definitions as they were given, but for what may let somebody in: values of headers, bodies, and the user in a URL."""
    match value:
        case Mapping() if name == "header":
            return {key: [MASK] for key in value}
        case Mapping():
            return {field: _without_secrets(inner, field) for field, inner in value.items()}
        case list() | tuple():
            return [_without_secrets(inner) for inner in value]
        case str() if name == "body" and value:
            return MASK
        case str():
            return _USER_OF_URL.sub(f"{MASK}@", value)
        case _:
            return value
