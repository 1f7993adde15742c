"""Which catalogs a hub may live on, and in what order it tries them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from grpc import aio


@dataclass(frozen=True, slots=True)
class Upstream:
    """A catalog. ``address`` tells it from the others and names it to people; the channel belongs to the source."""

    address: str
    channel: aio.Channel


class Upstreams(Protocol):
    """Where candidates come from: the servers that gossip shows, a fixed list, or the catalog of the same process.

    It is asked anew before each attempt, at most 500 ms apart, so a change needs no notice. A stream that works is kept
    even when its server is no longer listed: gossip may be wrong about a server that answers.
    """

    def candidates(self) -> Sequence[Upstream]:
        """The catalogs known now, in any order that lasts. Asked often, so cheap."""
        ...

    def sought(self) -> Sequence[str]:
        """Where a server was looked for: what to tell a person when none is found. Empty where there is nothing to look for."""
        ...

    def population(self) -> int:
        """How many processes choose among these catalogs, about; 0 where that is not known."""
        ...


class FixedUpstreams:
    """A list that stays, for addresses given by a flag and for the in-process channel."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        self._upstreams = tuple(upstreams)

    def candidates(self) -> Sequence[Upstream]:
        return self._upstreams

    def sought(self) -> Sequence[str]:
        return ()

    def population(self) -> int:
        return 0


class Rotation:
    """Tries one candidate after the other, round and round, from one chosen at random: so the processes of a fleet spread."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._last = ""

    def choose(self, candidates: Sequence[Upstream], prefer: str = "") -> Upstream | None:
        """The candidate at ``prefer``, else the one after the last chosen, else any; None when there is none."""
        if not candidates:
            return None
        addresses = [candidate.address for candidate in candidates]
        if prefer in addresses:
            chosen = candidates[addresses.index(prefer)]
        elif self._last in addresses:
            chosen = candidates[(addresses.index(self._last) + 1) % len(candidates)]
        else:
            chosen = self._rng.choice(candidates)
        self._last = chosen.address
        return chosen
