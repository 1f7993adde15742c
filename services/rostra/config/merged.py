"""The values of all sources laid over each other: lists append, maps merge, everything else is replaced by the later."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from rostra.config.given import Given
from rostra.config.key import LISTS, MAPS, Key, Value
from rostra.config.keys import SETTINGS

DEFAULT, DEV = "default", "-dev"


@dataclass(slots=True)
class Merged:
    """Each setting's value by path, and where it came from. ``given`` holds the paths that somebody set."""

    values: dict[str, Value]
    origins: dict[str, str]
    given: set[str] = field(default_factory=set)

    def derive(self, path: str, value: Value, origin: str) -> None:
        """Fill in what follows from other settings or from the machine."""
        self.values[path], self.origins[path] = value, origin

    def origin(self, path: str) -> str:
        """The culprit to name for this setting: where it was given, or its flag, or its path."""
        if path in self.given:
            return self.origins[path].rpartition(", ")[2]
        flags = SETTINGS[path].flags
        return f"-{flags[0]}" if flags else path


def merge(given: Sequence[Given], *, is_dev: bool) -> Merged:
    """Lay ``given``, which is in the order of precedence, over the defaults."""
    merged = Merged({}, {})
    for path, key in SETTINGS.items():
        has_dev_default = is_dev and key.dev is not None
        merged.derive(path, key.dev if has_dev_default else copy.copy(key.default), DEV if has_dev_default else DEFAULT)
    for one in given:
        _lay(merged, one.key, one)
    return merged


def _lay(merged: Merged, key: Key, one: Given) -> None:
    path, before = key.path, merged.values[key.path]
    appends = path in merged.given and (key.kind in LISTS or key.kind in MAPS)
    if not appends:
        value, origin = one.value, one.origin
    else:
        value = {**before, **one.value} if key.kind in MAPS else (*before, *one.value)
        origin = f"{merged.origins[path]}, {one.origin}" if one.origin not in merged.origins[path].split(", ") else merged.origins[path]
    merged.derive(path, value, origin)
    merged.given.add(path)
