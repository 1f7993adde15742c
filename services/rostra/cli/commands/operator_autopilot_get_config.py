"""``rostra operator autopilot get-config``."""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, add_server_flags
from rostra.cli.http_api import Api

PATH = "/v1/operator/autopilot/configuration"
KEYS = (
    "CleanupDeadServers",
    "LastContactThreshold",
    "MaxTrailingLogs",
    "MinQuorum",
    "ServerStabilizationTime",
    "RedundancyZoneTag",
    "DisableUpgradeMigration",
    "UpgradeVersionTag",
)


def run(arguments: Sequence[str]) -> int:
    parser = Parser("operator autopilot get-config", "Shows how the servers are kept: which are removed, and when a new one votes.")
    add_server_flags(parser)
    configuration = Api(parser.parse(arguments)).get(PATH, "querying Autopilot configuration", dict)
    for key in KEYS:
        value = configuration.get(key, "")
        if isinstance(value, bool):
            value = str(value).lower()
        print(f"{key} = {value}" if value != "" else f'{key} = ""')
    return exits.OK
