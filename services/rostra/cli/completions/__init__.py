"""Completion scripts, one module a shell: ``script(commands)`` writes the table of ``rostra.cli.described`` in that shell's language.

A script holds the whole table, so that completing starts no Python. The rules are the same in all three: the leading words without a
dash name the command; a word with a dash is one of its flags, ``-flag value`` or ``-flag=value``; other words are sub-commands,
values that the usage line lists, or files.
"""

from __future__ import annotations

from collections.abc import Sequence

from rostra.cli.described import CommandText

SUMMARY_OF_GROUP = "Commands of this group"


def words_after(prefix: str, commands: Sequence[CommandText]) -> dict[str, str]:
    """The words that may follow ``prefix`` in the name of a command, each with what it does."""
    found: dict[str, str] = {}
    for command in commands:
        start = f"{prefix} " if prefix else ""
        if command.command.startswith(start) and command.command != prefix:
            word, _, more = command.command[len(start) :].partition(" ")
            found[word] = found.get(word, SUMMARY_OF_GROUP) if more else command.summary
    return found


def prefixes(commands: Sequence[CommandText]) -> list[str]:
    """Every beginning of a command's name, the empty one and the whole name included."""
    found = {""}
    for command in commands:
        parts = command.command.split()
        found.update(" ".join(parts[:count]) for count in range(1, len(parts) + 1))
    return sorted(found)


def values_listed(command: CommandText) -> tuple[str, ...]:
    """What may follow the flags, where the usage line lists it: ``bash|zsh|fish``."""
    return tuple(command.arguments.split("|")) if "|" in command.arguments else ()
