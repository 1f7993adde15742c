"""What a run of a check says, and who runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from rostra.model.catalog import HealthStatus

DEFAULT_TIMEOUT_S: Final = 10.0
SCRIPT_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one run."""

    status: HealthStatus
    output: str


class Runner(Protocol):
    """One check, run again and again; what can be prepared once is prepared when it is made."""

    async def run(self) -> Outcome:
        """Ends within the check's time. What goes wrong out there is an outcome, never an exception."""
        ...


def passing(output: str) -> Outcome:
    return Outcome(HealthStatus.PASSING, output)


def critical(output: str) -> Outcome:
    return Outcome(HealthStatus.CRITICAL, output)


class Tail:
    """The last ``limit`` bytes of what is written, and how many there were. Consul keeps the end of an output, not its beginning."""

    def __init__(self, limit: int) -> None:
        self.total = 0
        self._limit = limit
        self._kept = bytearray()

    def write(self, data: bytes) -> None:
        self.total += len(data)
        self._kept += data
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]

    @property
    def text(self) -> str:
        """What is kept; bytes that are no UTF-8 become U+FFFD."""
        return bytes(self._kept[-self._limit :]).decode(errors="replace")
