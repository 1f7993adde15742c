"""What the sources of configuration said, before it is merged: one ``Given`` a value, each with its origin."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from rostra.config.key import Key, Standing, Value


@dataclass(frozen=True, slots=True)
class Given:
    """One value from one place. ``origin`` is the culprit in a message: ``agent.hcl:12``, ``-dns-port``, ``ROSTRA_NODE_NAME``."""

    key: Key
    value: Value
    origin: str


@dataclass(slots=True)
class Findings:
    """Everything found while reading: values, problems and warnings, in the order in which they were found."""

    given: list[Given] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    bad_paths: set[str] = field(default_factory=set)
    """Settings whose value could not be read: nobody should be told as well that they are missing."""
    is_partial: bool = False
    """Whether a whole file could not be read, so that absence means nothing."""
    judges: bool = True
    """Whether the standing of keys counts: not for a command that hands what it read to another agent, which judges for itself."""

    def problem(self, origin: str, message: str) -> None:
        """Report one; the start will be refused."""
        line = f"{origin}: {message}"
        if line not in self.problems:
            self.problems.append(line)

    def warn(self, origin: str, message: str) -> None:
        """Report what the operator should know although the start goes on."""
        line = f"{origin}: {message}"
        if line not in self.warnings:
            self.warnings.append(line)

    def take(self, key: Key, origin: str, read: Callable[[], Value], *, subject: str = "") -> None:
        """Read one value and keep it, unless it is bad or this version refuses it. ``subject`` names the key where the origin does not."""
        prefix = f"{subject}: " if subject else ""
        try:
            value = read()
        except ValueError as error:
            self.bad_paths.add(key.path)
            self.problem(origin, f"{prefix}expected a {key.kind.value}" if key.secret else f"{prefix}{error}")
            return
        if self.passes(key, value, origin, subject=subject):
            self.given.append(Given(key, value, origin))

    def passes(self, key: Key, value: Value, origin: str, *, subject: str = "") -> bool:
        """Judge a value by its key's standing. One that asks for what happens anyway is neither refused nor warned of, unless the
        key is strict."""
        if not self.judges:
            return True
        if key.deprecated:
            self.warn(origin, f"{subject}{' is ' if subject else ''}deprecated: use {key.deprecated}")
        asks_for_default = value == key.default or (not value and not key.default)
        if key.standing is Standing.WORKS or (asks_for_default and not key.strict):
            return True
        note = f": {key.note}" if key.note else ""
        if key.standing is Standing.REFUSED:
            self.bad_paths.add(key.path)
            self.problem(origin, f"{subject}{' is ' if subject else ''}not in this version{note}")
            return False
        self.warn(origin, f"{subject}{' ' if subject else ''}has no effect in this version{note}")
        return True


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """`` (did you mean "..."?)`` with the nearest name, or nothing where none is near."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{prefix}{nearest[0]}"?)' if nearest else ""
