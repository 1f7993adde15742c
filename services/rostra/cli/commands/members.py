"""``rostra members``: who is in the cluster, as this agent sees it. The columns and their order are those of ``consul members``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rostra.cli import exits
from rostra.cli.flags import Parser, add_http_flags
from rostra.cli.http_api import Api
from rostra.cli.output import print_json, print_table
from rostra.errors import BadRequest

STATUSES = {0: "none", 1: "alive", 2: "leaving", 3: "left", 4: "failed"}
COLOURS = {"alive": "green", "failed": "red", "leaving": "yellow", "left": "dim"}
TYPES = {"consul": "server", "node": "client"}
OLDEST_BUILD = "< 0.3"
"""What Consul shows for a member that does not tell its build."""

Member = Mapping[str, Any]


def run(arguments: Sequence[str]) -> int:
    parser = Parser("members", "Lists the members of the cluster that this agent is in, with their state.")
    add_http_flags(parser)
    parser.switch("detailed", "Show each member's tags.")
    parser.value("status", "Only members whose status matches this regular expression, anywhere in it.", metavar="expression")
    parser.switch("wan", "The servers of all datacenters, as a server sees them.")
    parser.value("segment", "Only members of this network segment.", default="_all", metavar="name")
    parser.value("format", "json: the API's objects, for programs.", default="pretty", metavar="format", choices=("pretty", "json"))
    options = parser.parse(arguments)
    try:
        status = re.compile(options.status)
    except re.error as error:
        raise BadRequest(f"Failed to compile the -status expression {options.status!r}: {error}", field="status") from None
    query = {"segment": options.segment, **({"wan": "1"} if options.wan else {})}
    found: list[Member] = Api(options).get("/v1/agent/members", "retrieving members", list, query)
    members = [member for member in found if status.search(status_of(member))]
    if options.format == "json":
        print_json(members)
    elif members:
        print_table(rows(members, is_detailed=options.detailed), COLOURS)
    return exits.OK if members else exits.NO_MATCH


def status_of(member: Member) -> str:
    return STATUSES.get(member["Status"], f"unknown ({member['Status']})")


def rows(members: Sequence[Member], *, is_detailed: bool) -> list[list[str]]:
    """The table, by segment and then by name. A segment is shown where members have one: Consul's do, ours do not."""
    has_segments = any("segment" in member["Tags"] for member in members)
    ordered = sorted(members, key=lambda member: (_segment(member), member["Name"]))
    if is_detailed:
        header = ["Node", "Address", "Status", "Tags"]
        return [header, *([*_first_columns(member), _tags(member, has_segments=has_segments)] for member in ordered)]
    header = ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Segment"]
    width = len(header) if has_segments else len(header) - 1
    return [row[:width] for row in (header, *(_standard_row(member) for member in ordered))]


def _first_columns(member: Member) -> list[str]:
    host = f"[{member['Addr']}]" if ":" in member["Addr"] else member["Addr"]
    return [member["Name"], f"{host}:{member['Port']}", status_of(member)]


def _standard_row(member: Member) -> list[str]:
    tags = member["Tags"]
    kind = TYPES.get(tags.get("role", ""))
    if kind is None:
        return [*_first_columns(member), "unknown", "", "", "", ""]
    build = tags["build"].partition(":")[0] if "build" in tags else OLDEST_BUILD
    return [*_first_columns(member), kind, build, tags.get("vsn", ""), tags.get("dc", ""), _segment(member)]


def _tags(member: Member, *, has_segments: bool) -> str:
    tags = {**member["Tags"], "segment": _segment(member)} if has_segments else member["Tags"]
    return ",".join(sorted(f"{name}={value}" for name, value in tags.items()))


def _segment(member: Member) -> str:
    """Servers are in every segment; clients without a name of one are in the default segment."""
    tags = member["Tags"]
    return tags.get("segment") or ("<all>" if tags.get("role") == "consul" else "<default>")
