"""Completion for fish, with what each word does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rostra.cli.completions import prefixes, values_listed, words_after
from rostra.cli.described import CommandText, FlagText

HEAD = """\
# Completion of rostra for fish. Now: rostra completion fish | source
# For every shell: rostra completion fish > ~/.config/fish/completions/rostra.fish

# The words before the first flag; those of `help` are the command that is asked about.
function __rostra_words
    for word in (commandline -opc)[2..]
        string match -q -- '-*' $word; and break
        test $word = help; or echo $word
    end
end

# Whether they are exactly these.
function __rostra_after
    test (count $argv) -eq (count (__rostra_words)); and __rostra_in $argv
end

# Whether they begin with these.
function __rostra_in
    set -l words (__rostra_words)
    for at in (seq (count $argv))
        test "$words[$at]" = "$argv[$at]"; or return 1
    end
end

complete -c rostra -f
"""


def script(commands: Sequence[CommandText]) -> str:
    return HEAD + "".join(_words(commands)) + "".join(_flags(commands))


def _words(commands: Sequence[CommandText]) -> Iterator[str]:
    for prefix in prefixes(commands):
        for word, text in words_after(prefix, commands).items():
            yield _line(f"__rostra_after {prefix}".rstrip(), f"-a {word} -d {_quoted(text)}")
    for command in commands:
        if words := values_listed(command):
            yield _line(f"__rostra_after {command.command}", f"-a {_quoted(' '.join(words))}")
        if command.takes_files:
            yield _line(f"__rostra_in {command.command}", "-F")


def _flags(commands: Sequence[CommandText]) -> Iterator[str]:
    for command in commands:
        is_group = bool(words_after(command.command, commands))
        where = f"{'__rostra_after' if is_group else '__rostra_in'} {command.command}"
        for flag in command.flags:
            yield _line(where, f"-o {flag.name}{_offer(flag)} -d {_quoted(flag.text.partition('. ')[0].rstrip('.'))}")


def _offer(flag: FlagText) -> str:
    if not flag.value:
        return ""
    if flag.is_file:
        return " -r -F"
    return f" -x -a {_quoted(' '.join(flag.choices))}" if flag.choices else " -x"


def _line(condition: str, rest: str) -> str:
    return f"complete -c rostra -n '{condition}' {rest}\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
