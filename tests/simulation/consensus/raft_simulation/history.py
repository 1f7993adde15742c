"""Linearizability of an append-only log, exactly.

Every operation ends with a *position*: a write's is its log index, a read's the index whose state it saw. A history is
linearizable if the order of positions is one that respects real time: an operation that began after another had ended must
not be placed before it. (Positions order all operations; a write and a read at the same place are in that order.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """A finished operation; times are of one global clock. ``was`` is for the reader of a failure."""

    began: float
    ended: float
    position: int
    is_write: bool
    was: str = ""


def find_violation(history: Sequence[Operation]) -> tuple[Operation, Operation] | None:
    """Two operations whose positions contradict real time, or None."""
    by_end = sorted(history, key=lambda operation: operation.ended)
    latest: Operation | None = None
    ended = 0
    for operation in sorted(history, key=lambda operation: operation.began):
        while ended < len(by_end) and by_end[ended].ended < operation.began:
            if latest is None or by_end[ended].position > latest.position:
                latest = by_end[ended]
            ended += 1
        if latest is not None and operation.position < latest.position:
            return latest, operation
        if latest is not None and operation.is_write and operation.position == latest.position:
            return latest, operation
    begun: dict[int, Operation] = {operation.position: operation for operation in history if operation.is_write}
    for operation in history:
        write = begun.get(operation.position)
        if write is not None and not operation.is_write and write.began > operation.ended:
            return write, operation
    return None
