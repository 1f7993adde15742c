"""Response rate limit by source network: a flood with a forged source is not passed on to whom it names.

Each /24 (IPv6: /56) has a bucket of one second's answers. What exceeds it is dropped, but every second time answered with an empty
message with TC, so that a real client behind that network comes back over TCP, where a source cannot be forged.
"""

from __future__ import annotations

import enum
import socket
from typing import Final

MAX_NETWORKS: Final = 65_536
"""Networks remembered; when there are more, all start afresh."""


class Ruling(enum.Enum):
    """What to do with a question. SLIP: answer that TCP is needed."""

    ANSWER = "answer"
    SLIP = "slip"
    DROP = "drop"


class RateLimit:
    """``per_second`` answers to each network."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._buckets: dict[str, tuple[float, float]] = {}
        self._slipped = False

    def rule(self, client: str, now: float) -> Ruling:
        network = network_of(client)
        if len(self._buckets) >= MAX_NETWORKS:
            self._buckets.clear()
        tokens, since = self._buckets.get(network, (float(self._per_second), now))
        tokens = min(float(self._per_second), tokens + (now - since) * self._per_second)
        if tokens >= 1:
            self._buckets[network] = (tokens - 1, now)
            return Ruling.ANSWER
        self._buckets[network] = (tokens, now)
        self._slipped = not self._slipped
        return Ruling.SLIP if self._slipped else Ruling.DROP


def network_of(client: str) -> str:
    """The /24 of an IPv4 address, the first 56 bits of an IPv6 one, as text."""
    if ":" not in client:
        return client.rpartition(".")[0]
    packed = socket.inet_pton(socket.AF_INET6, client.partition("%")[0])
    return packed[:7].hex()
