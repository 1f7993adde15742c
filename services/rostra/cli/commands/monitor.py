"""``rostra monitor``: an agent's log, as it is written."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_http_flags
from rostra.cli.http_api import Api
from rostra.cli.output import complain


def run(arguments: Sequence[str]) -> int:
    parser = Parser("monitor", "Shows the agent's log as it is written, at whatever level, until Ctrl-C.")
    add_http_flags(parser)
    parser.value("log-level", "From which level on: trace, debug, info, warn or error.", default="INFO", metavar="level")
    parser.switch("log-json", "Show each entry as JSON.")
    options = parser.parse(arguments)
    query = {"loglevel": options.log_level, **({"logjson": "true"} if options.log_json else {})}
    try:
        for chunk in Api(options).stream("/v1/agent/monitor", "starting monitor", query):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        return exits.OK  # the way to end it
    complain("The agent ended the log: it has stopped, or it crashed.")
    return exits.FAILED
