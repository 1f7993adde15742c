"""``rostra validate``: read configuration as an agent would, and show what comes of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser
from rostra.cli.output import complain
from rostra.config import load
from rostra.config.effective import as_json, as_text
from rostra.errors import BadRequest


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "validate",
        """
        Reads the files and folders, and the environment, as rostra agent would, reports every
        problem, and prints the effective configuration: each setting with where it
        comes from, secrets hidden. Certificates are read and checked as well.
        What follows -- is taken as further flags of the agent. It starts nothing and asks no agent.
        """,
        arguments="FILE_OR_FOLDER... [-- AGENT_FLAG...]",
    )
    parser.value("config-format", "Read every file as json or hcl, whatever its name.", metavar="format", choices=("hcl", "json"))
    parser.switch("quiet", "Report problems only.")
    parser.value("format", "json: one object, for programs.", default="pretty", metavar="format", choices=("pretty", "json"))
    own, agent_flags = _split(arguments)
    options = parser.parse(own)
    if not options.arguments and not agent_flags:
        raise BadRequest("Must specify at least one config file or directory; rostra validate -h shows how")
    loaded = load([*_as_flags(options.config_format, options.arguments), *agent_flags], os.environ)
    if loaded.settings.tls.is_on:
        from rostra.tls.certificates import ProcessCertificates

        ProcessCertificates(loaded.settings.tls)
    for warning in loaded.warnings:
        complain(f"warning: {warning}")
    if options.format == "json":
        sys.stdout.write(as_json(loaded))
    elif not options.quiet:
        sys.stdout.write(as_text(loaded))
        print("\nConfiguration is valid!")
    return exits.OK


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    if "--" not in arguments:
        return arguments, ()
    at = list(arguments).index("--")
    return arguments[:at], arguments[at + 1 :]


def _as_flags(config_format: str, paths: Sequence[str]) -> list[str]:
    """The flags with which an agent reads these paths, in this order."""
    flags = [f"-config-format={config_format}"] if config_format else []
    return flags + [f"-config-{'dir' if os.path.isdir(path) else 'file'}={path}" for path in paths]
