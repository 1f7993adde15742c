"""``rostra operator raft transfer-leader``."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_server_flags
from rostra.cli.http_api import Api


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "operator raft transfer-leader",
        """
        Has the leader of the Raft configuration hand over to another server, before maintenance for instance. Returns once
        that server leads; writes wait meanwhile, none is lost.
        """,
    )
    add_server_flags(parser)
    parser.value("id", "The ID of the server that is to lead; else the one that is furthest on.", metavar="id")
    options = parser.parse(arguments)
    query = {"id": options.id} if options.id else {}
    Api(options).change("POST", "/v1/operator/raft/transfer-leader", "transferring leadership", query)
    print("Success")
    return exits.OK
