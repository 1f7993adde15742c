"""Completion for bash 3.2 and later, without the package bash-completion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rostra.cli.completions import prefixes, values_listed, words_after
from rostra.cli.described import CommandText, FlagText

HEAD = """\
# Completion of rostra for bash. Now: source <(rostra completion bash)
# For every shell: rostra completion bash > ~/.local/share/bash-completion/completions/rostra

_rostra() {
    local word="${COMP_WORDS[COMP_CWORD]}" flag="" command="" known words="" files="" at=1
    COMPREPLY=()

    # -flag value, or -flag=value, which bash hands over as three words
    if [[ $word == "=" ]]; then
        flag="${COMP_WORDS[COMP_CWORD-1]}" word=""
    elif [[ ${COMP_WORDS[COMP_CWORD-1]} == "=" ]]; then
        flag="${COMP_WORDS[COMP_CWORD-2]}"
    elif [[ ${COMP_WORDS[COMP_CWORD-1]} == -* ]]; then
        flag="${COMP_WORDS[COMP_CWORD-1]}"
    fi
    flag="${flag#-}" flag="${flag#-}"

    [[ ${COMP_WORDS[1]} == help && $COMP_CWORD -gt 1 ]] && at=2
    for (( ; at < COMP_CWORD; at++ )); do
        known="${command:+$command }${COMP_WORDS[at]}"
        case "$known" in
            COMMANDS) command="$known" ;;
            *) break ;;
        esac
    done

    case "$command -$flag" in
"""
MIDDLE = """\
    esac

    case "$command" in
"""
TAIL = """\
    esac
    # shellcheck disable=SC2207 # no word of ours has a space in it
    if [[ -n $files && $word != -* ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$word"))
    else
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    fi
}

complete -F _rostra rostra
"""


def script(commands: Sequence[CommandText]) -> str:
    known = "|".join(f'"{prefix}"' for prefix in prefixes(commands) if prefix)
    return HEAD.replace("COMMANDS", known) + "".join(_values(commands)) + MIDDLE + "".join(_words(commands)) + TAIL


def _values(commands: Sequence[CommandText]) -> Iterator[str]:
    """A flag with a value: its choices, files, or nothing, but no other flag."""
    for command in commands:
        for flag in command.flags:
            if flag.value:
                yield f'        "{command.command} -{flag.name}") {_offer(flag)} return ;;\n'


def _offer(flag: FlagText) -> str:
    if flag.is_file:
        return 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word"));'
    return f'COMPREPLY=($(compgen -W "{" ".join(flag.choices)}" -- "$word"));' if flag.choices else ""


def _words(commands: Sequence[CommandText]) -> Iterator[str]:
    by_name = {command.command: command for command in commands}
    for prefix in prefixes(commands):
        command = by_name.get(prefix)
        words = list(words_after(prefix, commands))
        flags = [f"-{flag.name}" for flag in command.flags] + ["-h"] if command else ["-h"]
        if command:
            words += values_listed(command)
        files = " files=1" if command and command.takes_files else ""
        offered = f'[[ $word == -* ]] && words="{" ".join(flags)}" || words="{" ".join(words)}"' if words else f'words="{" ".join(flags)}"'
        yield f'        "{prefix}") {offered}{";" + files if files else ""} ;;\n'
