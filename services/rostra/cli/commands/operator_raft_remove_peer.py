"""``rostra operator raft remove-peer``."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_server_flags
from rostra.cli.http_api import Api
from rostra.errors import BadRequest


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "operator raft remove-peer",
        """
        Removes a server from the Raft configuration: one that will not come back, and that the cluster has not let go of by
        itself. Where the server still shows in "rostra members", rostra force-leave is the better way; one that is alive is
        taken in again.
        """,
    )
    add_server_flags(parser)
    parser.value("address", "The server with this address, IP:port.", metavar="address")
    parser.value("id", "The server with this ID.", metavar="id")
    options = parser.parse(arguments)
    if options.address and options.id:
        raise BadRequest("Error removing peer: cannot give both an address and id")
    if not options.address and not options.id:
        raise BadRequest("Error removing peer: an address or id is required for the peer to remove")
    name = "address" if options.address else "id"
    value = options.address or options.id
    Api(options).change("DELETE", "/v1/operator/raft/peer", "removing peer", {name: value})
    print(f'Removed peer with {name} "{value}"')
    return exits.OK
