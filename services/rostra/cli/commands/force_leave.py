"""``rostra force-leave``: declare a member that will not come back as left."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_http_flags
from rostra.cli.http_api import Api, path_of
from rostra.errors import BadRequest


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "force-leave",
        """
        Takes a failed member for left: its node, services and checks go from the catalog.
        A member that is alive after all refutes this and stays.
        """,
        arguments="NAME",
    )
    add_http_flags(parser)
    parser.switch("prune", "Also drop the member from the list of members.")
    parser.switch("wan", "The name is NAME.DATACENTER, a server among those of all datacenters.")
    options = parser.parse(arguments)
    if len(options.arguments) != 1:
        raise BadRequest("A single node name must be specified to force leave; rostra force-leave -h shows how")
    query = {name: "1" for name in ("prune", "wan") if getattr(options, name)}
    Api(options).put(path_of("agent", "force-leave", options.arguments[0]), "force leaving", query)
    return exits.OK
