"""Flags in Consul's style, which is that of Go's ``flag`` package: ``-flag value``, ``-flag=value`` and ``--flag`` are one, a switch
may say ``-flag=false``, names are never abbreviated, and a value may begin with a dash.

argparse holds the table and converts the values. It reads single-dash words differently (``-status`` as ``-s tatus``, a value
beginning with a dash as a flag), so the arguments are first brought into its one unambiguous form, ``-flag=value``. Unlike Consul,
flags may also follow the arguments, but for a command whose arguments are a program to run; after ``--`` everything is an argument.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NoReturn

from rostra.errors import BadRequest

HELP_FLAGS = ("-h", "-help", "--h", "--help")
WIDTH = 80
_OWN: Final = "Command options"
HTTP: Final = "HTTP API options"


class HelpAsked(Exception):
    """Instead of flags, help was asked for. Who catches it shows ``parser``'s, or reads its flags."""

    def __init__(self, parser: Parser) -> None:
        super().__init__()
        self.parser = parser


class Parser(argparse.ArgumentParser):
    """The flags of one command. ``arguments`` names what follows the flags, as the usage line shows it, and is empty for nothing.

    ``ends_at_arguments``: the first word that is no flag begins another program's command line, flags of its own included.
    """

    def __init__(
        self, command: str, description: str, *, arguments: str = "", arguments_max: int = sys.maxsize, ends_at_arguments: bool = False
    ) -> None:
        super().__init__(prog=f"rostra {command}", description=description, allow_abbrev=False, add_help=False, formatter_class=_formatter)
        self.usage_arguments = arguments
        self._arguments_max = arguments_max if arguments else 0
        self._ends_at_arguments = ends_at_arguments
        self._switches: set[str] = set()
        self._flags: dict[str, list[argparse.Action]] = {}
        self._section = _OWN

    def section(self, title: str) -> None:
        """Flags added from here on stand under this title in the help."""
        self._section = title

    def switch(self, name: str, text: str, *, default: bool = False) -> None:
        """A flag that is on or off."""
        self._switches.add(name)
        self._add(name, text, type=_boolean, default=default, metavar="")

    def value(self, name: str, text: str, *, default: str = "", metavar: str = "value", choices: Sequence[str] | None = None) -> None:
        """A flag with one value; of several, the last counts."""
        self._add(name, text, default=default, metavar=metavar, choices=choices)

    def number(self, name: str, text: str, *, default: int = 0) -> None:
        self._add(name, text, type=int, default=default, metavar="number")

    def values(self, name: str, text: str, *, metavar: str = "value", convert: Callable[[str], object] = str) -> None:
        """A flag that may be given several times; its values add up."""
        self._add(name, text, action="append", type=convert, default=[], metavar=metavar)

    def _add(self, name: str, text: str, **settings: Any) -> None:
        action = self.add_argument(f"-{name}", help=text, **settings)
        self._flags.setdefault(self._section, []).append(action)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The flags' values by name, and what follows them as ``arguments``.

        Raises ``HelpAsked`` for ``-h`` anywhere, and ``BadRequest`` for a flag that does not exist, a value that is missing or
        wrong, and too many arguments.
        """
        flags, rest = self._bring_into_form(arguments)
        if len(rest) > self._arguments_max:
            raise self._refusal(f"too many arguments (expected {self._arguments_max}, got {len(rest)})")
        options = self.parse_args(flags)
        options.arguments = rest
        return options

    def _bring_into_form(self, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
        flags: list[str] = []
        rest: list[str] = []
        words = iter(arguments)
        for word in words:
            if word in HELP_FLAGS:
                raise HelpAsked(self)
            if word == "--":
                rest.extend(words)
            elif word.startswith("-") and word != "-":
                flags.append(self._one_flag(word, words))
            else:
                rest.append(word)
                if self._ends_at_arguments:
                    rest.extend(words)
        return flags, rest

    def _one_flag(self, word: str, words: Iterator[str]) -> str:
        name, equals, value = word.removeprefix("--").removeprefix("-").partition("=")
        if f"-{name}" not in self._option_string_actions:
            raise self._refusal(f"flag provided but not defined: -{name}{did_you_mean(name, self._names(), prefix='-')}")
        if equals:
            return f"-{name}={value}"
        following = "true" if name in self._switches else next(words, None)
        if following is None:
            raise self._refusal(f"flag needs an argument: -{name}")
        return f"-{name}={following}"

    @property
    def actions(self) -> list[argparse.Action]:
        """The flags, as argparse knows them."""
        return [action for actions in self._flags.values() for action in actions]

    def is_switch(self, action: argparse.Action) -> bool:
        return action.option_strings[0].removeprefix("-") in self._switches

    def _names(self) -> list[str]:
        return [option.removeprefix("-") for option in self._option_string_actions]

    def error(self, message: str) -> NoReturn:
        """What argparse calls for a value it cannot convert."""
        raise self._refusal(message.removeprefix("argument "))

    def _refusal(self, message: str) -> BadRequest:
        return BadRequest(f"{self.prog}: {message}; {self.prog} -h lists the flags")

    def format_help(self) -> str:
        """Consul's layout: usage, what it does, then each flag with its text below it; but the command's own come first."""
        import textwrap  # here and below: only help pays for it

        usage = f"Usage: {self.prog} [options] {self.usage_arguments}".rstrip()
        paragraphs = textwrap.dedent(self.description or "").strip("\n").split("\n\n")
        parts = [usage, *map(_folded, paragraphs)]
        for title, actions in sorted(self._flags.items(), key=lambda section: section[0] != _OWN):
            parts.append(title)
            parts.extend(_described(action) for action in sorted(actions, key=lambda action: action.dest))
        return "\n\n".join(parts) + "\n"


def _formatter(prog: str) -> argparse.HelpFormatter:
    """argparse makes one for each flag to check its metavar; told the width, it does not ask the terminal every time."""
    return argparse.HelpFormatter(prog, width=WIDTH)


def _folded(paragraph: str) -> str:
    """Text of a description; what is indented is an example, and stays."""
    import textwrap

    if paragraph.startswith(" "):
        return textwrap.indent(paragraph.rstrip(), "  ")
    return textwrap.fill(paragraph, WIDTH, initial_indent="  ", subsequent_indent="  ")


def _described(action: argparse.Action) -> str:
    import textwrap

    name = action.option_strings[0] + (f"=<{action.metavar}>" if action.metavar else "")
    text = action.help or ""
    if action.choices is not None:
        text += f" One of {', '.join(action.choices)}."
    if action.default:
        text += f" Default: {'true' if action.default is True else action.default}."
    return f"  {name}\n{textwrap.fill(text, WIDTH, initial_indent='     ', subsequent_indent='     ')}"


def _boolean(text: str) -> bool:
    """The spellings that Go's ``flag`` package takes."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise argparse.ArgumentTypeError(f"invalid boolean value {text!r}")


def key_value(text: str) -> tuple[str, str]:
    """``key=value``, for the flags that say so."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f'missing "=" in {text!r}')
    return key, value


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """A hint at the nearest of the known names, or nothing where none is near."""
    import difflib  # only a mistake pays for it

    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f' (did you mean "{prefix}{nearest[0]}"?)' if nearest else ""


def add_http_flags(parser: Parser) -> None:
    """The flags of each command that asks an agent."""
    parser.section(HTTP)
    parser.value(
        "http-addr",
        "Where the agent's HTTP API is: host:port, http://host:port, https://host:port or unix://path. Also CONSUL_HTTP_ADDR; "
        "http://127.0.0.1:8500 if neither is given. CONSUL_HTTP_SSL=true makes an address without a scheme HTTPS.",
        metavar="address",
    )
    parser.value("token", "The ACL token to send. Also CONSUL_HTTP_TOKEN.")
    parser.value("token-file", "A file with the ACL token to send; it goes before -token. Also CONSUL_HTTP_TOKEN_FILE.", metavar="path")
    parser.value("ca-file", "A file of CA certificates to check the agent's certificate with. Also CONSUL_CACERT.", metavar="path")
    parser.value("ca-path", "A folder of CA certificates to check the agent's certificate with. Also CONSUL_CAPATH.", metavar="path")
    parser.value("client-cert", "The certificate to show to the agent. Also CONSUL_CLIENT_CERT.", metavar="path")
    parser.value("client-key", "The key of that certificate. Also CONSUL_CLIENT_KEY.", metavar="path")
    parser.value("tls-server-name", "The name to expect in the agent's certificate. Also CONSUL_TLS_SERVER_NAME.", metavar="name")
    parser.section(_OWN)


def add_server_flags(parser: Parser) -> None:
    """Those, and the flags of each command that asks the servers of a datacenter through an agent."""
    add_http_flags(parser)
    parser.section(HTTP)
    parser.value("datacenter", "The datacenter to ask; the agent's own by default.", metavar="name")
    parser.switch("stale", "Let any server answer, not only the leader: sooner, but perhaps not the latest.")
    parser.section(_OWN)
