"""``near=``: things in order of round trip from a node (https://developer.hashicorp.com/consul/docs/architecture/coordinates)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from rostra.model.coordinates import Coordinate


def distance_s(one: Coordinate, other: Coordinate) -> float:
    """The estimated round trip in seconds (Vivaldi, with heights; the adjustments count as long as they leave it positive)."""
    raw = math.dist(one.vector, other.vector) + one.height + other.height
    adjusted = raw + one.adjustment + other.adjustment
    return adjusted if adjusted > 0 else raw


def distances_from(origin: str, coordinates: Mapping[str, Coordinate]) -> Callable[[str], float] | None:
    """Each node's distance from ``origin``; nodes without a coordinate come last. None when the origin has none: the order stays."""
    start = coordinates.get(origin)
    if start is None:
        return None

    def distance(node: str) -> float:
        there = coordinates.get(node)
        return distance_s(start, there) if there is not None else math.inf

    return distance
