"""``rostra services register``: from flags, or from the files that an agent would read."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from rostra.cli import exits
from rostra.cli.flags import Parser, add_server_flags, key_value
from rostra.cli.http_api import Api
from rostra.errors import BadRequest


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "services register", "Registers services with the agent: those in the files (JSON or HCL), or one by flags.", arguments="[FILE...]"
    )
    add_server_flags(parser)
    parser.value("address", "The service's address; the node's without it.", metavar="address")
    parser.value("id", "The service's ID; its name without it.", metavar="id")
    parser.values("meta", "Metadata; may be repeated.", metavar="key=value", convert=key_value)
    parser.value("name", "The service's name.", metavar="name")
    parser.number("port", "The service's port.")
    parser.value("socket", "The path of the unix socket it listens on.", metavar="path")
    parser.values("tag", "A tag; may be repeated.", metavar="tag")
    parser.values("tagged-address", "An address by tag; may be repeated.", metavar="tag=host:port", convert=_tagged_address)
    options = parser.parse(arguments)
    by_flags = _from_flags(options)
    if bool(by_flags) == bool(options.arguments):
        wanted = "flags or files, not both" if by_flags else "at least one file, or flags"
        raise BadRequest(f"Service registration requires {wanted}; rostra services register -h shows how")
    if by_flags and not options.name:
        raise BadRequest("Service registration by flags requires -name", field="name")
    if options.arguments:
        from rostra.cli.definitions import read_services  # the configuration's readers are slow to import

        services = read_services(options.arguments)
    else:
        services = [by_flags]
    api = Api(options)
    for service in services:
        api.put("/v1/agent/service/register", f'registering service "{service["Name"]}"', body=service)
        print(f"Registered service: {service['Name']}")
    return exits.OK


def _from_flags(options: Namespace) -> dict[str, Any]:
    """The registration that the flags describe, without what was not given."""
    fields = {
        "ID": options.id,
        "Name": options.name,
        "Address": options.address,
        "Port": options.port,
        "SocketPath": options.socket,
        "Tags": options.tag,
        "Meta": dict(options.meta),
        "TaggedAddresses": dict(options.tagged_address),
    }
    return {name: value for name, value in fields.items() if value}


def _tagged_address(text: str) -> tuple[str, dict[str, str | int]]:
    tag, address = key_value(text)
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{address!r} is not host:port")
    return tag, {"Address": host.removeprefix("[").removesuffix("]"), "Port": int(port)}
