"""``rostra services deregister``: by ID, or what files define."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_server_flags
from rostra.cli.http_api import Api, path_of
from rostra.errors import BadRequest


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "services deregister",
        "Takes services from the agent that they were registered with: those in the files, or one by its ID.",
        arguments="[FILE...]",
    )
    add_server_flags(parser)
    parser.value("id", "The service's ID.", metavar="id")
    options = parser.parse(arguments)
    if bool(options.id) == bool(options.arguments):
        wanted = "files or -id, not both" if options.id else "at least one file, or -id"
        raise BadRequest(f"Service deregistration requires {wanted}; rostra services deregister -h shows how")
    ids = [options.id]
    if options.arguments:
        from rostra.cli.definitions import read_services  # the configuration's readers are slow to import

        ids = [service.get("ID") or service["Name"] for service in read_services(options.arguments)]
    api = Api(options)
    for service_id in ids:
        api.put(path_of("agent", "service", "deregister", service_id), f'deregistering service "{service_id}"')
        print(f"Deregistered service: {service_id}")
    return exits.OK
