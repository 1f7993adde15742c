"""``rostra catalog nodes``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from rostra.cli import exits
from rostra.cli.flags import Parser, add_server_flags, key_value
from rostra.cli.http_api import Api, path_of
from rostra.cli.output import complain, print_json, print_table

SHORT_ID_LENGTH = 8

Node = Mapping[str, Any]


def run(arguments: Sequence[str]) -> int:
    parser = Parser("catalog nodes", "Lists the nodes in the catalog of a datacenter, or those that run a service.")
    add_server_flags(parser)
    parser.switch("detailed", "Show whole IDs, all addresses, and metadata.")
    parser.value("filter", "A filter expression.", metavar="expression")
    parser.value("near", "Sort by round-trip time from this node; _agent is the agent's own.", metavar="node")
    parser.values("node-meta", "Only nodes with this metadata; may be repeated.", metavar="key=value", convert=key_value)
    parser.value("service", "Only nodes that run this service.", metavar="name")
    parser.value("format", "json: the API's objects, for programs.", default="pretty", metavar="format", choices=("pretty", "json"))
    options = parser.parse(arguments)
    nodes = _nodes(options)
    if options.format == "json":
        print_json(nodes)
    elif nodes:
        print_table(_detailed(nodes) if options.detailed else _brief(nodes))
    else:
        complain("No nodes match the given query - try expanding your search.")
    return exits.OK


def _nodes(options: Namespace) -> list[Node]:
    """The API's nodes, or the instances of the service, each with its node: a node that runs two is listed twice, as in Consul."""
    query: dict[str, str | Sequence[str]] = {name: value for name in ("filter", "near") if (value := getattr(options, name))}
    if options.node_meta:
        query["node-meta"] = [f"{key}:{value}" for key, value in options.node_meta]
    path = path_of("catalog", "service", options.service) if options.service else "/v1/catalog/nodes"
    nodes: list[Node] = Api(options).get(path, "listing nodes", list, query)
    return nodes


def _brief(nodes: Sequence[Node]) -> list[list[str]]:
    header = ["Node", "ID", "Address", "DC"]
    return [header, *([node["Node"], node["ID"][:SHORT_ID_LENGTH], node["Address"], node["Datacenter"]] for node in nodes)]


def _detailed(nodes: Sequence[Node]) -> list[list[str]]:
    rows = [["Node", "ID", "Address", "DC", "TaggedAddresses", "Meta"]]
    for node in nodes:
        meta = node.get("Meta", node.get("NodeMeta"))
        rows.append([node["Node"], node["ID"], node["Address"], node["Datacenter"], _pairs(node["TaggedAddresses"]), _pairs(meta)])
    return rows


def _pairs(values: Mapping[str, str] | None) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted((values or {}).items()))
