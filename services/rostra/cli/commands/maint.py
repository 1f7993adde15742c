"""``rostra maint``: take this node, or one service of it, out of what discovery hands out, and back in."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_http_flags
from rostra.cli.http_api import Api, path_of
from rostra.errors import BadRequest

NODE_CHECK = "_node_maintenance"
SERVICE_CHECK = "_service_maintenance:"


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "maint",
        """
        Maintenance adds a critical check to the node, or to one of its services, so that
        health queries and DNS leave it out until it is disabled again. It survives a
        restart of the agent. Without -enable or -disable, shows what is in maintenance.
        """,
    )
    add_http_flags(parser)
    parser.switch("enable", "Begin maintenance.")
    parser.switch("disable", "End maintenance.")
    parser.value("reason", "Why, for those who read the check.", metavar="text")
    parser.value("service", "The ID of one service; the whole node without it.", metavar="id")
    options = parser.parse(arguments)
    _check(options)
    if options.enable or options.disable:
        _change(options)
    else:
        _show(Api(options))
    return exits.OK


def _check(options: Namespace) -> None:
    if options.enable and options.disable:
        raise BadRequest("Only one of -enable or -disable may be provided")
    if options.reason and not options.enable:
        raise BadRequest("Reason may only be provided with -enable")
    if options.service and not options.enable and not options.disable:
        raise BadRequest("Service requires either -enable or -disable")


def _change(options: Namespace) -> None:
    query = {"enable": "true", "reason": options.reason} if options.enable else {"enable": "false"}
    doing = "enabling" if options.enable else "disabling"
    done = "enabled" if options.enable else "disabled"
    if options.service:
        Api(options).put(path_of("agent", "service", "maintenance", options.service), f"{doing} service maintenance", query)
        print(f'Service maintenance is now {done} for "{options.service}"')
    else:
        Api(options).put("/v1/agent/maintenance", f"{doing} node maintenance", query)
        print(f"Node maintenance is now {done}")


def _show(api: Api) -> None:
    checks = api.get("/v1/agent/checks", "getting checks", dict)
    for check_id, check in sorted(checks.items()):
        if check_id == NODE_CHECK:
            print(f"Node:\n  Name:   {check['Node']}\n  Reason: {check['Notes']}\n")
        elif check_id.startswith(SERVICE_CHECK):
            print(f"Service:\n  ID:     {check['ServiceID']}\n  Reason: {check['Notes']}\n")
