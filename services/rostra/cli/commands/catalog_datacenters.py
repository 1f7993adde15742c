"""``rostra catalog datacenters``."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_server_flags
from rostra.cli.http_api import Api
from rostra.cli.output import print_json


def run(arguments: Sequence[str]) -> int:
    parser = Parser("catalog datacenters", "Lists the datacenters that are known here, nearest first.")
    add_server_flags(parser)
    parser.value("format", "json: for programs.", default="pretty", metavar="format", choices=("pretty", "json"))
    options = parser.parse(arguments)
    datacenters = Api(options).get("/v1/catalog/datacenters", "listing datacenters", list)
    if options.format == "json":
        print_json(datacenters)
    else:
        for datacenter in datacenters:
            print(datacenter)
    return exits.OK
