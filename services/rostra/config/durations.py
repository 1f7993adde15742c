"""Durations as Go writes them, and Consul with it: ``300ms``, ``1.5s``, ``1h30m``. Seconds, as a float, everywhere else.

The syntax is that of the documentation of Go's ``time.ParseDuration``: numbers, each with a unit, without spaces; only zero needs none.
"""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")  # Go takes both letters mu
_LENGTH_MAX = 64
_MAX_NS = 2**63 - 1


def parse_duration(text: str) -> float:
    """The duration in seconds; ``ValueError`` says what is wrong with it."""
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if body == "0":
        return 0.0
    parts = list(_PART.finditer(body)) if len(body) <= _LENGTH_MAX else []
    if not parts or "".join(part[0] for part in parts) != body:
        hint = ": it needs a unit, as in 10s" if re.fullmatch(r"\d+(\.\d+)?", body) else ", as in 300ms, 10s or 1h30m"
        raise ValueError(f'"{text[:_LENGTH_MAX]}" is not a duration{hint}')
    total_ns = int(sum(Decimal(part[1]) * _UNITS_NS[part[2]] for part in parts))
    if total_ns > _MAX_NS:
        raise ValueError(f'"{text}" is too long: a duration ends at about 292 years')
    return sign * total_ns / 1e9


def format_duration(seconds: float) -> str:
    """The shortest text that ``parse_duration`` reads back as the same, to the nanosecond."""
    total_ns = round(abs(seconds) * 1e9)
    sign = "-" if seconds < 0 else ""
    hours, rest = divmod(total_ns, _UNITS_NS["h"])
    minutes, rest = divmod(rest, _UNITS_NS["m"])
    text = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
    if rest:
        whole = hours or minutes or rest >= _UNITS_NS["s"]
        unit = "s" if whole else next(unit for unit in ("ms", "us", "ns") if rest >= _UNITS_NS[unit])
        text += f"{(Decimal(rest) / _UNITS_NS[unit]).normalize():f}{unit}"
    return sign + (text or "0s")
