"""Reads that share a barrier because they came in the same turn of the loop (docs/architecture.md, "A read").

A batch is closed when the turn is over: only then is the barrier asked for, so it serves exactly who came before. A leader in this process
answers it within the call, and the whole batch with it: from the request to its answer there is one turn, no task and no future. Where
that cannot be, each read goes on to the barrier that the hub shares among all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from rostra.gateway.read import Read
from rostra.model.consistency import Consistency
from rostra.views.barriers import Barrier
from rostra.views.reader import BarrierReader


class Waiting(Protocol):
    """A request in a batch. ``shared_read`` is what it asks, where the answer is the same for all who ask that."""

    @property
    def shared_read(self) -> Read | None: ...

    def write(self, encoded: bytes) -> None: ...

    def answer_from_views(self, barrier: Barrier | None) -> None: ...

    def await_barrier(self) -> None: ...

    def fail(self, error: Exception) -> None: ...


class Batch:
    """Of one consistency; there is one that fills. ``at_hand`` gives the whole answer to a read, or nothing."""

    def __init__(self, reader: BarrierReader, at_hand: Callable[[Read, Barrier], bytes], consistency: Consistency) -> None:
        self._reader = reader
        self._at_hand = at_hand
        self._consistency = consistency
        self._filling: list[Waiting] = []

    def join(self, cycle: Waiting) -> None:
        """It is answered, or told to wait, when this turn is over."""
        if not self._filling:
            asyncio.get_running_loop().call_soon(self._close)
        self._filling.append(cycle)

    def _close(self) -> None:
        batch, self._filling = self._filling, []
        barrier = self._reader.barrier_at_once(self._consistency, len(batch))
        if barrier is None:
            for cycle in batch:
                cycle.await_barrier()
        else:
            self._answer(batch, barrier)

    def _answer(self, batch: list[Waiting], barrier: Barrier) -> None:
        """Nothing else runs meanwhile, so those who ask the same get the same bytes."""
        answers: dict[Read | None, bytes] = {}
        for cycle in batch:
            read = cycle.shared_read
            try:
                encoded = answers.get(read)
                if encoded is None:
                    encoded = answers[read] = b"" if read is None else self._at_hand(read, barrier)
                if encoded:
                    cycle.write(encoded)
                else:
                    cycle.answer_from_views(barrier)
            except Exception as error:  # a defect of ours is the answer of who met it, and of nobody else in the batch
                cycle.fail(error)
