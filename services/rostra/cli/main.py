"""``rostra``: the table of commands, and what happens around every one of them.

A client command asks an agent over Consul's HTTP API; a tool asks nobody. A server command runs in the foreground: the agent, or one
of its six roles.
``rostra catalog`` is both: with ``nodes``, ``services`` or ``datacenters`` it asks, with flags or alone it is the role. Exit codes
are those of ``rostra.cli.exits``; without a command it is Consul's 127.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from rostra.cli import exits
from rostra.cli.flags import HELP_FLAGS, HelpAsked, did_you_mean
from rostra.cli.output import complain
from rostra.errors import RostraError

SERVERS = {
    "agent": "Run an agent: all roles of a node in one process",
    "gossip": "Run the role gossip alone: who is there, alive or failed",
    "consensus": "Run the role consensus alone: the replicated log",
    "catalog": "Run the role catalog alone: nodes, services, checks",
    "dns": "Run the role dns alone: DNS answers",
    "gateway": "Run the role gateway alone: the HTTP API",
    "local": "Run the role local alone: this node's services and checks",
}
CLIENTS = {
    "catalog datacenters": "List the known datacenters",
    "catalog nodes": "List the nodes of a datacenter",
    "catalog services": "List the services of a datacenter",
    "force-leave": "Take a failed member for left",
    "info": "Show an agent's counters",
    "join": "Have an agent join a cluster",
    "keyring": "List and change the keys of gossip encryption",
    "leave": "Have an agent leave its cluster and end",
    "maint": "Take a node or a service out of discovery, and back",
    "members": "List the members of the cluster",
    "monitor": "Show an agent's log as it is written",
    "operator autopilot get-config": "Show how the servers are kept",
    "operator autopilot set-config": "Change how the servers are kept",
    "operator autopilot state": "Show the servers as autopilot sees them",
    "operator raft list-peers": "List the servers of the Raft configuration",
    "operator raft remove-peer": "Remove a server from the Raft configuration",
    "operator raft transfer-leader": "Have the leader hand over to another server",
    "reload": "Have an agent read its configuration again",
    "rtt": "Estimate the round trip between two nodes",
    "services deregister": "Take services from an agent",
    "services register": "Register services with an agent",
    "watch": "Run a program whenever nodes, services or checks change",
    "snapshot restore": "Put a saved file in the catalog's place",
    "snapshot save": "Save the catalog as a file",
}
TOOLS = {
    "completion": "Print what lets a shell complete rostra's commands and flags",
    "help": "Show this page, or what a command does",
    "keygen": "Make a key for gossip encryption",
    "snapshot inspect": "Check a saved file and show what is in it",
    "tls ca create": "Make an authority for the certificates of a cluster",
    "tls cert create": "Make a certificate for an agent or a client",
    "validate": "Check configuration and show what comes of it",
    "version": "Show the version",
}
COMMANDS = {**CLIENTS, **TOOLS}
"""Those that run to their end."""
WORDS_MAX = max(command.count(" ") for command in COMMANDS) + 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line (``sys.argv`` by default); the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = dispatch(arguments)
        sys.stdout.flush()
    except RostraError as error:
        complain(str(error))
        return exits.FAILED
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the interpreter's last flush is quiet
        return exits.BROKEN_PIPE
    return code


def dispatch(arguments: Sequence[str]) -> int:
    """Find the command that the first words name and run it with the rest."""
    if not arguments:
        complain(overview())
        return exits.NO_COMMAND
    first, *rest = arguments
    if first in HELP_FLAGS:
        print(overview())
        return exits.OK
    if first in ("-v", "-version", "--version"):
        return _run_to_its_end("version", rest)
    if first == "help":
        return dispatch([*rest, "-h"])
    words = _leading_words(arguments)
    for count in range(len(words), 0, -1):
        if (command := " ".join(words[:count])) in COMMANDS:
            return _run_to_its_end(command, arguments[count:])
    group = [command for command in COMMANDS if command.startswith(f"{first} ")]
    if first in SERVERS and (len(words) == 1 or not group):
        return _run_server(first, rest, group)
    return _no_command(words or [first], group, asks_for_help=any(argument in HELP_FLAGS for argument in arguments))


def _leading_words(arguments: Sequence[str]) -> list[str]:
    words: list[str] = []
    for argument in arguments[:WORDS_MAX]:
        if argument.startswith("-"):
            break
        words.append(argument)
    return words


def _run_to_its_end(command: str, arguments: Sequence[str]) -> int:
    try:
        code: int = module_of(command).run(arguments)
    except HelpAsked as asked:
        print(asked.parser.format_help(), end="")
        return exits.OK
    return code


def module_of(command: str) -> ModuleType:
    """Where a command of ``COMMANDS`` is written: its module offers ``run(arguments) -> int``."""
    return importlib.import_module("rostra.cli.commands." + command.replace(" ", "_").replace("-", "_"))


def _run_server(name: str, arguments: Sequence[str], group: Sequence[str]) -> int:
    if group and any(argument in HELP_FLAGS for argument in arguments):
        print(f"{_listed(group, COMMANDS)}\n\nAnd the role of that name:\n")
    module = importlib.import_module("rostra.agent.main")
    code: int = module.main(arguments, None if name == "agent" else name)
    return code


def _no_command(words: Sequence[str], group: Sequence[str], *, asks_for_help: bool) -> int:
    """Show the commands of a group, or say that there is none of this name. Consul's exit codes: 1 in a group, else 127."""
    written = " ".join(words)
    below = [command for command in group if command.startswith(f"{written} ")]
    if below:
        usage = f"Usage: rostra {written} <subcommand> [options]\n\n{_listed(below, COMMANDS)}"
        print(usage, file=sys.stdout if asks_for_help else sys.stderr)
        return exits.OK if asks_for_help else exits.FAILED
    known = group or {command.split()[0] for command in (*COMMANDS, *SERVERS)}
    written = written if group else words[0]
    help_of = f"rostra {words[0]} -h" if group else "rostra -h"
    complain(f'rostra: there is no command "{written}"{did_you_mean(written, known)}; {help_of} lists them')
    return exits.FAILED if group else exits.NO_COMMAND


def overview() -> str:
    """What ``rostra -h`` shows."""
    codes = "\n".join(f"  {code:<4} {meaning}" for code, meaning in exits.EXIT_CODES.items())
    return "\n".join(
        [
            "Usage: rostra [--version] [-h] <command> [options]",
            "\nService discovery and cluster membership. To try it: rostra agent -dev, and in another terminal: rostra members",
            f"\nServers, which run until they are stopped:\n\n{_listed(SERVERS, SERVERS)}",
            f"\nClients, which ask a running agent (rostra's or Consul's):\n\n{_listed(CLIENTS, CLIENTS)}",
            f"\nTools, which need no agent:\n\n{_listed(TOOLS, TOOLS)}",
            "\nrostra <command> -h, or rostra help <command>, explains each. CONSUL_HTTP_ADDR, or -http-addr, says where the agent is.",
            f"\nExit codes:\n\n{codes}",
        ]
    )


def _listed(commands: Sequence[str] | dict[str, str], texts: dict[str, str]) -> str:
    width = max(map(len, commands)) + 4
    return "\n".join(f"  {command.ljust(width)}{texts[command]}" for command in commands)
