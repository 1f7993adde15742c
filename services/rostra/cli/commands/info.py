"""``rostra info``: an agent's counters, in sections."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_http_flags
from rostra.cli.http_api import Api
from rostra.cli.output import print_json


def run(arguments: Sequence[str]) -> int:
    parser = Parser("info", "Shows what the agent says of itself: build, raft, gossip, runtime.")
    add_http_flags(parser)
    parser.value("format", "json: for programs.", default="pretty", metavar="format", choices=("pretty", "json"))
    options = parser.parse(arguments)
    sections = Api(options).get("/v1/agent/self", "querying agent", dict).get("Stats") or {}
    if options.format == "json":
        print_json(sections)
        return exits.OK
    for title, values in sorted(sections.items()):
        print(f"{title}:")
        for name, value in sorted(values.items()):
            print(f"\t{name} = {value}")
    return exits.OK
