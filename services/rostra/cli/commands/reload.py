"""``rostra reload``: have a running agent read its configuration files again."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_http_flags
from rostra.cli.http_api import Api


def run(arguments: Sequence[str]) -> int:
    parser = Parser("reload", "The agent reads its configuration files again. What cannot change while it runs waits for its next start.")
    add_http_flags(parser)
    options = parser.parse(arguments)
    Api(options).put("/v1/agent/reload", "reloading")
    print("Configuration reload triggered")
    return exits.OK
