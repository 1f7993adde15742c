"""Writes under way: in order, in batches, sent again after a broken stream with the same request ID, which the catalog
answers with its first result (docs/architecture.md, "A write").

Pure: the shell takes batches out, puts results in, and keeps the deadlines.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from rostra.errors import Busy, NoLeader, NoServers, NotLeader, NotReady, RostraError, Timeout, Unavailable, UnknownOutcome
from rostra.views.barriers import ANSWER_SLACK_S
from rostra.views.messages import WriteResult

MAX_BATCH_COUNT: Final = 256
MAX_BATCH_BYTES: Final = 1 << 19

SLOW_S: Final = 0.1
"""After so long without a result the server is asked whether it is there at all."""

NOT_DONE: Final = (NotLeader, NoLeader, NoServers, NotReady)
"""Refusals that say for certain that nothing was proposed."""

P = TypeVar("P")
T = TypeVar("T")


class State(enum.Enum):
    """Where a write is."""

    QUEUED = "queued"
    IN_FLIGHT = "in flight"
    FORGOTTEN = "forgotten"


@dataclass(slots=True, eq=False)
class PendingWrite(Generic[P, T]):
    """``uncertain``: it was handed on once without a word of its fate. The last four are of the last time it was sent: its
    sequence, when, how long the server may take, and when an answer is overdue."""

    payload: P
    size: int
    ticket: T
    deadline: float
    state: State = State.QUEUED
    uncertain: bool = False
    sequence: int = 0
    sent_at: float = 0.0
    timeout_s: float = 0.0
    answer_by: float = 0.0

    def fate(self) -> RostraError:
        """What its writer is told when its time is up."""
        if self.uncertain or self.state is State.IN_FLIGHT:
            return UnknownOutcome("the write was handed on, but its fate was not learned in time; it may or may not have happened")
        return NoLeader()


@dataclass(frozen=True, slots=True)
class Decided(Generic[T]):
    """What the writer is told; ``watch_told`` as in the result."""

    ticket: T
    index: int
    error: RostraError | None
    watch_told: bool = False


class Writes(Generic[P, T]):
    """At most ``max_pending`` in all."""

    def __init__(self, max_pending: int) -> None:
        self._max_pending = max_pending
        self._queue: dict[PendingWrite[P, T], None] = {}  # in order, and quick to forget one
        self._in_flight: dict[int, PendingWrite[P, T]] = {}
        self._last_sequence = 0

    def __len__(self) -> int:
        return len(self._queue) + len(self._in_flight)

    @property
    def queued(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._queue)

    def add(self, payload: P, size: int, ticket: T, deadline: float) -> PendingWrite[P, T]:
        """Raises ``Busy`` when there are too many."""
        if len(self) >= self._max_pending:
            raise Busy(f"{self._max_pending} writes are under way")
        write = PendingWrite(payload, size, ticket, deadline)
        self._queue[write] = None
        return write

    def take(self, now: float, patience_s: float) -> Sequence[PendingWrite[P, T]]:
        """The next batch, which is in flight from now on. ``patience_s`` is how long one server may take over a write."""
        batch: list[PendingWrite[P, T]] = []
        size = 0
        for write in self._queue:
            size += write.size
            if batch and (len(batch) >= MAX_BATCH_COUNT or size > MAX_BATCH_BYTES):
                break
            batch.append(write)
        for write in batch:
            del self._queue[write]
            self._last_sequence += 1
            write.sequence, write.state = self._last_sequence, State.IN_FLIGHT
            write.sent_at, write.timeout_s = now, max(0.0, min(patience_s, write.deadline - now))
            write.answer_by = now + write.timeout_s + ANSWER_SLACK_S
            self._in_flight[write.sequence] = write
        return batch

    def result(self, result: WriteResult) -> Decided[T] | PendingWrite[P, T] | None:
        """What its writer is told, or the write when it has to be sent again, or None when its writer has gone."""
        write = self._in_flight.pop(result.sequence, None)
        if write is None:
            return None
        error = result.error
        not_done = isinstance(error, NOT_DONE) or (isinstance(error, Busy) and write.uncertain)
        if not_done or isinstance(error, (Unavailable, Timeout)):
            write.uncertain |= not not_done
            self._queue_again([write])
            return write
        write.state = State.FORGOTTEN
        return Decided(write.ticket, result.index, error, result.watch_told)

    def lost(self) -> None:
        """The stream broke: what was in flight may have been done, and is sent again before all else."""
        writes = sorted(self._in_flight.values(), key=lambda write: write.sequence)
        self._in_flight.clear()
        for write in writes:
            write.uncertain = True
        self._queue_again(writes)

    def is_slow(self, now: float) -> bool:
        """Whether one has waited for its result for longer than any takes that is not held up."""
        return any(now - write.sent_at > SLOW_S for write in self._in_flight.values())

    def overdue(self, now: float) -> bool:
        """Whether the server did not even answer that it failed."""
        return any(write.answer_by < now for write in self._in_flight.values())

    def forget(self, write: PendingWrite[P, T]) -> None:
        """Its writer has gone."""
        self._queue.pop(write, None)
        self._in_flight.pop(write.sequence, None)
        write.state = State.FORGOTTEN

    def give_up(self) -> Sequence[PendingWrite[P, T]]:
        """All of them, for ever."""
        writes = [*self._in_flight.values(), *self._queue]
        self._in_flight.clear()
        self._queue.clear()
        return writes

    def _queue_again(self, writes: Sequence[PendingWrite[P, T]]) -> None:
        for write in writes:
            write.state = State.QUEUED
        self._queue = {**dict.fromkeys(writes), **self._queue}
