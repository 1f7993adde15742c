"""What a benchmark found, so that a program can read it: ``-json FILE`` of each benchmark, which ``report.py`` puts together."""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

CONSUL: Final = "Consul"


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was measured.

    ``ours`` and ``peers`` are the samples, in ``unit``; where both are as long, those of one place are a pair, one taken right after the
    other. ``peer`` is who is beside us (a program, or a formula). ``wanted``: our ratio to the peer, at least where more is better, at most
    where less is. ``limit``: the same of our own value. ``at``: the place on a curve (how many members) of the name.
    """

    name: str
    unit: str
    ours: Sequence[float]
    peers: Sequence[float] = ()
    peer: str = CONSUL
    more_is_better: bool = True
    wanted: float | None = None
    limit: float | None = None
    at: float | None = None

    @property
    def value(self) -> float:
        return statistics.median(self.ours)

    @property
    def peer_value(self) -> float | None:
        return statistics.median(self.peers) if self.peers else None

    @property
    def ratio(self) -> float | None:
        """Ours to the peer's: the median of the pairs' where there are pairs, else of the medians."""
        if self.peer_value is None or min(self.peers) <= 0:
            return None
        if len(self.ours) == len(self.peers):
            return statistics.median(own / other for own, other in zip(self.ours, self.peers, strict=True))
        return self.value / self.peer_value

    @property
    def is_reached(self) -> bool | None:
        """None where nothing was asked for, or there is nobody to compare with."""
        answers = [
            reached >= asked if self.more_is_better else reached <= asked
            for reached, asked in ((self.ratio, self.wanted), (self.value, self.limit))
            if asked is not None and reached is not None
        ]
        return all(answers) if answers else None


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-json", type=Path, metavar="FILE", help="also write what was found to this file, for report.py")


def write(path: Path | None, rows: Sequence[Row]) -> None:
    """What never came to an end (infinite) is left out; a row without any sample too."""
    found = [msgspec.structs.replace(row, ours=_ended(row.ours), peers=_ended(row.peers)) for row in rows]
    if path is not None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode([row for row in found if row.ours]), indent=1))


def _ended(samples: Sequence[float]) -> list[float]:
    return [value for value in samples if math.isfinite(value)]


def read(path: Path) -> list[Row]:
    return msgspec.json.decode(path.read_bytes(), type=list[Row])
