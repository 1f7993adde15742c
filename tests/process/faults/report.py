"""One page about a run: faults on a timeline, what was done each second and what failed, and the verdicts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Final

from .history import Call, History, Kind

WIDTH: Final = 1200
LEFT: Final = 150
ROW: Final = 16
PLOT: Final = 70
BARS: Final = 240
STYLE: Final = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1250px; color: #222 }
h1 { font-size: 1.4em } table { border-collapse: collapse } td, th { padding: .2em 1em .2em 0; text-align: left; vertical-align: top }
svg text { font: 11px system-ui, sans-serif; fill: #444 } .bad { color: #b00020 } .good { color: #1b7f3b }
"""
SHIFTS: Final = {"all": "#d1d5db", "the servers": "#93c5fd", "the clients": "#86efac"}
OTHER: Final = "#fcd34d"
LEGEND: Final = (
    "Faults: red while they last, pale until the members have found each other again. Most calls go to: grey, no agent more than another; "
    "blue, the servers; green, the clients; yellow, one agent. Below: what was answered in each second; red, what was not."
)
GROUPS: Final[Sequence[tuple[str, tuple[Kind, ...], str]]] = (
    ("writes", (Kind.REGISTER, Kind.WRITE), "#2563eb"),
    ("reads", (Kind.READ, Kind.STALE_READ), "#059669"),
    ("watches", (Kind.WATCH,), "#7c3aed"),
    ("DNS", (Kind.DNS,), "#d97706"),
)


def render(title: str, history: History, verdicts: Mapping[str, Sequence[str]]) -> str:
    """HTML without anything from elsewhere."""
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>
<h1>{escape(title)}</h1>
{_table_of_verdicts(verdicts)}
<h2>Faults, and what went through in each second</h2>
<p>{LEGEND}</p>
{_timeline(history)}
<h2>Slow to heal</h2>
{_table_of_healing(history)}
<h2>Errors, by text</h2>
{_table_of_errors(history)}
</html>
"""


def _table_of_verdicts(verdicts: Mapping[str, Sequence[str]]) -> str:
    rows = []
    for name, problems in verdicts.items():
        verdict = '<span class="good">holds</span>' if not problems else f'<span class="bad">broken {len(problems)} times</span>'
        rows.append(f"<tr><td>{escape(name)}</td><td>{verdict}</td><td>{'<br>'.join(map(escape, problems[:10]))}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def _table_of_healing(history: History) -> str:
    """What took longest from mending until all was whole, and what was the last thing wanting."""
    faults = sorted(history.faults, key=lambda fault: fault.mended_s - fault.whole_s)[:10]
    rows = [
        f"<tr><td>{fault.whole_s - fault.mended_s:.1f} s</td><td>{escape(fault.name)} at {fault.began_s:.0f} s</td>"
        f"<td>{escape(' '.join(fault.agents))}</td><td>{escape(fault.wanting)}</td></tr>"
        for fault in faults
    ]
    return f"<table>{''.join(rows)}</table>"


def _table_of_errors(history: History) -> str:
    counts = Counter((call.kind.value, call.problem) for call in history.calls if call.problem)
    rows = [f"<tr><td>{count}</td><td>{escape(kind)}</td><td>{escape(text)}</td></tr>" for (kind, text), count in counts.most_common(40)]
    return f"<table>{''.join(rows)}</table>"


def _timeline(history: History) -> str:
    end_s = max((call.ended_s for call in history.calls), default=1.0)
    place: Callable[[float], float] = lambda seconds: LEFT + (WIDTH - LEFT - 30) * seconds / end_s  # noqa: E731
    names = sorted({fault.name for fault in history.faults})
    parts = [_ticks(end_s, place)]
    for row, name in enumerate(names):
        y = 20 + row * ROW
        parts.append(f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
        for fault in (each for each in history.faults if each.name == name):
            x, mended, whole = place(fault.began_s), place(fault.mended_s), place(fault.whole_s)
            title = f"<title>{escape(' '.join(fault.agents))}: {fault.began_s:.1f} s to {fault.mended_s:.1f} s</title>"
            parts.append(f'<rect x="{x:.1f}" y="{y}" width="{max(1.0, mended - x):.1f}" height="12" fill="#dc2626">{title}</rect>')
            parts.append(f'<rect x="{mended:.1f}" y="{y}" width="{max(0.0, whole - mended):.1f}" height="12" fill="#fca5a5">{title}</rect>')
    parts.append(_shifts(history, end_s, 20 + len(names) * ROW, place))
    top = 20 + (len(names) + 1) * ROW + 20
    for label, kinds, colour in GROUPS:
        parts.append(_plot(label, history.of(*kinds), colour, top, place, math.ceil(end_s / BARS)))
        top += PLOT + 20
    return f'<svg viewBox="0 0 {WIDTH} {top}" width="100%">{"".join(parts)}</svg>'


def _shifts(history: History, end_s: float, y: int, place: Callable[[float], float]) -> str:
    """Whom most of the load went to, and when that changed."""
    parts = [f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">most calls go to</text>']
    ends = [*(shift.at_s for shift in history.shifts[1:]), end_s]
    for shift, end in zip(history.shifts, ends, strict=True):
        x, width = place(shift.at_s), max(1.0, place(end) - place(shift.at_s))
        box = f'x="{x:.1f}" y="{y}" width="{width:.1f}" height="12"'
        title = f"<title>{escape(shift.label)}: from {shift.at_s:.1f} s to {end:.1f} s</title>"
        parts.append(f'<rect {box} fill="{SHIFTS.get(shift.label, OTHER)}" stroke="white">{title}</rect>')
    return "".join(parts)


def _ticks(end_s: float, place: Callable[[float], float]) -> str:
    step = max(1, round(end_s / 12))
    return "".join(
        f'<text x="{place(second):.1f}" y="12" text-anchor="middle">{second} s</text>' for second in range(0, int(end_s) + 1, step)
    )


def _plot(label: str, calls: Sequence[Call], colour: str, top: int, place: Callable[[float], float], step: int) -> str:
    """Bars upwards for what was answered in a second, red ones for what was not; each of some seconds where there would be too many."""
    good = Counter(int(call.ended_s / step) for call in calls if call.is_certain)
    bad = Counter(int(call.ended_s / step) for call in calls if not call.is_certain)
    highest = max([*good.values(), *bad.values(), 1])
    width = max(1.0, place(step) - place(0) - 0.5)
    parts = [
        f'<text x="{LEFT - 8}" y="{top + 12}" text-anchor="end">{label}</text>'
        f'<text x="{LEFT - 8}" y="{top + 26}" text-anchor="end">at most {highest / step:.0f}/s</text>'
    ]
    for counts, fill in ((good, colour), (bad, "#dc2626")):
        for number, count in counts.items():
            height = PLOT * count / highest
            box = f'x="{place(number * step):.1f}" y="{top + PLOT - height:.1f}" width="{width:.1f}" height="{height:.1f}"'
            parts.append(f'<rect {box} fill="{fill}" fill-opacity="0.75"><title>{count / step:.1f}/s at {number * step} s</title></rect>')
    return "".join(parts)
