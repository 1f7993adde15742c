"""``rostra operator raft list-peers``."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_server_flags
from rostra.cli.http_api import Api
from rostra.cli.output import print_json, print_table

COLOURS = {"leader": "green"}


def run(arguments: Sequence[str]) -> int:
    parser = Parser("operator raft list-peers", "Lists the servers in the Raft configuration of a datacenter, and who leads.")
    add_server_flags(parser)
    parser.value("format", "json: the API's answer, for programs.", default="pretty", metavar="format", choices=("pretty", "json"))
    options = parser.parse(arguments)
    configuration = Api(options).get("/v1/operator/raft/configuration", "getting peers", dict)
    if options.format == "json":
        print_json(configuration)
        return exits.OK
    rows = [["Node", "ID", "Address", "State", "Voter", "RaftProtocol"]]
    for server in configuration["Servers"]:
        state = "leader" if server["Leader"] else "follower"
        voter = "true" if server["Voter"] else "false"
        rows.append([server["Node"], server["ID"], server["Address"], state, voter, str(server["ProtocolVersion"])])
    print_table(rows, COLOURS)
    return exits.OK
