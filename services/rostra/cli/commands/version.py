"""``rostra version``."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser
from rostra.cli.output import print_json
from rostra.version import VERSION

GOSSIP_PROTOCOL = {"Default": 2, "Min": 2, "Max": 3}
"""The tags ``vsn``, ``vsn_min`` and ``vsn_max`` that a member carries."""


def run(arguments: Sequence[str]) -> int:
    parser = Parser("version", "Shows the version of this program. It asks no agent.")
    parser.value("format", "json: for programs.", default="pretty", metavar="format", choices=("pretty", "json"))
    options = parser.parse(arguments)
    if options.format == "json":
        print_json({"Version": VERSION, "Revision": "", "Prerelease": "", "RPC": GOSSIP_PROTOCOL})
    else:
        print(f"rostra v{VERSION}")
        print("Protocol {Default} spoken by default, understands {Min} to {Max}".format_map(GOSSIP_PROTOCOL))
    return exits.OK
