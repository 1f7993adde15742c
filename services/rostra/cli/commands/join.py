"""``rostra join``: have a running agent join the cluster of a member that is already in it."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_http_flags
from rostra.cli.http_api import Api, Refused, path_of
from rostra.cli.output import complain, tracked
from rostra.errors import BadRequest


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "join", "Tells the running agent to join the cluster that a member at one of the addresses is in.", arguments="ADDRESS..."
    )
    add_http_flags(parser)
    parser.switch("wan", "Join the servers of another datacenter.")
    options = parser.parse(arguments)
    if not options.arguments:
        raise BadRequest("At least one address to join must be specified; rostra join -h shows how")
    api = Api(options)
    joined_count = 0
    for address in tracked(options.arguments, "Joining"):
        try:
            api.put(path_of("agent", "join", address), f"joining address '{address}'", {"wan": "1"} if options.wan else None)
            joined_count += 1
        except Refused as error:
            complain(str(error))
    if not joined_count:
        complain("Failed to join any nodes.")
        return exits.FAILED
    print(f"Successfully joined cluster by contacting {joined_count} nodes.")
    return exits.OK
