"""``rostra leave``: have a running agent leave the cluster and end."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_http_flags
from rostra.cli.http_api import Api


def run(arguments: Sequence[str]) -> int:
    parser = Parser("leave", "The agent leaves its cluster, so that nobody takes it for failed, and ends.")
    add_http_flags(parser)
    options = parser.parse(arguments)
    Api(options).put("/v1/agent/leave", "leaving")
    print("Graceful leave complete")
    return exits.OK
