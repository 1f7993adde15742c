"""What the command line offers, as data: made from the tables by which it is read, for completion and for the reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rostra.cli.flags import HelpAsked, Parser
from rostra.cli.main import COMMANDS, SERVERS, module_of
from rostra.config.key import Kind
from rostra.config.keys import GROUPS

FILES = ("path", "FILE", "FOLDER")
"""Words that say, in the name of a value, that it is a file."""
FILE_FLAGS = ("config-file", "config-dir", "data-dir", "log-file", "pid-file")


class FlagText(NamedTuple):
    """One flag: its name without a dash, what it does, what its value is called (empty for a switch), and which values there are."""

    name: str
    text: str
    value: str = ""
    choices: tuple[str, ...] = ()
    is_file: bool = False


class CommandText(NamedTuple):
    """One command: its words, what it does, its flags by name, and what follows them."""

    command: str
    summary: str
    flags: tuple[FlagText, ...]
    arguments: str = ""

    @property
    def takes_files(self) -> bool:
        return any(word in self.arguments for word in FILES)


def commands() -> Iterator[CommandText]:
    """Every command: servers first, as ``rostra -h`` lists them."""
    of_servers = tuple(sorted(_server_flags()))
    for name, summary in SERVERS.items():
        yield CommandText(name, summary, of_servers)
    for name, summary in COMMANDS.items():
        if name == "help":  # the words after it are those of the command that is asked about
            yield CommandText(name, summary, (), "[COMMAND]")
            continue
        parser = parser_of(name)
        yield CommandText(name, summary, tuple(sorted(_flags(parser))), parser.usage_arguments)


def parser_of(command: str) -> Parser:
    """The flags of a command of ``COMMANDS``: it is asked for help, and the answer is kept instead of shown."""
    try:
        module_of(command).run(["-h"])
    except HelpAsked as asked:
        return asked.parser
    raise AssertionError(f"{command} does not parse its flags first")


def _flags(parser: Parser) -> Iterator[FlagText]:
    for action in parser.actions:
        value = "" if parser.is_switch(action) else str(action.metavar)
        choices = tuple(map(str, action.choices or ()))
        yield FlagText(action.option_strings[0].removeprefix("-"), action.help or "", value, choices, value in FILES)


def _server_flags() -> Iterator[FlagText]:
    for _, rows in GROUPS:
        for key in rows:
            for flag in key.flags:
                value = "" if key.kind is Kind.BOOL else key.kind.value
                yield FlagText(flag, key.help, value, key.choices, flag in FILE_FLAGS)
