"""A network coordinate (Vivaldi): the distance of two estimates the round trip between their nodes."""

from __future__ import annotations

from dataclasses import dataclass

DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A point with a height above the plane: the height stands for the node's own access link. All but ``error`` in seconds."""

    vector: tuple[float, ...] = (0.0,) * DIMENSIONS
    error: float = 1.5
    adjustment: float = 0.0
    height: float = 1e-5
