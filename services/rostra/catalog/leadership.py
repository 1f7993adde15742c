"""Who leads, as the consensus beside this catalog says: for contact, for duties, and for how long to wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from rostra.clients.consensus import ConsensusClient, Leadership
from rostra.errors import RostraError
from rostra.model.consistency import Contact
from rostra.rpc.back_off import BackOff

NOBODY: Final = Leadership()


class LeadershipWatch:
    """``current`` is the newest word; nobody leads while consensus cannot be reached."""

    def __init__(self, consensus: ConsensusClient, clock: Callable[[], float], rng: random.Random) -> None:
        self.current = NOBODY
        self._consensus = consensus
        self._clock = clock
        self._rng = rng
        self._heard = False
        self._heard_at = clock()
        self._leaderless_since: float | None = clock()
        self._listeners: set[Callable[[], None]] = set()

    async def run(self) -> None:
        """For ever: follows consensus, again after a break."""
        backoff = BackOff(self._rng)
        while True:
            try:
                async for leadership in self._consensus.watch_leadership():
                    backoff.reset()
                    self._take(leadership)
            except RostraError:
                pass  # the driver, which also depends on consensus, says why in the log
            self._lose()
            await asyncio.sleep(backoff.next_delay_s())

    @property
    def commit_index(self) -> int | None:
        """Where consensus last said that the log is; None before it said anything."""
        return self.current.commit_index if self._heard else None

    def contact(self, applied_index: int) -> Contact:
        """How fresh this server is, at this moment."""
        current = self.current
        elapsed_ms = 0 if current.is_leader else round((self._clock() - self._heard_at) * 1000)
        return Contact(
            known_leader=self._leaderless_since is None,
            last_contact_ms=current.last_contact_ms + elapsed_ms,
            applied_index=applied_index,
            leader=current.leader,
            leader_address=current.leader_address,
        )

    def patience_s(self, hold_s: float) -> float:
        """How long it is worth waiting for a leader: the hold time, less what it has been without one, and then not at all."""
        if self._leaderless_since is None:
            return hold_s
        return max(0.0, self._leaderless_since + hold_s - self._clock())

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls ``listener`` when the leader, the term or this server's part changes; returns what ends that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def _take(self, leadership: Leadership) -> None:
        old, self.current, self._heard_at, self._heard = self.current, leadership, self._clock(), True
        if leadership.leader:
            self._leaderless_since = None
        elif self._leaderless_since is None:
            self._leaderless_since = self._clock()
        if _who(old) != _who(leadership):
            self._tell()

    def _lose(self) -> None:
        """Consensus is gone: the last contact grows older from where it was."""
        old, self._heard = self.current, False
        self.current = lost = Leadership(term=old.term, last_contact_ms=old.last_contact_ms)
        if self._leaderless_since is None:
            self._leaderless_since = self._clock()
        if _who(old) != _who(lost):
            self._tell()

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()


def _who(leadership: Leadership) -> tuple[int, str, str, bool]:
    return (leadership.term, leadership.leader, leadership.leader_address, leadership.is_leader)
