"""Reads that wait for proof of leadership (thesis section 6.4).

A read takes the commit index at its arrival, then waits until a quorum has answered a round that was sent *after* that.
A round serves exactly the reads that arrived before it was sent: one is under way, one is filling.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from rostra.consensus.model import PeerId

ReadContext = tuple[PeerId | None, int]
"""Who asked (None: this server itself), and the number by which it tells its reads apart."""


class ReadQueue:
    """Reads of one leader in one term."""

    def __init__(self) -> None:
        self._early: list[ReadContext] = []
        self._filling: list[tuple[ReadContext, int]] = []
        self._sent: deque[tuple[int, list[tuple[ReadContext, int]]]] = deque()

    @property
    def wants_round(self) -> bool:
        """Reads wait for a round, and none is under way that would have to come back first."""
        return bool(self._filling) and not self._sent

    @property
    def awaits_round(self) -> bool:
        """A round is under way, and somebody waits for it."""
        return bool(self._sent)

    def add_early(self, context: ReadContext) -> None:
        """A read that came before an entry of this term was committed: its index is not known yet."""
        self._early.append(context)

    def take_early(self) -> list[ReadContext]:
        """An entry of this term is committed: these may now be answered like any other."""
        early, self._early = self._early, []
        return early

    def add(self, context: ReadContext, commit_index: int) -> None:
        """A read that needs a round sent from now on."""
        self._filling.append((context, commit_index))

    def round_sent(self, round_: int) -> None:
        """A round leaves now: it serves all that wait, and none that comes after."""
        if self._filling:
            self._sent.append((round_, self._filling))
            self._filling = []

    def confirmed(self, round_: int) -> Iterator[tuple[ReadContext, int]]:
        """A quorum has answered ``round_``, hence every earlier one: yields (context, index)."""
        while self._sent and self._sent[0][0] <= round_:
            yield from self._sent.popleft()[1]

    def fail(self) -> list[ReadContext]:
        """Leadership is lost: no read here is answered."""
        contexts = self.take_early()
        contexts += [context for context, _ in self._filling]
        contexts += [context for _, reads in self._sent for context, _ in reads]
        self._filling = []
        self._sent.clear()
        return contexts
