"""Every benchmark by one command, beside the real Consul, Serf and etcd in the same run; one page in HTML and one in Markdown, with plots.

    python benchmarks/report.py                  # an hour or two
    python benchmarks/report.py -quick           # fewer and shorter samples: at most 15 minutes
    python benchmarks/report.py -only dns,http   # these topics
    python benchmarks/report.py -consul PATH     # another Consul than the one on PATH

What each benchmark says goes to standard output as it comes. A topic that fails or takes too long is said to have, and the others go on.
``-publish`` also puts the table of headlines into README.md, and the report with its plots into docs/benchmarks/.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import machine
import pages
import rows
from topics import TOPICS, Topic

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
QUICK_S: Final = 15 * 60.0
QUICK_EACH_S: Final = 300.0
"""For one command, so that a slow one leaves time for the others."""
END_S: Final = 5.0


@dataclass
class Run:
    """What is allowed, and what was found."""

    quick: bool
    path: str
    until: float
    """By the monotonic clock, if it is to be quick."""
    results: list[pages.Result] = field(default_factory=list)

    def take(self, topic: Topic) -> None:
        """Runs the scripts of one topic and keeps their rows."""
        began, found, problems = time.monotonic(), [], []
        for command in topic.quick if self.quick else topic.full:
            some, problem = self._run(command)
            found += some
            if problem:
                problems.append(f"{command}: {problem}")
                print(f"!! {command}: {problem}", flush=True)
        self.results.append(pages.Result(topic, found, problems, time.monotonic() - began))

    def _run(self, command: str) -> tuple[list[rows.Row], str]:
        """What it found, and what went wrong, if anything."""
        script, *arguments = command.split()
        print(f"\n==> {command}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows.json"
            words = [sys.executable, str(HERE / script), *arguments, "-json", str(file)]
            process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PATH": self.path}, start_new_session=True)
            try:
                code = process.wait(self._limit_s())
                problem = f"exit code {code}" if code else ""
            except subprocess.TimeoutExpired:
                problem = "was ended: it took too long"
            finally:
                _end(process)
            found: list[rows.Row] = rows.read(file) if file.exists() else []
            return found, problem or ("" if found else "no figures")

    def _limit_s(self) -> float | None:
        return max(1.0, min(self.until - time.monotonic(), QUICK_EACH_S)) if self.quick else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends what is left of the group that it led: itself, and the agents that it started, which may first stop by themselves."""
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            continue


def choose(names: str) -> list[Topic]:
    wanted = [name.strip().lower() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in {topic.key for topic in TOPICS}]
    if unknown:
        raise SystemExit(f"no topic {', '.join(unknown)}; there are {', '.join(topic.key for topic in TOPICS)}")
    return [topic for topic in TOPICS if not wanted or topic.key in wanted]


def path_with(consul: str, folder: Path) -> str:
    """PATH on which ``consul`` is that program."""
    if not consul:
        return os.environ.get("PATH", os.defpath)
    if not (program := shutil.which(consul)):
        raise SystemExit(f"{consul}: no such program")
    (folder / "consul").symlink_to(Path(program).resolve())
    return f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def publish(text: str, plots: dict[str, str], table: str) -> None:
    """The report into docs/benchmarks/, its headlines between the markers of README.md."""
    _save(ROOT / "docs" / "benchmarks", "README.md", text, plots)
    readme = ROOT / "README.md"
    marked = re.compile(r"(<!-- benchmarks -->\n).*?(<!-- end of benchmarks -->)", re.DOTALL)
    before = readme.read_text()
    if not marked.search(before):
        raise SystemExit("README.md has no markers for the table")
    readme.write_text(marked.sub(lambda found: f"{found[1]}\n{table}\n{found[2]}", before))


def _save(folder: Path, name: str, text: str, plots: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    for plot, svg in plots.items():
        (folder / plot).write_text(svg)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-quick", action="store_true", help="at most 15 minutes in all")
    parser.add_argument("-only", default="", metavar="TOPIC,…", help=", ".join(topic.key for topic in TOPICS))
    parser.add_argument("-consul", default="", metavar="PATH", help="the Consul to compare with (default: the one on PATH)")
    parser.add_argument("-out", type=Path, default=HERE / "results", metavar="FOLDER", help="for report.html and report.md")
    parser.add_argument("-publish", action="store_true", help="also into README.md and docs/benchmarks/")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = path_with(options.consul, Path(folder))
        about = machine.describe(path)
        if missing := [name for name, version in about.items() if version == machine.NOT_HERE]:
            print(f"not on PATH: {', '.join(missing)}; what needs them is left out", file=sys.stderr)
        run = Run(options.quick, path, began + QUICK_S)
        for topic in choose(options.only):
            run.take(topic)
    report = pages.Report(about, options.quick, time.monotonic() - began, run.results)
    _save(options.out, "report.md", pages.markdown(report), pages.plots(report))
    (options.out / "report.html").write_text(pages.html(report))
    if options.publish:
        publish(pages.markdown(report), pages.plots(report), pages.headlines(report, "docs/benchmarks/"))
    print("\n" + pages.headlines(report, ""))
    print(f"\n{options.out / 'report.html'}, {options.out / 'report.md'}: {pages.summary(report)}")
    return 1 if any(result.problems for result in run.results) else 0


if __name__ == "__main__":
    sys.exit(main())
