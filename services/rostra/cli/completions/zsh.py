"""Completion for zsh, with what each word does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rostra.cli.completions import prefixes, values_listed, words_after
from rostra.cli.described import CommandText, FlagText

HEAD = """\
#compdef rostra
# Completion of rostra for zsh. Now: source <(rostra completion zsh)
# For every shell: rostra completion zsh > "${fpath[1]}/_rostra"

_rostra() {
    local word="${words[CURRENT]}" before="${words[CURRENT-1]}" flag="" command="" known at=2
    local -a offered

    if [[ $word == -*=* ]]; then
        flag="${word%%=*}"
        compset -P 1 '*='
    elif [[ $before == -* && $before != *=* ]]; then
        flag="$before"
    fi
    flag="${flag#-}" flag="${flag#-}"

    [[ ${words[2]} == help && $CURRENT -gt 2 ]] && at=3
    for (( ; at < CURRENT; at++ )); do
        known="${command:+$command }${words[at]}"
        case "$known" in
            (COMMANDS) command="$known" ;;
            (*) break ;;
        esac
    done

    case "$command -$flag" in
"""
MIDDLE = """\
    esac

    case "$command$([[ $word == -* ]] && print -n ' -')" in
"""
TAIL = """\
    esac
    (( $#offered )) || return
    if [[ $offered[1] == -* ]]; then _describe -o flag offered; else _describe command offered; fi
}

if [[ "${funcstack[1]}" == _rostra ]]; then
    _rostra "$@"
else
    compdef _rostra rostra
fi
"""


def script(commands: Sequence[CommandText]) -> str:
    known = "|".join(f'"{prefix}"' for prefix in prefixes(commands) if prefix)
    return HEAD.replace("COMMANDS", known) + "".join(_values(commands)) + MIDDLE + "".join(_words(commands)) + TAIL


def _values(commands: Sequence[CommandText]) -> Iterator[str]:
    for command in commands:
        for flag in command.flags:
            if flag.value:
                yield f'        ("{command.command} -{flag.name}") {_offer(flag)} ;;\n'


def _offer(flag: FlagText) -> str:
    if flag.is_file:
        return "_files; return"
    return f"compadd -- {' '.join(flag.choices)}; return" if flag.choices else f"_message {_quoted(flag.value)}; return"


def _words(commands: Sequence[CommandText]) -> Iterator[str]:
    by_name = {command.command: command for command in commands}
    for prefix in prefixes(commands):
        command = by_name.get(prefix)
        flags = {f"-{flag.name}": flag.text for flag in command.flags} if command else {}
        words = words_after(prefix, commands)
        words.update(dict.fromkeys(values_listed(command) if command else (), ""))
        yield f'        ("{prefix} -") offered=({_described({**flags, "-h": "Help"})}) ;;\n'
        if command and command.takes_files:
            yield f'        ("{prefix}") _files ;;\n'
        else:
            yield f'        ("{prefix}") offered=({_described(words or {**flags, "-h": "Help"})}) ;;\n'


def _described(words: dict[str, str]) -> str:
    return " ".join(_quoted(f"{word}:{text.partition('. ')[0].rstrip('.')}" if text else word) for word, text in words.items())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
