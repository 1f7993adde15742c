"""``rostra catalog services``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_server_flags, key_value
from rostra.cli.http_api import Api, path_of
from rostra.cli.output import complain, print_json

TAGS_GAP = 6
"""Spaces between the longest name and the tags. Consul also cuts the spaces at the very end of the list."""


def run(arguments: Sequence[str]) -> int:
    parser = Parser("catalog services", "Lists the services in the catalog of a datacenter, or those of one node.")
    add_server_flags(parser)
    parser.value("node", "Only services of this node, by name or ID.", metavar="node")
    parser.values("node-meta", "Only services on nodes with this metadata; may be repeated.", metavar="key=value", convert=key_value)
    parser.switch("tags", "Show each service's tags beside it.")
    parser.value("format", "json: names and tags, for programs.", default="pretty", metavar="format", choices=("pretty", "json"))
    options = parser.parse(arguments)
    services = dict(sorted(_services(options).items()))
    if options.format == "json":
        print_json(services)
    elif not services:
        complain("No services match the given query - try expanding your search.")
    elif options.tags:
        width = max(map(len, services)) + TAGS_GAP
        sys.stdout.write("\n".join(name.ljust(width) + ",".join(sorted(tags)) for name, tags in services.items()).rstrip() + "\n")
    else:
        print("\n".join(services))
    return exits.OK


def _services(options: Namespace) -> Mapping[str, list[str]]:
    """Tags by service name."""
    query = {"node-meta": [f"{key}:{value}" for key, value in options.node_meta]} if options.node_meta else {}
    api = Api(options)
    if not options.node:
        services: Mapping[str, list[str]] = api.get("/v1/catalog/services", "listing services", dict, query)
        return services
    node = api.get(path_of("catalog", "node", options.node), "listing services for node", dict, query)
    found: dict[str, set[str]] = {}
    for instance in (node.get("Services") or {}).values():
        found.setdefault(instance["Service"], set()).update(instance["Tags"] or ())
    return {name: sorted(tags) for name, tags in found.items()}
