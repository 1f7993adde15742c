"""The piggyback queue (SWIM section 4.1; gossip-wire section 11): news ride on packets that go out anyway, each a limited number of
times, the least transmitted first."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Final, NamedTuple

from sortedcontainers import SortedKeyList

_MAX_DEPTH: Final = 4096


class Broadcast(NamedTuple):
    """A queued message. Sorts by fewest transmissions, then longest, then newest."""

    transmits: int
    negative_size: int
    negative_id: int
    message: bytes
    subject: Hashable | None


def retransmit_limit(mult: int, members: int) -> int:
    """How often one broadcast is sent in all, so that with high probability everyone hears of it."""
    return mult * math.ceil(math.log10(members + 1))


class BroadcastQueue:
    """Messages waiting to ride along. A full queue drops what has been sent most often."""

    def __init__(self, retransmit_mult: int, max_depth: int = _MAX_DEPTH) -> None:
        self._retransmit_mult = retransmit_mult
        self._max_depth = max_depth
        self._queue: SortedKeyList = SortedKeyList(key=lambda broadcast: broadcast[:3])
        self._by_subject: dict[Hashable, Broadcast] = {}
        self._pending_ids: set[int] = set()
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, message: bytes, subject: Hashable | None = None) -> int:
        """Queue ``message``; one about the same ``subject`` that still waits is overtaken by it and goes. Returns its number."""
        if subject is not None and (overtaken := self._by_subject.get(subject)) is not None:
            self._discard(overtaken)
        elif len(self._queue) >= self._max_depth:
            self._discard(self._queue[-1])
        self._last_id += 1
        self._insert(Broadcast(0, -len(message), -self._last_id, message, subject))
        return self._last_id

    def clear(self) -> None:
        """Forget all that waits."""
        self._queue.clear()
        self._by_subject.clear()
        self._pending_ids.clear()

    def is_pending(self, number: int) -> bool:
        """Does this message still wait for a transmission?"""
        return number in self._pending_ids

    def take(self, space: int, overhead: int, members: int, at_most: int) -> list[bytes]:
        """At most so many messages that together fit into ``space``, each costing ``overhead`` beyond its length. They count as sent."""
        if not self._queue:
            return []
        limit = retransmit_limit(self._retransmit_mult, members)
        taken: list[Broadcast] = []
        start = 0
        while start < len(self._queue) and len(taken) < at_most:
            # The first that fits among those transmitted equally often: they are sorted by falling length.
            transmits = self._queue[start].transmits
            start = max(start, self._queue.bisect_key_left((transmits, -(space - overhead), -self._last_id)))
            if start == len(self._queue) or self._queue[start].transmits != transmits:
                continue
            broadcast = self._queue.pop(start)
            taken.append(broadcast)
            space -= len(broadcast.message) + overhead
        for broadcast in taken:
            self._forget(broadcast)
            if broadcast.transmits + 1 < limit:
                self._insert(broadcast._replace(transmits=broadcast.transmits + 1))
        return [broadcast.message for broadcast in taken]

    def _insert(self, broadcast: Broadcast) -> None:
        self._queue.add(broadcast)
        self._pending_ids.add(-broadcast.negative_id)
        if broadcast.subject is not None:
            self._by_subject[broadcast.subject] = broadcast

    def _discard(self, broadcast: Broadcast) -> None:
        self._queue.remove(broadcast)
        self._forget(broadcast)

    def _forget(self, broadcast: Broadcast) -> None:
        self._pending_ids.discard(-broadcast.negative_id)
        if broadcast.subject is not None:
            del self._by_subject[broadcast.subject]
