"""Flags and variables. Flags are read as Go's ``flag`` package does, which Consul uses: ``-flag value``, ``-flag=value``, with one dash
or two. A bool takes a value only after ``=``. ``--`` and the first argument that is no flag end the flags; the agent takes no others."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rostra.config.given import Findings, did_you_mean
from rostra.config.key import VARIABLE_PREFIX, Key, Kind
from rostra.config.keys import FLAGS, VARIABLES
from rostra.config.values import from_text, list_from_text, render, shown

HELP = frozenset({"-h", "-help", "--h", "--help"})


@dataclass(frozen=True, slots=True)
class Flag:
    """One use of a flag or a variable: ``name`` as it was written; ``text`` is its value, ``true`` for a bool flag without one."""

    key: Key
    name: str
    text: str


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether help is asked for anywhere in the arguments."""
    return any(argument in HELP for argument in argv)


def split_flags(argv: Sequence[str], findings: Findings) -> list[Flag]:
    """The flags in ``argv`` in order; what is none of ours becomes a problem, and the rest is still read."""
    flags = []
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        if argument == "--" or not argument.startswith("-") or argument == "-":
            extra = rest[:1] if argument == "--" else [argument]
            if extra:
                findings.problem(shown(extra[0]), "unexpected argument: the agent takes flags only")
            break
        name, equals, text = argument.partition("=")
        key = FLAGS.get(name.removeprefix("-").removeprefix("-"))
        if key is None:
            hint = did_you_mean(name.lstrip("-"), FLAGS, prefix="-")
            findings.problem(name, f"unknown flag{hint or '; -h lists all'}")
            if not equals and rest and not rest[0].startswith("-"):
                rest.pop(0)  # most likely its value
        elif equals:
            flags.append(Flag(key, name, text))
        elif key.kind is Kind.BOOL:
            flags.append(Flag(key, name, "true"))
        elif rest:
            flags.append(Flag(key, name, rest.pop(0)))
        else:
            findings.problem(name, f"needs a value ({key.kind.value})")
    return flags


def split_variables(environ: Mapping[str, str], findings: Findings) -> tuple[list[Flag], list[Flag]]:
    """The ``ROSTRA_`` variables that are not empty (container platforms hand on empty ones for what nobody set): those that say where
    settings come from, and the settings."""
    sources, settings = [], []
    for name in sorted(environ):
        text = environ[name]
        if not name.startswith(VARIABLE_PREFIX) or not text:
            continue
        key = VARIABLES.get(name)
        if key is None:
            findings.warn(name, f"this variable is not known{did_you_mean(name, VARIABLES)}")
        elif key.path:
            settings.append(Flag(key, name, text))
        else:
            parts = text.split(",") if key.kind is Kind.STRINGS else [text]
            sources += [Flag(key, name, part.strip()) for part in parts]
    return sources, settings


def read_variables(variables: Sequence[Flag], findings: Findings) -> None:
    """Take the value of each variable."""
    for variable in variables:
        findings.take(variable.key, variable.name, functools.partial(list_from_text, variable.key, variable.text))


def read_flags(flags: Sequence[Flag], findings: Findings) -> None:
    """Take the value of each flag that is a setting."""
    for flag in flags:
        if flag.key.path:
            findings.take(flag.key, flag.name, functools.partial(from_text, flag.key, flag.text))


def values_of(flags: Sequence[Flag], name: str) -> list[str]:
    """The texts of a flag that is no setting, in order."""
    return [flag.text for flag in flags if FLAGS[name] is flag.key]


def write_flags(key: Key, value: object) -> list[str]:
    """The arguments that give ``key`` this value: the reverse of reading."""
    name = f"-{key.flags[0]}"
    if key.kind is Kind.MAP and isinstance(value, dict):
        return [f"{name}={item}:{text}" for item, text in value.items()]
    if key.kind in (Kind.STRINGS, Kind.HOSTS, Kind.NETWORKS) and isinstance(value, tuple):
        return [f"{name}={item}" for item in value]
    return [f"{name}={render(key, value)}"]
