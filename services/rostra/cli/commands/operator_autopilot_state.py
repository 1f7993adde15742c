"""``rostra operator autopilot state``."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_server_flags
from rostra.cli.http_api import Api
from rostra.cli.output import print_json, print_table

COLOURS = {"leader": "green", "false": "red"}


def run(arguments: Sequence[str]) -> int:
    parser = Parser("operator autopilot state", "Shows the servers as the leader sees them, and whether all is well with each.")
    add_server_flags(parser)
    parser.value("format", "json: the API's answer, for programs.", default="pretty", metavar="format", choices=("pretty", "json"))
    options = parser.parse(arguments)
    state = Api(options).get("/v1/operator/autopilot/state", "getting Autopilot state", dict)
    if options.format == "json":
        print_json(state)
        return exits.OK
    print(f"Healthy:           {str(state['Healthy']).lower()}")
    print(f"Failure Tolerance: {state['FailureTolerance']}")
    print(f"Leader:            {state['Leader']}\n")
    rows = [["Name", "ID", "Address", "Version", "Status", "Gossip", "Healthy", "Last Contact", "Last Index", "Stable Since"]]
    for server in sorted(state["Servers"].values(), key=lambda server: server["Name"]):
        keys = ("Name", "ID", "Address", "Version", "Status", "NodeStatus", "Healthy", "LastContact", "LastIndex", "StableSince")
        rows.append([str(server[key]).lower() if key == "Healthy" else str(server[key]) for key in keys])
    print_table(rows, COLOURS)
    return exits.OK
