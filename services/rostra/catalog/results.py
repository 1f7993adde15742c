"""First results of request IDs, so that a repeated request is answered and not done twice (docs/architecture.md, "A write")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from rostra.errors import RostraError

MAX_RESULTS: Final = 32_768
"""Results remembered: more than a hold time's worth of writes at any rate this catalog applies them."""


class Outcome(Struct, frozen=True):
    """What came of a command: the log index at which it was first applied, and why it was refused, if it was."""

    index: int
    error: RostraError | None = None


class Results:
    """The last few thousand results in the order they came; the same on every catalog."""

    def __init__(self, *, limit: int = MAX_RESULTS) -> None:
        self._limit = limit
        self._results: dict[bytes, Outcome] = {}

    def __len__(self) -> int:
        return len(self._results)

    def get(self, request_id: bytes) -> Outcome | None:
        """The first result of that request, if it came before and is remembered."""
        return self._results.get(request_id)

    def remember(self, request_id: bytes, outcome: Outcome) -> None:
        """Keeps the result of a request that came with an ID."""
        if not request_id:
            return
        self._results[request_id] = outcome
        if len(self._results) > self._limit:
            del self._results[next(iter(self._results))]

    def capture(self) -> dict[bytes, Outcome]:
        """Every result as it is now, oldest first."""
        return self._results.copy()

    def load(self, results: Iterable[tuple[bytes, Outcome]]) -> None:
        """Takes results from a snapshot, oldest first."""
        self._results = dict(results)
