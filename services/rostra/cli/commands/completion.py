"""``rostra completion``: the script with which a shell completes rostra's commands, flags and values."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from rostra.cli import exits
from rostra.cli.flags import Parser, did_you_mean
from rostra.errors import BadRequest

SHELLS = ("bash", "zsh", "fish")


def run(arguments: Sequence[str]) -> int:
    parser = Parser(
        "completion",
        """
        Prints a script that has a shell complete rostra's commands, flags and values. Its first
        lines say where to keep it. For the shell that is open:

          bash, zsh    source <(rostra completion bash)
          fish         rostra completion fish | source
        """,
        arguments="|".join(SHELLS),
        arguments_max=1,
    )
    options = parser.parse(arguments)
    if not options.arguments:
        raise BadRequest(f"Which shell? One of {', '.join(SHELLS)}: rostra completion bash")
    (shell,) = options.arguments
    if shell not in SHELLS:
        raise BadRequest(f'There is no completion for "{shell}"{did_you_mean(shell, SHELLS)}; there is for {", ".join(SHELLS)}')
    from rostra.cli.described import commands

    script: str = importlib.import_module(f"rostra.cli.completions.{shell}").script(list(commands()))
    sys.stdout.write(script)
    return exits.OK
