"""User events: delivered once, in a window of Lamport time (gossip-wire section 12.6)."""

from __future__ import annotations

from collections import Counter
from typing import Final

from rostra.gossip.lamport import LamportClock
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.serf_messages import PastEvents, UserEvent

RING_SLOTS: Final = 512
_SLOT_EVENTS_MAX: Final = 64
_STORED_BYTES_MAX: Final = 4 * 1024 * 1024


class UserEvents:
    """The events of the last ``RING_SLOTS`` Lamport times: what was seen before, and what a newcomer is told."""

    def __init__(self) -> None:
        self.clock = LamportClock()
        self._oldest_wanted = 0
        self._slots: list[tuple[int, dict[tuple[str, bytes], None]] | None] = [None] * RING_SLOTS
        self._stored_bytes = 0

    def create(self, name: str, payload: bytes, *, coalesce: bool) -> UserEvent:
        """A new event of our own. It still has to be received like any other."""
        event = UserEvent(ltime=self.clock.time, name=name, payload=payload, coalesce=coalesce)
        self.clock.increment()
        return event

    def receive(self, event: UserEvent) -> bool:
        """True when it is seen for the first time: deliver it, pass it on. Refused when it is so old that this cannot be told."""
        self.clock.witness(event.ltime)
        if event.ltime < self._oldest_wanted:
            return False
        if is_outside_ring(event.ltime, self.clock):
            raise WireError(Reason.STALE, "user event")
        seen = self._slot(event.ltime)
        identity = (event.name, event.payload)
        if identity in seen:
            return False
        size = len(event.name) + len(event.payload)
        if len(seen) >= _SLOT_EVENTS_MAX or self._stored_bytes + size > _STORED_BYTES_MAX:
            raise WireError(Reason.QUEUE_FULL, "events of one Lamport time")
        seen[identity] = None
        self._stored_bytes += size
        return True

    def ignore_before(self, ltime: int) -> None:
        """Events older than this happened before we joined."""
        self._oldest_wanted = max(self._oldest_wanted, ltime)

    def past(self) -> tuple[PastEvents, ...]:
        return tuple(PastEvents(slot[0], tuple(slot[1])) for slot in self._slots if slot is not None)

    def receive_past(self, past: PastEvents, refused: Counter[Reason]) -> list[UserEvent]:
        """The events of one Lamport time that are seen for the first time."""
        first_seen = []
        for name, payload in past.events:
            event = UserEvent(ltime=past.ltime, name=name, payload=payload)
            try:
                if self.receive(event):
                    first_seen.append(event)
            except WireError as error:
                refused[error.reason] += 1
        return first_seen

    def _slot(self, ltime: int) -> dict[tuple[str, bytes], None]:
        index = ltime % RING_SLOTS
        slot = self._slots[index]
        if slot is None or slot[0] != ltime:
            if slot is not None:
                self._stored_bytes -= sum(len(name) + len(payload) for name, payload in slot[1])
            slot = self._slots[index] = (ltime, {})
        return slot[1]


def is_outside_ring(ltime: int, clock: LamportClock) -> bool:
    """Is it so old that the ring cannot tell whether it was seen?"""
    return clock.time > RING_SLOTS and ltime < clock.time - RING_SLOTS
