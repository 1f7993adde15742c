"""Barriers: how many reads share one question to the leader and still are linearizable (docs/architecture.md, "A read").

A barrier serves exactly the requests that arrived before it was sent. So requests gather in a batch while the barrier
of the batch before is in flight: one in flight and one filling, for each mode. A barrier that fails, or whose stream
breaks, is sent again with all who came meanwhile, until the first of them has waited for the hold time. Then all are
given up, and new ones are refused at once until a leader is seen.

No clock and no stream: ``now`` comes in, requests and tickets go out. A ticket is whatever the shell lets a batch share.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import msgspec

from rostra.errors import NoLeader
from rostra.model.consistency import Consistency
from rostra.rpc.back_off import BackOff
from rostra.views.messages import BarrierRequest

ANSWER_SLACK_S: Final = 0.5
"""How much longer than it was given a server may take to answer a barrier before its stream is given up."""

T = TypeVar("T")


class Barrier(msgspec.Struct, frozen=True):
    """Proof of freshness: the server behind the stream had applied ``index``, which no write exceeds that was acknowledged
    before ``sent_at``. Positions count what happened on the hub's streams; they order, and mean nothing else."""

    consistency: Consistency
    index: int
    sent_at: int
    reached_at: int


@dataclass(slots=True)
class Batch(Generic[T]):
    """Requests that share a fate."""

    ticket: T
    deadline: float
    requests: int = 0


@dataclass(slots=True)
class _Lane(Generic[T]):
    """One mode. ``number`` is that of the barrier in flight, 0 for none; only the last of ``waiting`` may still fill."""

    consistency: Consistency
    back_off: BackOff
    waiting: list[Batch[T]] = field(default_factory=list)
    filling: Batch[T] | None = None
    in_flight: list[Batch[T]] = field(default_factory=list)
    number: int = 0
    sent_at: int = 0
    asked_at: float = 0.0
    answer_by: float = 0.0
    retry_at: float = 0.0

    def close_batch(self) -> None:
        self.in_flight, self.waiting, self.filling = self.waiting, [], None

    def take_back(self) -> None:
        self.waiting, self.in_flight, self.number = self.in_flight + self.waiting, [], 0


class Barriers(Generic[T]):
    """``positions`` is shared with the hub's subscriptions."""

    def __init__(self, positions: Iterator[int], rng: random.Random, hold_s: float, new_ticket: Callable[[], T]) -> None:
        self._positions = positions
        self._hold_s = hold_s
        self._new_ticket = new_ticket
        self._last_number = 0
        self._lanes = {mode: _Lane[T](mode, BackOff(rng)) for mode in (Consistency.DEFAULT, Consistency.CONSISTENT)}
        self.leaderless = False

    def join(self, consistency: Consistency, now: float) -> T:
        """The ticket of the batch that fills. Raises ``NoLeader`` at once while there is known to be none."""
        if self.leaderless:
            raise NoLeader
        lane = self._lanes[consistency]
        if lane.filling is None:
            lane.filling = Batch(self._new_ticket(), now + self._hold_s)
            lane.waiting.append(lane.filling)
        lane.filling.requests += 1
        return lane.filling.ticket

    def in_flight(self, consistency: Consistency) -> bool:
        """Whether a barrier of this mode is under way, so that the next has to wait."""
        return self._lanes[consistency].number != 0

    def take(self, now: float, patience_s: float) -> tuple[BarrierRequest, int] | None:
        """Closes a batch: the barrier to send at once and how many requests it serves. ``patience_s`` is how long this
        server may look for a leader."""
        for lane in self._lanes.values():
            if lane.waiting and not lane.number and lane.retry_at <= now:
                lane.close_batch()
                self._last_number += 1
                lane.number, lane.sent_at = self._last_number, next(self._positions)
                timeout_s = max(0.0, min(patience_s, lane.in_flight[-1].deadline - now))
                lane.asked_at, lane.answer_by = now, now + timeout_s + ANSWER_SLACK_S
                served = sum(batch.requests for batch in lane.in_flight)
                return BarrierRequest(lane.number, lane.consistency, timeout_s), served
        return None

    def at_once(self, consistency: Consistency, ask: Callable[[Consistency], int]) -> Barrier | None:
        """A barrier that serves who had come before this call: ``ask`` is the server's answer within it, the index that it has reached,
        or 0 where it cannot tell without asking others. Then, None: the way is ``join``."""
        sent_at = next(self._positions)
        index = ask(consistency)
        if not index:
            return None
        self.leaderless = False
        return Barrier(consistency, index, sent_at, next(self._positions))

    def reached(self, number: int, index: int) -> tuple[Barrier, list[T]] | None:
        """The barrier is answered: what it proves, and to whom. None for one that was given up."""
        self.leaderless = False
        lane = self._find(number)
        if lane is None:
            return None
        barrier = Barrier(lane.consistency, index, lane.sent_at, next(self._positions))
        tickets = [batch.ticket for batch in lane.in_flight]
        lane.in_flight, lane.number = [], 0
        lane.back_off.reset()
        return barrier, tickets

    def failed(self, number: int, now: float) -> float:
        """The server did not reach it: it will be sent again. Returns after how many seconds."""
        lane = self._find(number)
        if lane is None:
            return 0.0
        lane.take_back()
        delay_s = lane.back_off.next_delay_s()
        lane.retry_at = now + delay_s
        return delay_s

    def lost(self) -> None:
        """The stream broke: what was in flight is sent again on the next."""
        for lane in self._lanes.values():
            lane.take_back()
            lane.retry_at = 0.0

    def leader_seen(self) -> None:
        """A leader is back."""
        self.leaderless = False

    def expire(self, now: float) -> Sequence[T]:
        """All tickets, to be refused with ``NoLeader``, once one of them has waited for the hold time."""
        deadline = self.deadline
        if deadline is None or deadline > now:
            return ()
        self.leaderless = True
        return self.give_up()

    def give_up(self) -> Sequence[T]:
        """All tickets; nobody waits any longer."""
        tickets: list[T] = []
        for lane in self._lanes.values():
            tickets += [batch.ticket for batch in (*lane.in_flight, *lane.waiting)]
            lane.in_flight, lane.waiting, lane.filling = [], [], None
        return tickets

    @property
    def deadline(self) -> float | None:
        """When ``expire`` is due."""
        batches = (batch for lane in self._lanes.values() for batch in (*lane.in_flight, *lane.waiting))
        return min((batch.deadline for batch in batches), default=None)

    def overdue(self, now: float) -> bool:
        """Whether the server did not even answer that it failed."""
        return any(lane.number and lane.answer_by < now for lane in self._lanes.values())

    @property
    def asked_at(self) -> float | None:
        """When the older of the barriers in flight was sent."""
        return min((lane.asked_at for lane in self._lanes.values() if lane.number), default=None)

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return sum(batch.requests for lane in self._lanes.values() for batch in (*lane.in_flight, *lane.waiting))

    def _find(self, number: int) -> _Lane[T] | None:
        return next((lane for lane in self._lanes.values() if lane.number and lane.number == number), None)
