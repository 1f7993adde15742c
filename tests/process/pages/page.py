"""What a page tells its reader to do. A comment that nobody sees marks each block of a page:

    <!-- run -->                  starts something that goes on: a reader gives it a terminal of its own
    <!-- run each -->             the same for each line of the block
    <!-- try -->                  commands that end well, typed in one terminal after the other
    <!-- try until -->            the same, again and again until they end well and show what is expected: where the page says "soon"
    <!-- try: TEXT -->            the same two, which also show this text: where spelling it out would be in the reader's way
    <!-- expect -->               what the block before shows; … stands for anything
    <!-- file: NAME -->           a file to write
    <!-- stop: WHAT -->           no block: Ctrl-C in the terminal of the run whose command has this text in it
    <!-- kill: WHAT -->           no block: kill -9
    <!-- needs: PROGRAM -->       no block: what the page needs on PATH beside rostra
    <!-- only shown: REASON -->   a block that cannot be run here

``on MACHINE``, or ``on MACHINE, MACHINE``, after the first words says on which machines of several, one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WITH_BLOCK = ("run", "run each", "try", "try until", "expect", "file", "only shown")
WITHOUT_BLOCK = ("stop", "kill", "needs")
KINDS = "|".join(sorted(WITH_BLOCK + WITHOUT_BLOCK, key=len, reverse=True))
MARK = re.compile(rf"^<!-- (?P<kind>{KINDS})(?: on (?P<machines>[\w-]+(?:, [\w-]+)*))?(?:: (?P<name>.+))? -->$")
FENCE = re.compile(r"^(?P<fence>```+)(?P<language>\w*)\s*$")


@dataclass(frozen=True)
class Step:
    """One thing to do, or to expect. ``line`` is where the page says so."""

    kind: str
    line: int
    text: str = ""
    name: str = ""
    machines: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Block:
    """A fenced block and the mark before it, if any."""

    line: int
    language: str
    text: str
    mark: re.Match[str] | None


def steps(page: Path) -> Iterator[Step]:
    """What the marks say, in order."""
    for item in _items(page):
        if isinstance(item, Block):
            if item.mark is not None and item.mark["kind"] != "only shown":
                yield _step(item.mark, item.line, item.text)
        else:
            line, mark = item
            yield _step(mark, line, "")


def blocks(page: Path) -> list[Block]:
    return [item for item in _items(page) if isinstance(item, Block)]


def _step(mark: re.Match[str], line: int, text: str) -> Step:
    return Step(mark["kind"], line, text, mark["name"] or "", tuple((mark["machines"] or "").split(", ")))


def _items(page: Path) -> Iterator[Block | tuple[int, re.Match[str]]]:
    pending: re.Match[str] | None = None
    lines = enumerate(page.read_text().splitlines(), 1)
    for number, line in lines:
        if fence := FENCE.match(line.strip()):
            body = []
            for _, inner in lines:
                if inner.strip() == fence["fence"]:
                    break
                body.append(inner)
            yield Block(number, fence["language"], "\n".join(body) + "\n", pending)
            pending = None
        elif mark := MARK.match(line.strip()):
            if mark["kind"] in WITHOUT_BLOCK:
                yield number, mark
            else:
                pending = mark
        elif line.strip():
            assert pending is None, f"{page.name}:{number}: a mark and no block after it"


def pattern(expected: str) -> re.Pattern[str]:
    """Finds what a page expects: … is anything, a line of it alone any lines, and the width of gaps does not matter."""
    parts = []
    for line in expected.strip().splitlines():
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            words = (".*".join(map(re.escape, word.split("…"))) for word in line.split())
            parts.append(r"[ \t]*" + r"[ \t]+".join(words) + r"[ \t]*(?:\n|\Z)")
    return re.compile("".join(parts))
