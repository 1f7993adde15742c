"""Plots as plain SVG: ratios on a logarithmic scale, and curves. Readable on a light and a dark page: each has a ground of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from rows import Row

WIDTH: Final = 900
LEFT: Final = 380
RIGHT: Final = 130
LINE: Final = 22
TOP: Final = 46
GOOD, BAD, PLAIN, PEER, GREY = "#15803d", "#b91c1c", "#2563eb", "#9ca3af", "#6b7280"
CURVE_WIDTH, CURVE_HEIGHT = 430, 250
TICKS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def colour(row: Row) -> str:
    return {True: GOOD, False: BAD, None: PLAIN}[row.is_reached]


def ratios(title: str, rows: Sequence[Row]) -> str:
    """How many times as good as the peer, row by row: to the right of 1 we are better. A tick says what is wanted."""
    shown = [(row, advantage(row)) for row in rows if row.ratio]
    values = [value for _, value in shown] + [_wanted(row) or 1.0 for row, _ in shown]
    low, high = _ends(values)
    place: Callable[[float], float] = lambda value: (  # noqa: E731
        LEFT + (WIDTH - LEFT - RIGHT) * (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    )
    bottom = TOP + LINE * len(shown)
    parts = [_text(12, 20, title, weight="bold", size=14), *_scale(low, high, place, bottom)]
    for number, (row, value) in enumerate(shown):
        parts += _bar(row, value, TOP + LINE * number, place)
    note = "how many times as good as the peer, on a logarithmic scale; | what is wanted; green: reached, red: not"
    parts.append(_text(12, bottom + 24, note, fill=GREY))
    return _svg(WIDTH, bottom + 36, parts)


def advantage(row: Row) -> float:
    """The ratio, turned round where less is better."""
    assert row.ratio
    return float(row.ratio if row.more_is_better else 1 / row.ratio)


def _wanted(row: Row) -> float | None:
    if not row.wanted:
        return None
    return float(row.wanted if row.more_is_better else 1 / row.wanted)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Ticks around all values, and around 1."""
    low, high = min([*values, 0.5]), max([*values, 2.0])
    return max((tick for tick in TICKS if tick <= low), default=low), min((tick for tick in TICKS if tick >= high), default=high)


def _scale(low: float, high: float, place: Callable[[float], float], bottom: int) -> list[str]:
    parts = []
    for tick in (tick for tick in TICKS if low <= tick <= high):
        x, stroke = place(tick), "#111827" if tick == 1 else "#e5e7eb"
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}" stroke="{stroke}"/>')
        parts.append(_text(x, TOP - 10, f"{tick:g}", anchor="middle", fill=GREY))
    return parts


def _bar(row: Row, value: float, y: int, place: Callable[[float], float]) -> list[str]:
    start, end = sorted((place(1), place(value)))
    title = f"<title>{escape(row.name)}: {row.value:,.4g} {escape(row.unit)}, {escape(row.peer)} {row.peer_value or 0:,.4g}</title>"
    parts = [
        _text(LEFT - 10, y + 14, _shortened(row.name), anchor="end"),
        f'<rect x="{start:.1f}" y="{y + 4}" width="{max(1.5, end - start):.1f}" height="13" fill="{colour(row)}">{title}</rect>',
        _text(WIDTH - RIGHT + 10, y + 14, f"{value:.2g} times {row.peer}" if value < 10 else f"{value:.0f} times {row.peer}"),
    ]
    if wanted := _wanted(row):
        x = place(wanted)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y + 1}" y2="{y + 20}" stroke="#111827" stroke-width="2"/>')
    return parts


def curves(rows: Sequence[Row]) -> str:
    """A small picture for each name: ours with its range, and what is beside it."""
    names = list(dict.fromkeys(row.name for row in rows))
    parts = []
    for number, name in enumerate(names):
        x, y = (number % 2) * (CURVE_WIDTH + 20), (number // 2) * (CURVE_HEIGHT + 20)
        parts.append(f'<g transform="translate({x},{y})">{_curve(name, [row for row in rows if row.name == name])}</g>')
    height = math.ceil(len(names) / 2) * (CURVE_HEIGHT + 20)
    return _svg(2 * CURVE_WIDTH + 40, height, parts)


def _curve(name: str, rows: Sequence[Row]) -> str:
    rows = sorted(rows, key=lambda row: row.at or 0)
    places = [row.at or 0 for row in rows]
    highest = 1.1 * (max(value for row in rows for value in (*row.ours, *row.peers)) or 1.0)
    left, right, top, bottom = 60, CURVE_WIDTH - 20, 34, CURVE_HEIGHT - 34
    first, last = math.log10(min(places)), math.log10(max(places))
    x_of: Callable[[float], float] = lambda at: left + (right - left) * ((math.log10(at) - first) / (last - first) if last > first else 0.5)  # noqa: E731
    y_of: Callable[[float], float] = lambda value: bottom - (bottom - top) * value / highest  # noqa: E731
    unit = f", {rows[0].unit}" if rows[0].unit else ""
    parts = [
        _text(left, 18, f"{name}{unit}", weight="bold"),
        f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#111827"/>',
        *(_text(left - 6, y_of(part * highest) + 4, f"{part * highest:.3g}", anchor="end", fill=GREY) for part in (0, 0.5, 1)),
        *(_text(x_of(at), bottom + 16, f"{at:,.0f}", anchor="middle", fill=GREY) for at in places),
    ]
    if any(row.peers for row in rows):
        parts.append(_line([(x_of(row.at or 0), y_of(row.peer_value or 0)) for row in rows if row.peers], PEER, dash="5 4"))
        parts.append(_text(right, top + 4, f"- - {rows[0].peer}", anchor="end", fill=GREY))
    for row in rows:
        x, worst, best = x_of(row.at or 0), y_of(max(row.ours)), y_of(min(row.ours))
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{worst:.1f}" y2="{best:.1f}" stroke="{PLAIN}" stroke-opacity="0.5"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y_of(row.value):.1f}" r="3.5" fill="{PLAIN}"/>')
    parts.append(_line([(x_of(row.at or 0), y_of(row.value)) for row in rows], PLAIN))
    return "".join(parts)


def _line(points: Sequence[tuple[float, float]], stroke: str, dash: str = "none") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{stroke}" stroke-width="2" stroke-dasharray="{dash}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", fill: str = "#111827", weight: str = "normal", size: int = 12) -> str:
    style = f'font-size="{size}" font-weight="{weight}" fill="{fill}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _shortened(name: str) -> str:
    return name if len(name) <= 58 else f"{name[:57]}…"


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    ground = f'<rect width="{width}" height="{height}" rx="6" fill="white"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" font-family="system-ui, sans-serif">'
    return f"{head}{ground}{''.join(parts)}</svg>\n"
