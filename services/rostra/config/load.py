"""From arguments, variables and files to ``Settings``: read everything, lay it over the defaults, derive the rest, report all problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from rostra.config.files import READERS, read_files, read_fragments
from rostra.config.flags import read_flags, read_variables, split_flags, split_variables, values_of
from rostra.config.given import Findings
from rostra.config.key import Value
from rostra.config.keys import FLAGS, SETTINGS
from rostra.config.machine import Machine, this_machine
from rostra.config.merged import Merged, merge
from rostra.config.network import settle_addresses
from rostra.config.roles import check_doors, settle_roles, settle_upstreams
from rostra.config.rules import settle_data_dir, settle_domains, settle_identity, settle_server
from rostra.config.settings import Settings
from rostra.config.tls import settle_tls
from rostra.config.values import ALL_ROLES, from_text, shown
from rostra.errors import ConfigError

HEARTBEAT_TIMEOUT_S, ELECTION_TIMEOUT_S = 1.0, 1.0  # times raft_multiplier, as Consul documents it
DEV_HEARTBEAT_TIMEOUT_S, DEV_ELECTION_TIMEOUT_S = 0.035, 0.052  # seen on Consul 1.8.7: a leader after some 60 ms


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, what the operator should be told, and each setting's effective value and origin by its configuration path."""

    settings: Settings
    warnings: tuple[str, ...]
    values: Mapping[str, Value]
    origins: Mapping[str, str]
    given: frozenset[str]
    """The paths that somebody set; the others are defaults or derived."""


def load(argv: Sequence[str], environ: Mapping[str, str], *, role: str | None = None, machine: Machine | None = None) -> Loaded:
    """Settings for an agent (``role`` None) or for one role, whose arguments are ``argv``.

    Precedence, lowest first: defaults, what ``-dev`` changes, files and folders in the order of the command line, variables, flags, and
    the fragments of ``-hcl``, which have the last word in Consul too. Raises ``ConfigError`` with every problem found. ``machine`` is
    where host name and addresses come from: the one this runs on, unless a test says otherwise.
    """
    assert role is None or role in ALL_ROLES, role
    findings = Findings()
    is_dev = _read(argv, environ, findings)
    merged = merge(findings.given, is_dev=is_dev)
    extra = _settle(merged, role, machine or this_machine(), findings, is_dev=is_dev)
    if findings.problems:
        raise ConfigError(findings.problems)
    settings = msgspec.convert(_nested(merged, extra), Settings)
    return Loaded(settings, tuple(findings.warnings), merged.values, merged.origins, frozenset(merged.given))


def _read(argv: Sequence[str], environ: Mapping[str, str], findings: Findings) -> bool:
    """Read all sources in order of precedence; whether ``-dev`` is among them."""
    flags = split_flags(argv, findings)
    sources, variables = split_variables(environ, findings)
    sources += flags
    is_dev = False
    for source in sources:
        if source.key is FLAGS["dev"]:
            try:
                is_dev = from_text(source.key, source.text)
            except ValueError as error:
                findings.problem(source.name, str(error))
    config_format = "".join(values_of(sources, "config-format")[-1:])
    if config_format not in ("", *READERS):
        findings.problem("-config-format", f"{shown(config_format)} is none of {', '.join(READERS)}")
        config_format = ""
    read_files(sources, config_format, findings)
    read_variables(variables, findings)
    read_flags(flags, findings)
    read_fragments(values_of(flags, "hcl"), findings)
    return is_dev


def _settle(merged: Merged, role: str | None, machine: Machine, findings: Findings, *, is_dev: bool) -> dict[str, Value]:
    """Apply the rules between settings; what follows from them by its place in ``Settings``."""
    settle_roles(merged, role, findings)
    settle_data_dir(merged, role, findings, is_dev=is_dev)
    voters_expected = settle_server(merged, findings, is_dev=is_dev)
    by_gossip = settle_upstreams(merged, role, findings)
    check_doors(merged, role, findings, is_dev=is_dev)
    settle_identity(merged, machine, findings)
    settle_domains(merged, findings)
    settle_addresses(merged, machine, findings)
    settle_tls(merged, findings)
    _check_ids(merged, findings)
    multiplier = merged.values["performance.raft_multiplier"]
    heartbeat, election = (DEV_HEARTBEAT_TIMEOUT_S, DEV_ELECTION_TIMEOUT_S) if is_dev else (HEARTBEAT_TIMEOUT_S, ELECTION_TIMEOUT_S)
    return {
        "dev": is_dev,
        "server.voters_expected": voters_expected,
        "server.heartbeat_timeout_s": heartbeat * multiplier,
        "server.election_timeout_s": election * multiplier,
        "roles.catalog_by_gossip": by_gossip,
    }


def _check_ids(merged: Merged, findings: Findings) -> None:
    """Of two with one ID the last would take the place of the first, and a service be left without its check."""
    seen: set[tuple[str, object]] = set()

    def see(what: str, name: object, path: str) -> None:
        if name and (what, name) in seen:
            findings.problem(merged.origins[path], f"the {what} ID {shown(name)} is defined twice")
        seen.add((what, name))

    for path in ("service", "services"):
        for service in merged.values[path]:
            see("service", service.get("id") or service.get("name"), path)
            for check in service.get("checks", ()):
                see("check", check.get("id"), path)
    for path in ("check", "checks"):
        for check in merged.values[path]:
            see("check", check.get("id") or check.get("name"), path)


def _nested(merged: Merged, extra: Mapping[str, Value]) -> dict[str, Any]:
    """Values by their place in ``Settings``. Two keys in one place (``service`` and ``services``) come one after the other."""
    by_field: dict[str, Value] = dict(extra)
    for path, key in SETTINGS.items():
        if key.field:
            value = merged.values[path]
            by_field[key.field] = by_field[key.field] + value if key.field in by_field else value
    nested: dict[str, Any] = {}
    for field, value in by_field.items():
        *groups, name = field.split(".")
        table = nested
        for group in groups:
            table = table.setdefault(group, {})
        table[name] = value
    return nested
