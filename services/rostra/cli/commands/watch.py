"""``rostra watch``: a view of the catalog, shown once, or given to a program whenever it changes.

https://developer.hashicorp.com/consul/commands/watch and …/docs/dynamic-app-config/watches: the handler gets the JSON on its standard
input, and ``CONSUL_INDEX`` in its environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rostra.cli import exits
from rostra.cli.flags import Parser, add_server_flags
from rostra.cli.http_api import Api, Query, path_of
from rostra.cli.output import complain
from rostra.errors import BadRequest, RostraError

RETRY_S: Final = 5.0
RETRY_MAX_S: Final = 180.0
"""After the first failure, and at most: Consul's, which grows with the square of the failures in a row."""

FLAGS_OF: Final[Mapping[str, frozenset[str]]] = {
    "nodes": frozenset(),
    "services": frozenset(),
    "service": frozenset({"service", "tag", "passingonly"}),
    "checks": frozenset({"service", "state"}),
}
"""Watch type to the flags that say more of it."""
LATER: Final = frozenset({"key", "keyprefix", "event"})
SHELL: Final = "/bin/sh"

View = tuple[str, Query]
"""Path and parameters of what is watched."""


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "watch",
        "Shows nodes, services or checks as they are now. With a program, runs it with them as JSON on its standard input, now and "
        "whenever they change, until Ctrl-C.",
        arguments="[PROGRAM [ARGUMENT...]]",
        ends_at_arguments=True,
    )
    add_server_flags(parser)
    parser.value("type", "What to watch: nodes, services, service or checks.", metavar="type")
    parser.value("service", "The service to watch; for the type service, and for checks.", metavar="name")
    parser.values("tag", "Only instances with this tag; may be repeated. For the type service.", metavar="tag")
    parser.switch("passingonly", "Only instances all of whose checks pass. For the type service.")
    parser.value("state", "Only checks in this state: any, passing, warning or critical. For the type checks.", metavar="state")
    parser.switch("shell", "Run the program in a shell (that of the variable SHELL, else /bin/sh).", default=True)
    options = parser.parse(arguments)
    view = _view(options)
    api = Api(options)
    api.get("/v1/agent/self", "querying Consul agent", dict)
    if not options.arguments:
        _, answer = api.block(view[0], "querying Consul agent", 0, view[1])
        sys.stdout.write(json.dumps(answer, indent=4, ensure_ascii=False) + "\n")
        return exits.OK
    try:
        return _follow(api, options.type, view, _command(options))
    except KeyboardInterrupt:
        return exits.OK  # the way to end it


def _view(options: Namespace) -> View:
    """Raises ``BadRequest`` for flags that do not belong together."""
    kind = options.type
    if not kind:
        raise BadRequest("Watch type must be specified; rostra watch -h lists them", field="type")
    if kind in LATER:
        raise BadRequest(f"Watch type {kind} is not in this version of rostra", field="type")
    if kind not in FLAGS_OF:
        raise BadRequest(f"Unsupported watch type: {kind}", field="type")
    odd = [name for name in ("service", "tag", "passingonly", "state") if getattr(options, name) and name not in FLAGS_OF[kind]]
    if odd:
        raise BadRequest(f"Invalid parameters: [{' '.join(odd)}]", field=odd[0])
    match kind:
        case "nodes" | "services":
            return f"/v1/catalog/{kind}", {}
        case "service":
            if not options.service:
                raise BadRequest("Must specify a single service to watch", field="service")
            passing = {"passing": "1"} if options.passingonly else {}
            return path_of("health", "service", options.service), {"tag": options.tag, **passing}
        case _:
            if options.service and options.state:
                raise BadRequest("Cannot specify service and state", field="state")
            path = path_of("health", "checks", options.service) if options.service else path_of("health", "state", options.state or "any")
            return path, {}


def _command(options: Namespace) -> Sequence[str]:
    if not options.shell:
        return list(options.arguments)
    return [os.environ.get("SHELL") or SHELL, "-c", " ".join(options.arguments)]


def _follow(api: Api, kind: str, view: View, command: Sequence[str]) -> int:
    """Runs the handler for each answer that is another than the one before; what fails on the way is tried again."""
    index, failures, seen = 0, 0, None
    while True:
        try:
            found, answer = api.block(view[0], f"watching {kind}", index, view[1])
        except RostraError as error:
            failures += 1
            delay_s = min(RETRY_S * failures**2, RETRY_MAX_S)
            complain(f"Watch errored: {error}; next attempt in {delay_s:g} s")
            index = 0
            time.sleep(delay_s)
            continue
        failures = 0
        # An index that went back belongs to another history: https://developer.hashicorp.com/consul/api-docs/features/blocking
        index = found if found >= index else 0
        if seen == (answer,):
            continue
        seen = (answer,)
        code = _handle(command, answer, found)
        if code != exits.OK:
            return code


def _handle(command: Sequence[str], answer: Any, index: int) -> int:
    document = json.dumps(answer, separators=(",", ":"), ensure_ascii=False) + "\n"
    try:
        done = subprocess.run(command, input=document.encode(), env={**os.environ, "CONSUL_INDEX": str(index)}, check=False)  # noqa: S603
    except OSError as error:
        complain(f"Error starting handler: {command[0]}: {(error.strerror or str(error)).lower()}")
        return exits.FAILED
    if done.returncode:
        how = f"exit status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        complain(f"Error executing handler: {how}")
        return exits.FAILED
    return exits.OK
