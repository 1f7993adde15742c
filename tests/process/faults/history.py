"""What was done and what came of it, in the time of one clock."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field

from ..harness.pressure import stretched


class Kind(enum.Enum):
    """What a call was."""

    REGISTER = "register"
    WRITE = "write"
    READ = "read"
    STALE_READ = "stale read"
    WATCH = "watch"
    DNS = "dns"


@dataclass(frozen=True, slots=True)
class Call:
    """One call to one agent. Seconds since the run began.

    ``subject`` is the node that it is about. ``is_certain``: it was answered as done; a write that was not may have been done all the
    same. ``value`` is what was written or seen, ``position`` the log index that a read saw it at (0: none).
    """

    kind: Kind
    agent: str
    subject: str
    began_s: float
    ended_s: float
    is_certain: bool
    value: str = ""
    position: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something bad, from its beginning until it was mended and the members had found each other again; ``wanting`` is the last thing
    that was not yet as it should be after mending."""

    name: str
    agents: tuple[str, ...]
    began_s: float
    mended_s: float
    whole_s: float
    wanting: str = ""


@dataclass(frozen=True, slots=True)
class Shift:
    """From this second half of all calls go to whom the label names; ``all``: none is preferred."""

    at_s: float
    label: str


@dataclass
class History:
    """Calls in order of their end, faults and shifts in order. ``pressure``: how overrun the machine was at its worst (1: not at all)."""

    began: float = field(default_factory=time.monotonic)
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    shifts: list[Shift] = field(default_factory=list)
    pressure: float = 1.0

    def now_s(self) -> float:
        return time.monotonic() - self.began

    def note_pressure(self) -> None:
        self.pressure = max(self.pressure, stretched(1.0))

    def of(self, *kinds: Kind) -> list[Call]:
        return [call for call in self.calls if call.kind in kinds]
