"""The report: what was found, as Markdown with plots beside it, as one page of HTML, and as the short table of README.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import plots as drawn
from rows import Row
from topics import CAUSES, Topic

STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1000px; padding: 0 1em; color: #111827 }
table { border-collapse: collapse; font-size: 13px }
td, th { border-bottom: 1px solid #e5e7eb; padding: .25em .9em .25em 0; text-align: left }
td.number { text-align: right } .no { color: #b91c1c; font-weight: bold } .yes { color: #15803d } svg { max-width: 100%; height: auto }
"""
TITLE: Final = "rostra beside its peers"
CODE: Final = re.compile("`([^`]+)`")
HEADS: Final = ("", "rostra", "peer", "ratio", "wanted", "reached", "samples")


@dataclass(frozen=True)
class Result:
    """One topic: its rows, and why some may be missing."""

    topic: Topic
    rows: Sequence[Row]
    problems: Sequence[str]
    took_s: float


@dataclass(frozen=True)
class Report:
    """All of a run. ``about`` is the machine and the versions."""

    about: dict[str, str]
    quick: bool
    took_s: float
    results: Sequence[Result]


def summary(report: Report) -> str:
    """In a sentence."""
    asked = [row for result in report.results for row in result.rows if row.is_reached is not None]
    reached = sum(row.is_reached is True for row in asked)
    missing = sum(len(result.problems) for result in report.results)
    return f"{reached} of {len(asked)} figures are as wanted" + (f"; {missing} measurements failed" if missing else "")


def plots(report: Report) -> dict[str, str]:
    """File name to SVG."""
    made = {f"{result.topic.key}.svg": _plot(result) for result in report.results}
    found = _headline_rows(report)
    if any(row.ratio for row in found):
        made["headlines.svg"] = drawn.ratios(TITLE, found)
    return {name: svg for name, svg in made.items() if svg}


def markdown(report: Report) -> str:
    parts = [
        f"# {TITLE}\n",
        _introduction(report),
        _table(("", ""), [[f"{what}", value] for what, value in report.about.items()]),
    ]
    parts += ["## What falls short\n", "\n".join(f"- {line}" for line in shortcomings(report)) or "Nothing that was asked for.", ""]
    made = plots(report)
    for result in report.results:
        if not (result.rows or result.problems):
            continue
        parts.append(f"## {result.topic.title}\n")
        if f"{result.topic.key}.svg" in made:
            parts.append(f"![{result.topic.title}]({result.topic.key}.svg)\n")
        parts += [f"**Not whole:** `{problem}`\n" for problem in result.problems]
        parts.append(_table(HEADS, [_cells(row) for row in result.rows]))
    return "\n".join(parts).rstrip() + "\n"


def html(report: Report) -> str:
    """Without anything from elsewhere."""
    parts = [f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{TITLE}</title><style>{STYLE}</style>']
    parts += [f"<h1>{TITLE}</h1>", f"<p>{CODE.sub(_code, escape(_introduction(report)))}</p>"]
    parts.append(_html_table([], [[what, value] for what, value in report.about.items()]))
    falls = "".join(f"<li>{escape(line)}</li>" for line in shortcomings(report))
    parts.append(f"<h2>What falls short</h2>{f'<ul>{falls}</ul>' if falls else '<p>Nothing that was asked for.</p>'}")
    made = plots(report)
    for result in report.results:
        if not (result.rows or result.problems):
            continue
        parts.append(f"<h2>{escape(result.topic.title)}</h2>{made.get(f'{result.topic.key}.svg', '')}")
        parts += [f'<p class="no">Not whole: {escape(problem)}</p>' for problem in result.problems]
        parts.append(_html_table(HEADS, [_cells(row) for row in result.rows]))
    return "\n".join(parts) + "\n</html>\n"


def headlines(report: Report, folder: str) -> str:
    """The table of README.md; plot and whole report are in ``folder``."""
    rows = [[*_cells(row)[:4], _asked(row), _verdict(row)] for row in _headline_rows(report)]
    table = _table((*HEADS[:4], "wanted", "reached"), rows)
    if not folder:
        return table
    about = report.about
    where = f"{about['machine']}; Consul {about['Consul']}, etcd {about['etcd']}, Serf {about['Serf']}; {about['date']}"
    plot = f"![How many times as good as the peer]({folder}headlines.svg)\n\n" if "headlines.svg" in plots(report) else ""
    return f"{table}\n{plot}{where}. {summary(report)}: [the whole report]({folder}README.md).\n"


def _code(found: re.Match[str]) -> str:
    return f"<code>{found[1]}</code>"


def shortcomings(report: Report) -> list[str]:
    """A plain sentence on each figure that is not as wanted."""
    return [
        f"{result.topic.title}, {row.name}: {_short(row)}" for result in report.results for row in result.rows if row.is_reached is False
    ]


def _short(row: Row) -> str:
    said = []
    if row.wanted is not None and row.ratio is not None:
        said.append(f"{row.ratio:.2f} of {row.peer}'s, wanted {'at least' if row.more_is_better else 'at most'} {row.wanted:.2f}")
    if row.limit is not None:
        said.append(f"{_number(row.value)} {row.unit}, wanted {_asked(row, row.limit)}")
    cause = next((why for pattern, why in CAUSES.items() if re.search(pattern, row.name)), "")
    return "; ".join(said) + (f". {cause[0].upper()}{cause[1:]}." if cause else ".")


def _introduction(report: Report) -> str:
    kind = "in brief (fewer and shorter samples)" if report.quick else "at length"
    return (
        f"{summary(report)}. Measured {kind} in {report.took_s / 60:.0f} minutes by `python benchmarks/report.py`."
        " Figures are medians; a ratio is the median of interleaved pairs, ours to the peer's, and the samples are in the last column.\n"
    )


def _plot(result: Result) -> str:
    points = [row for row in result.rows if row.at is not None]
    if points:
        return str(drawn.curves(points))
    bars = [row for row in result.rows if row.ratio]
    return str(drawn.ratios(result.topic.title, bars)) if bars else ""


def _headline_rows(report: Report) -> list[Row]:
    found = []
    for result in report.results:
        by_name: dict[str, Row] = {}
        for row in result.rows:
            by_name.setdefault(row.name, row)
        found += [by_name[name] for name in result.topic.headlines if name in by_name]
    return found


def _cells(row: Row) -> list[str]:
    name = row.name if row.at is None else f"{row.name}, {row.at:,.0f}"
    peer = "" if row.peer_value is None else f"{_number(row.peer_value)} ({row.peer})"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    samples = " ".join(map(_number, row.ours[:9])) + (" …" if len(row.ours) > 9 else "")
    beside = " ".join(map(_number, row.peers[:9])) + (" …" if len(row.peers) > 9 else "")
    return [
        name,
        f"{_number(row.value)} {row.unit}".strip(),
        peer,
        ratio,
        _asked(row),
        _verdict(row),
        f"{samples} / {beside}" if beside else samples,
    ]


def _asked(row: Row, limit: float | None = None) -> str:
    sign = "≥" if row.more_is_better else "≤"
    said = [f"{sign} {row.wanted:.3g} times"] if row.wanted is not None and limit is None else []
    return ", ".join(said + ([f"{sign} {_number(row.limit)} {row.unit}".strip()] if row.limit is not None else []))


def _verdict(row: Row) -> str:
    return {True: "yes", False: "**no**", None: ""}[row.is_reached]


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def _html_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in heads)}</tr>" if heads else ""
    return f"<table>{head}{''.join(_html_line(row) for row in rows)}</table>"


def _html_line(cells: Sequence[str]) -> str:
    marks = {"yes": '<td class="yes">yes</td>', "**no**": '<td class="no">no</td>'}
    return f"<tr>{''.join(marks.get(cell, f'<td>{escape(cell)}</td>') for cell in cells)}</tr>"
