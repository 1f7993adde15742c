"""``rostra agent -h``: every flag with what it does, its default, its configuration key and its variable; those without effect last."""

from __future__ import annotations

import textwrap

from rostra.config.key import Key, Kind, Standing
from rostra.config.keys import GROUPS
from rostra.config.values import render

WIDTH = 100
_INDENT = " " * 6
_STANDINGS = {Standing.HARMLESS: "No effect in this version", Standing.REFUSED: "Not in this version"}
_PLACEHOLDERS = {
    Kind.INT: "number",
    Kind.MAP: "key:value",
    Kind.NETWORKS: "network",
    Kind.HOSTS: "address",
    Kind.ADDRESSES: "addresses",
    Kind.STRINGS: "value",
    Kind.STRING: "value",
    Kind.GOSSIP_KEY: "value",
    Kind.TARGETS: "address",
}


def help_text(role: str | None = None) -> str:
    """The whole text, for the agent or for one role. It is no wider than ``WIDTH``."""
    groups = [(title, [key for key in rows if key.flags and key.standing is Standing.WORKS]) for title, rows in GROUPS]
    idle = [key for _, rows in GROUPS for key in rows if key.flags and key.standing is not Standing.WORKS]
    groups.append(("Consul's flags that have no effect here, or are refused", idle))
    sections = ["\n\n".join([title, *map(_entry, keys)]) for title, keys in groups if keys]
    return "\n\n\n".join([_introduction(role), *sections]) + "\n"


def _introduction(role: str | None) -> str:
    command = f"rostra {role or 'agent'}"
    does = "Runs the agent" if role is None else f"Runs the role {role} alone"
    paragraphs = (
        f"{does} until it is interrupted. Start with: {command} -dev",
        "A flag is written -flag value, -flag=value or --flag=value. The later of these wins, and lists add up: defaults, configuration "
        "files, environment variables (ROSTRA_ and the key), flags, -hcl. rostra validate shows what comes of it.",
    )
    return "\n\n".join([f"Usage: {command} [flags]", *(textwrap.fill(text, WIDTH) for text in paragraphs)])


def _entry(key: Key) -> str:
    """One flag: how it is written, what it does, whether it does it yet, and where else it can be set."""
    value = "" if key.kind is Kind.BOOL else f" <{_PLACEHOLDERS.get(key.kind, key.kind.value)}>"
    sentences = [key.help]
    if key.deprecated:
        sentences.append(f"Deprecated: use {key.deprecated}.")
    if key.standing is not Standing.WORKS:
        sentences.append(f"{_STANDINGS[key.standing]}{': ' + key.note if key.note else ''}.")
    facts = [
        f"default {default_text(key) or 'none'}{f' ({key.why})' if key.why else ''}",
        f"key {key.path or 'none'}",
        f"env {key.variable or 'none'}",
    ]
    return "\n".join([f"  -{key.flags[0]}{value}", *_filled(" ".join(sentences)), *_filled(" · ".join(facts))])


def default_text(key: Key) -> str:
    """What holds where nobody says otherwise; empty for nothing."""
    text = "" if key.default is None else render(key, key.default)
    return text if key.dev is None else f"{text or 'none'}, with -dev {render(key, key.dev)}"


def _filled(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False)
