"""Vivaldi network coordinates (Dabek 2004; Ledlie 2007 for filter and gravity; gossip-wire section 14): each acknowledged probe pulls
or pushes our coordinate until distances estimate round trips."""

from __future__ import annotations

import math
import random
from collections import deque
from typing import Final

from rostra.gossip.wire import msgpack
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.records import Field, Record, array_of, number
from rostra.model.coordinates import DIMENSIONS, Coordinate

_VERSION: Final = b"\x01"
_ERROR_MAX: Final = 1.5
_CE: Final = 0.25
_CC: Final = 0.25
_HEIGHT_MIN_S: Final = 1e-5
_ADJUSTMENT_WINDOW: Final = 20
_LATENCY_SAMPLES: Final = 3
_GRAVITY_RHO: Final = 150.0
_ZERO: Final = 1e-6
_ROUND_TRIP_MAX_S: Final = 10.0
_ORIGIN: Final = Coordinate()

_RECORD: Final = Record(
    Coordinate,
    vector=Field("Vec", array_of(number), list),
    error=Field("Error", number),
    adjustment=Field("Adjustment", number),
    height=Field("Height", number),
)


def encode_coordinate(coordinate: Coordinate) -> bytes:
    """The payload of an ack."""
    return _VERSION + _RECORD.encode(coordinate)


def decode_coordinate(payload: bytes) -> Coordinate:
    if not payload.startswith(_VERSION):
        raise WireError(Reason.UNKNOWN_TYPE, "coordinate")
    coordinate = _RECORD.from_map(msgpack.decode_map(payload[1:]))
    if len(coordinate.vector) != DIMENSIONS:
        raise WireError(Reason.MALFORMED, "dimensions of a coordinate")
    return coordinate


def distance_s(a: Coordinate, b: Coordinate) -> float:
    """The round trip that two coordinates predict, in whole nanoseconds."""
    raw = _raw_distance_s(a, b)
    adjusted = raw + a.adjustment + b.adjustment
    return math.trunc((adjusted if adjusted > 0 else raw) * 1e9) / 1e9


class CoordinateClient:
    """This member's coordinate, and the latest one of each member it has probed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.coordinate = Coordinate()
        self.peers: dict[str, Coordinate] = {}
        self._latencies: dict[str, deque[float]] = {}
        self._adjustments: deque[float] = deque([0.0] * _ADJUSTMENT_WINDOW, maxlen=_ADJUSTMENT_WINDOW)

    def observe(self, node: str, peer: Coordinate, round_trip_s: float) -> None:
        """Learn from one acknowledged probe of ``node``."""
        if not 0 <= round_trip_s <= _ROUND_TRIP_MAX_S:
            return
        self.peers[node] = peer
        try:
            moved = self._update(peer, self._filtered(node, round_trip_s))
        except OverflowError:
            moved = None
        if moved is None or not all(map(math.isfinite, (*moved.vector, moved.error, moved.adjustment, moved.height))):
            moved = Coordinate()
            self._adjustments.extend([0.0] * _ADJUSTMENT_WINDOW)
        self.coordinate = moved

    def forget(self, node: str) -> None:
        self.peers.pop(node, None)
        self._latencies.pop(node, None)

    def _filtered(self, node: str, round_trip_s: float) -> float:
        samples = self._latencies.setdefault(node, deque(maxlen=_LATENCY_SAMPLES))
        samples.append(round_trip_s)
        return max(_ZERO, sorted(samples)[len(samples) // 2])

    def _update(self, peer: Coordinate, round_trip_s: float) -> Coordinate:
        own = self.coordinate
        expected = distance_s(own, peer)
        wrong = abs(expected - round_trip_s) / round_trip_s
        weight = own.error / max(own.error + peer.error, _ZERO)
        error = min(_ERROR_MAX, _CE * weight * wrong + own.error * (1 - _CE * weight))
        moved = self._pushed(own, peer, _CC * weight * (round_trip_s - expected))
        self._adjustments.append(round_trip_s - _raw_distance_s(moved, peer))
        adjustment = sum(self._adjustments) / (2 * _ADJUSTMENT_WINDOW)
        moved = Coordinate(moved.vector, error, adjustment, moved.height)
        return self._pushed(moved, _ORIGIN, -((distance_s(_ORIGIN, moved) / _GRAVITY_RHO) ** 2))

    def _pushed(self, own: Coordinate, other: Coordinate, force: float) -> Coordinate:
        """``own`` after a force that pushes it away from ``other`` (negative: towards it)."""
        difference = [a - b for a, b in zip(own.vector, other.vector, strict=True)]
        magnitude = math.hypot(*difference)
        height = own.height
        if magnitude > _ZERO:
            height = max(_HEIGHT_MIN_S, (own.height + other.height) * force / magnitude + own.height)
        else:  # the same place: any direction leads apart
            difference = [self._rng.random() - 0.5 for _ in range(DIMENSIONS)]
            magnitude = math.hypot(*difference)
            if magnitude <= _ZERO:
                difference, magnitude = [1.0] + [0.0] * (DIMENSIONS - 1), 1.0
        vector = tuple(a + component / magnitude * force for a, component in zip(own.vector, difference, strict=True))
        return Coordinate(vector, own.error, own.adjustment, height)


def _raw_distance_s(a: Coordinate, b: Coordinate) -> float:
    return math.dist(a.vector, b.vector) + a.height + b.height
