"""Proposals whose fate is not known yet.

A leader knows where it put a proposal, so its fate is a question about that place in the log: committed there in that
term, or another entry committed there, which means it never will be. Only when neither is learned in time is the outcome
unknown, and then it is called that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from rostra.errors import NotLeader, RostraError, UnknownOutcome


@dataclass(frozen=True, slots=True)
class Committed:
    """A proposal's place in the log. It is on disk at a quorum."""

    index: int
    term: int


Outcome = Committed | RostraError
"""An error is definite (nothing was done and nothing will be), unless it is ``UnknownOutcome``."""


@dataclass(slots=True)
class Batch:
    """Consecutive entries of one proposer, all of one term. ``put_at``: when they were put into the log."""

    first: int
    count: int
    term: int
    size: int
    future: asyncio.Future[list[Outcome]]
    put_at: float = 0.0
    known: list[Outcome] = field(default_factory=list)

    @property
    def last(self) -> int:
        return self.first + self.count - 1


class PendingProposals:
    """Batches in the log. ``count`` and ``size`` are what is not decided yet, for the bound on it."""

    def __init__(self) -> None:
        self._current: deque[Batch] = deque()
        self._former: list[Batch] = []
        self.count = 0
        self.size = 0

    def add(self, batch: Batch) -> None:
        """A batch was put into the log of the leader that this server is."""
        self._current.append(batch)
        self.count += batch.count
        self.size += batch.size

    def committed_in_office(self, commit_index: int) -> None:
        """The commit index moved while this server led: every entry up to there is where it was put."""
        while self._current and self._current[0].last <= commit_index:
            batch = self._current.popleft()
            self._decide(batch, [Committed(index, batch.term) for index in range(batch.first, batch.last + 1)])

    def leave_office(self) -> None:
        """Leadership is lost: from now on each entry has to be looked for in the log."""
        self._former.extend(self._current)
        self._current.clear()

    def committed(self, commit_index: int, term_of: Callable[[int], int | None]) -> None:
        """The commit index moved: look for the entries of former terms. ``term_of`` is None where the log is gone."""
        for batch in list(self._former):
            while len(batch.known) < batch.count and (index := batch.first + len(batch.known)) <= commit_index:
                batch.known.append(_fate(index, batch.term, term_of(index)))
            if len(batch.known) == batch.count or batch.future.done():
                self._former.remove(batch)
                self._decide(batch, batch.known)

    def give_up(self) -> None:
        """The server stops: what is not known by now stays unknown to the proposer."""
        for batch in [*self._former, *self._current]:
            unknown = [UnknownOutcome("this server stopped") for _ in range(batch.count - len(batch.known))]
            self._decide(batch, [*batch.known, *unknown])
        self._former.clear()
        self._current.clear()

    @property
    def oldest_put_at(self) -> float | None:
        """When the entries that wait longest were put into the log of this leader."""
        return self._current[0].put_at if self._current else None

    @property
    def has_former(self) -> bool:
        """Whether any batch of a former term waits."""
        return bool(self._former)

    def _decide(self, batch: Batch, outcomes: list[Outcome]) -> None:
        self.count -= batch.count
        self.size -= batch.size
        if not batch.future.done():
            batch.future.set_result(outcomes)


def _fate(index: int, term: int, found: int | None) -> Outcome:
    if found == term:
        return Committed(index, term)
    if found is None:
        return UnknownOutcome("leadership was lost, and a snapshot has taken the place of the log")
    return NotLeader()
