"""Does what a page says: ``unshare … python play.py PAGE FOLDER``. The network, the host name and the processes are a namespace of its
own, so default ports are free and nothing outlives it. What it did goes to standard output; the first thing that does not come out as
the page says ends it with exit code 1."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.process.pages.machines import Machines
from tests.process.pages.page import Step, pattern, steps

SOON_S = 120.0
COMMAND_LIMIT_S = 120.0
PAUSE_S = 0.1
SHELL = """
cd "$(cat {state}.cwd)"; source {state}
set -euo pipefail
{commands}
declare -px > {state}; pwd > {state}.cwd
"""


class Refuted(Exception):
    """A page says what is not so."""


class Started:
    """A terminal in which something goes on."""

    def __init__(self, commands: str, process: subprocess.Popen[bytes], output: Path) -> None:
        self.commands = commands
        self.process = process
        self.was_ended = False
        self._output = output

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def end(self, number: signal.Signals) -> None:
        """As Ctrl-C does, to the whole group. What is ours ends well; Consul's server exits with 1."""
        self.was_ended = True
        os.killpg(self.process.pid, number)
        try:
            code = self.process.wait(SOON_S)
        except subprocess.TimeoutExpired:
            raise Refuted(f"goes on after {number.name}:\n{self.output}") from None
        if number is signal.SIGINT and code != 0 and "rostra" in self.commands:
            raise Refuted(f"exit code {code} after Ctrl-C:\n{self.output}")


class Player:
    """The reader."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / "shell"
        self._logs = folder / "logs"
        self._logs.mkdir()
        work = folder / "work"
        self._state.write_text("")
        self._state.with_name("shell.cwd").write_text(f"{work}\n")
        self._machines = Machines()
        self._started: list[Started] = []
        self._before: Step | None = None

    def play(self, page: Path) -> None:
        script = list(steps(page))
        for step, following in zip(script, [*script[1:], None], strict=True):
            print(f"{page.name}:{step.line}: {step.kind} {step.name or step.text.strip()}", flush=True)
            expected = following.text if following is not None and following.kind == "expect" else ""
            try:
                self._do(step, expected)
                self._assert_alive()
            except Refuted as error:
                raise Refuted(f"{page.name}:{step.line}: {error}") from None

    def close(self) -> None:
        for terminal in self._started:
            if terminal.process.poll() is None:
                os.killpg(terminal.process.pid, signal.SIGKILL)
                terminal.process.wait()
        self._machines.close()

    def _do(self, step: Step, expected: str) -> None:
        match step.kind:
            case "run":
                for machine in step.machines:
                    self._run(step.text, machine, expected)
            case "run each":
                for line in step.text.splitlines():
                    self._run(line, step.machines[0], "")
            case "try" | "try until":
                for machine in step.machines:
                    self._try(step, machine, expected, time.monotonic() + SOON_S * (step.kind == "try until"))
            case "file":
                (self._folder / step.name).parent.mkdir(parents=True, exist_ok=True)
                (self._folder / step.name).write_text(step.text)
            case "stop":
                self._running(step.name).end(signal.SIGINT)
            case "kill":
                self._running(step.name).end(signal.SIGKILL)
            case "expect" | "needs":
                pass  # the first was seen to when the step before was done, the other before the page began

    @property
    def _folder(self) -> Path:
        return Path(self._state.with_name("shell.cwd").read_text().strip())

    def _script(self, commands: str) -> str:
        return SHELL.format(state=self._state, commands=commands)

    def _run(self, commands: str, machine: str, expected: str) -> None:
        path = self._logs / f"{len(self._started)}"
        words = [*self._machines.find(machine).prefix, "bash", "-c", self._script(without_installing(commands))]
        with path.open("wb") as output:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        self._started.append(Started(commands, process, path))
        if expected:
            self._until_shown(self._started[-1], expected)

    def _until_shown(self, terminal: Started, expected: str) -> None:
        deadline = time.monotonic() + SOON_S
        while not pattern(expected).search(terminal.output):
            if terminal.process.poll() is not None or time.monotonic() > deadline:
                raise Refuted(f"does not show\n{expected}but\n{terminal.output}")
            time.sleep(PAUSE_S)

    def _try(self, step: Step, machine: str, expected: str, deadline: float) -> None:
        prefix = self._machines.find(machine).prefix
        while True:
            words = [*prefix, "bash", "-c", self._script(without_installing(step.text))]
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False)
            shown = (done.stdout + done.stderr).strip() + "\n"
            is_expected = not expected or pattern(expected).fullmatch(shown.lstrip("\n"))
            if done.returncode == 0 and is_expected and step.name in shown:
                return
            if time.monotonic() >= deadline:
                logs = "\n".join(f"--- {terminal.commands}\n{terminal.output}" for terminal in self._started)
                print(logs)
                raise Refuted(f"exit code {done.returncode}, shows\n{shown}\nexpected:\n{expected or step.name}")
            time.sleep(PAUSE_S)

    def _running(self, text: str) -> Started:
        found = [terminal for terminal in self._started if terminal.process.poll() is None and text in terminal.commands]
        if len(found) != 1:
            raise Refuted(f"{len(found)} terminals with {text!r}")
        return found[0]

    def _assert_alive(self) -> None:
        """What was started goes on until the page ends it, or has ended well."""
        for terminal in self._started:
            if not terminal.was_ended and terminal.process.poll() not in (None, 0):
                raise Refuted(f"exit code {terminal.process.returncode}: {terminal.commands}{terminal.output}")


def without_installing(commands: str) -> str:
    """The commands but for those that install rostra: there is no network here, and that a wheel installs is a test of its own. The
    folder of a page has the tests' environment as its ``.venv``."""
    return "\n".join(" && ".join(_kept(line.split(" && "))) for line in commands.splitlines())


def _kept(parts: list[str]) -> Iterator[str]:
    yield from (part for part in parts if "pip install" not in part and "-m venv" not in part)


def main() -> int:
    page, folder = map(Path, sys.argv[1:])
    player = Player(folder)
    try:
        player.play(page)
    except Refuted as error:
        print(error)
        return 1
    finally:
        player.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
