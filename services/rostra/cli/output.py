"""What a command prints: Consul's tables, byte for byte, in a pipe; the same in colour on a terminal; JSON for programs.

rich costs as much start-up time as the rest of a command together, so it is used only where it does what a plain table cannot: fold
the columns of a table that is wider than the terminal.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Self

from rostra.errors import BadRequest

GAP = "  "
COLOURS = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1"}

MANY = 4
"""From this many on, work that takes a while for each shows a bar."""

Row = Sequence[str]


def table(rows: Sequence[Row]) -> str:
    """Columns as wide as their widest cell, two spaces between, nothing after the last. The first row is the header."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "".join(GAP.join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) + "\n" for row in rows)


def print_table(rows: Sequence[Row], colours: Mapping[str, str] | None = None) -> None:
    """Print a table; on a terminal the header is bold and a row with a cell among ``colours`` shows that cell in its colour."""
    if not _is_colourful():
        sys.stdout.write(table(rows))
        return
    visible = [[_printable(cell) for cell in row] for row in rows]
    text = table(visible)
    if max(map(len, text.splitlines())) <= os.get_terminal_size(sys.stdout.fileno()).columns:
        sys.stdout.write(_coloured(text, visible, colours or {}))
    else:
        _print_folded(visible, colours or {})


def _is_colourful() -> bool:
    """Whether there is a terminal that shows colours, and its user wants them (https://no-color.org)."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")


def _printable(cell: str) -> str:
    """A name comes from the network: on a terminal its control characters are shown, not obeyed."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in cell)


def _coloured(text: str, rows: Sequence[Row], colours: Mapping[str, str]) -> str:
    header, *lines = text.splitlines()
    painted = [_paint(header, "bold")]
    for line, row in zip(lines, rows[1:], strict=True):
        start = 0
        for column, cell in enumerate(row):
            if cell in colours:
                line = line[:start] + _paint(cell, colours[cell]) + line[start + len(cell) :]
                break
            start += max(len(other[column]) for other in rows) + len(GAP)
        painted.append(line)
    return "\n".join(painted) + "\n"


def _paint(text: str, colour: str) -> str:
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def _print_folded(rows: Sequence[Row], colours: Mapping[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    folded = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style="bold")
    for title in rows[0]:
        folded.add_column(Text(title), overflow="fold")
    for row in rows[1:]:
        folded.add_row(*(Text(cell, style=colours.get(cell, "")) for cell in row))
    Console().print(folded)


def print_json(value: object) -> None:
    """For programs: indented by four, as Consul's own ``?pretty`` is."""
    sys.stdout.write(json.dumps(value, indent=4, ensure_ascii=False) + "\n")


def tracked(items: Sequence[str], what: str) -> Iterable[str]:
    """The items one by one; on a terminal a bar on standard error shows how far it is, where there are many."""
    if len(items) < MANY or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, what, console=Console(stderr=True), transient=True)


def complain(message: str) -> None:
    """One line on standard error."""
    print(message, file=sys.stderr)


@contextmanager
def opened(path: str, what: str) -> Iterator[IO[bytes]]:
    """A file that a command reads. Raises ``BadRequest`` in Consul's words where it cannot be opened."""
    try:
        file = open(path, "rb")  # noqa: SIM115 (closed below, once the caller is done)
    except OSError as error:
        raise BadRequest(f"Error opening {what}: open {path}: {(error.strerror or str(error)).lower()}") from None
    with file:
        yield file


class Progress:
    """A bar on standard error while something long goes on, where that is a terminal; else nothing. ``total`` in bytes, if it is known."""

    def __init__(self, doing: str, total: int | None = None) -> None:
        self._bar: Any = None
        if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(doing, total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int) -> None:
        """So many more bytes are done."""
        if self._bar is not None:
            self._bar.advance(self._task, count)
