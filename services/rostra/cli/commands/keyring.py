"""``rostra keyring``: the keys that gossip is encrypted with, changed on every member of a running cluster."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from rostra.cli import exits
from rostra.cli.flags import Parser, add_http_flags
from rostra.cli.http_api import Api
from rostra.errors import BadRequest

PATH = "/v1/operator/keyring"
RELAY_FACTOR_MAX = 5
CHANGES = {
    "install": ("POST", "==> Installing new gossip encryption key...", "installing the key"),
    "use": ("PUT", "==> Changing primary gossip encryption key...", "changing the primary key"),
    "remove": ("DELETE", "==> Removing gossip encryption key...", "removing the key"),
}
"""Flag to method, what is printed, and what went wrong if it did."""


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "keyring",
        """
        Shows and changes the keys of gossip encryption, on all members of both pools at once.
        To change keys without losing a member: -install the new key, -use it, -remove the
        old one, each once -list shows that every member has followed. Changes are asked of a
        server. Exit code 0 means that every member has answered, and agreed.
        """,
    )
    add_http_flags(parser)
    parser.value("install", "Have every member accept this key.", metavar="key")
    parser.switch("list", "List all keys, and how many members have them.")
    parser.switch("list-primary", "List the keys that members encrypt with.")
    parser.switch("local-only", "With -list and -list-primary: leave the WAN pool out.")
    parser.number("relay-factor", "Have each answer sent through this many other members too, 0 to 5.")
    parser.value("remove", "Have every member forget this key; not the one they encrypt with.", metavar="key")
    parser.value("use", "Have every member encrypt with this key; it must be installed.", metavar="key")
    options = parser.parse(arguments)
    given = vars(options)
    actions = [name for name in ("install", "use", "remove", "list", "list_primary") if given[name]]
    if len(actions) != 1:
        raise BadRequest("Only a single action is allowed" if actions else "One action is needed; rostra keyring -h lists them")
    if not 0 <= options.relay_factor <= RELAY_FACTOR_MAX:
        raise BadRequest(f"Error parsing relay factor: Relay factor must be in range: [0, {RELAY_FACTOR_MAX}]", field="relay-factor")
    if actions[0] in CHANGES:
        _change(options, actions[0])
    else:
        _list(options, is_primary=actions[0] == "list_primary")
    return exits.OK


def _change(options: Namespace, action: str) -> None:
    if options.local_only:
        raise BadRequest("-local-only is for -list and -list-primary: a key is changed in both pools", field="local-only")
    method, announcement, doing = CHANGES[action]
    print(announcement)
    Api(options).change(method, PATH, doing, _query(options), {"Key": vars(options)[action]})


def _list(options: Namespace, *, is_primary: bool) -> None:
    print(f"==> Gathering installed {'primary ' if is_primary else ''}encryption keys...")
    query = {**_query(options), **({"local-only": "true"} if options.local_only else {})}
    for pool in Api(options).get(PATH, "listing keys", list, query):
        print(f"\n{_title(pool)}:")
        keys: Mapping[str, int] = pool["PrimaryKeys" if is_primary else "Keys"] or {}
        for key, count in sorted(keys.items()):
            print(f"  {key} [{count}/{pool['NumNodes']}]")


def _query(options: Namespace) -> dict[str, str]:
    return {"relay-factor": str(options.relay_factor)} if options.relay_factor else {}


def _title(pool: Mapping[str, Any]) -> str:
    return "WAN" if pool["WAN"] else f"{pool['Datacenter']} (LAN)"
