"""``rostra operator autopilot set-config``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from rostra.cli import exits
from rostra.cli.commands.operator_autopilot_get_config import PATH
from rostra.cli.flags import Parser, add_server_flags
from rostra.cli.http_api import Api
from rostra.errors import BadRequest, Conflict

BOOLEANS = {"true": True, "false": False}


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "operator autopilot set-config",
        """
        Changes how the servers are kept. What is not given stays as it is; if somebody else
        changes it in the same moment, nothing is done and the command says so.
        """,
    )
    add_server_flags(parser)
    parser.value("cleanup-dead-servers", "Whether failed servers are removed once enough others remain.", choices=tuple(BOOLEANS))
    parser.value("last-contact-threshold", "Silence after which a server counts as unhealthy, as 200ms.", metavar="duration")
    parser.value("max-trailing-logs", "Log entries that a healthy server may be behind.", metavar="count")
    parser.value("min-quorum", "Servers below which none is removed.", metavar="count")
    parser.value("server-stabilization-time", "How long a new server must be healthy before it votes, as 10s.", metavar="duration")
    options = parser.parse(arguments)
    api = Api(options)
    configuration = api.get(PATH, "querying Autopilot configuration", dict)
    changed = {**configuration, **_given(options)}
    if not api.set(PATH, "setting Autopilot configuration", {"cas": str(configuration["ModifyIndex"])}, changed):
        raise Conflict("Configuration could not be atomically updated, please try again")
    print("Configuration updated!")
    return exits.OK


def _given(options: Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if options.cleanup_dead_servers:
        found["CleanupDeadServers"] = BOOLEANS[options.cleanup_dead_servers]
    for flag, key in (("last_contact_threshold", "LastContactThreshold"), ("server_stabilization_time", "ServerStabilizationTime")):
        if value := getattr(options, flag):
            found[key] = value
    for flag, key in (("max_trailing_logs", "MaxTrailingLogs"), ("min_quorum", "MinQuorum")):
        if value := getattr(options, flag):
            if not value.isdigit():
                raise BadRequest(f"-{flag.replace('_', '-')} {value!r} is not a count")
            found[key] = int(value)
    if not found:
        raise BadRequest("nothing to change: give at least one of the flags that -h lists")
    return found
