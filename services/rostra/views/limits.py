"""The hub's own limits, with defaults and their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Durations in seconds."""

    patience_s: float = 2.0
    """How long one of several servers may look for a leader before the next is asked."""

    silence_s: float = 3.0
    """Servers say how fresh they are every second; one that said nothing for so long is taken for dead."""

    asked_silence_s: float = 0.5
    """The same where somebody waits for its answer and there is another server, which is to answer within a second; see ``silence``."""

    rebalance_s: float = 10.0
    """When a server comes, those who move to it do so over this time."""

    leader_seats: int = 32
    """Of a fleet, about so many live on the leader beside its share: their default reads and writes take one hop less. Each may have a
    barrier and a batch of writes under way there, a tenth of a millisecond of its processor each."""

    max_topics: int = 4096
    """Topics kept at once; the least recently used gives way."""

    idle_s: float = 600.0
    """A topic that nobody asked for in so long is let go; the lists of nodes and services never are."""

    max_pending_writes: int = 4096
    """Writes under way at once; a further one is refused as Busy."""


DEFAULT_LIMITS: Final = HubLimits()
