"""Reads that share a barrier because they came in the same turn of the loop (docs/architecture.md, "A read").

A batch is closed when the turn is over: only then is the barrier asked for, so it serves exactly who came before. A leader in this process
answers it within the call, and the whole batch with it: from the request to its answer there is one turn, no task and no future. Where
that cannot be, each read goes on to the barrier that the hub shares among all.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rostra.model.consistency import Consistency

if TYPE_CHECKING:
    from rostra.gateway.cycles import ReadCycle
    from rostra.gateway.door import Door
    from rostra.gateway.reads import Read
    from rostra.views.barriers import Barrier


class Batch:
    """Of one consistency; there is one that fills."""

    def __init__(self, door: Door, consistency: Consistency) -> None:
        self._door = door
        self._consistency = consistency
        self._filling: list[ReadCycle] = []

    def join(self, cycle: ReadCycle) -> None:
        """It is answered, or told to wait, when this turn is over."""
        if not self._filling:
            asyncio.get_running_loop().call_soon(self._close)
        self._filling.append(cycle)

    def _close(self) -> None:
        batch, self._filling = self._filling, []
        barrier = self._door.reads.reader.barrier_at_once(self._consistency, len(batch))
        if barrier is None:
            for cycle in batch:
                cycle.await_barrier()
        else:
            self._answer(batch, barrier)

    def _answer(self, batch: list[ReadCycle], barrier: Barrier) -> None:
        """Nothing else runs meanwhile, so those who ask the same get the same bytes."""
        answers: dict[Read | None, bytes] = {}
        for cycle in batch:
            read = cycle.shared_read
            try:
                encoded = answers.get(read)
                if encoded is None:
                    encoded = answers[read] = b"" if read is None else self._door.at_hand(read, barrier)
                if encoded:
                    cycle.write(encoded)
                else:
                    cycle.answer_from_views(barrier)
            except Exception as error:  # a defect of ours is the answer of who met it, and of nobody else in the batch
                cycle.fail(error)
