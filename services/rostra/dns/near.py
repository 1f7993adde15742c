"""How far other nodes are from this one, kept up to date, for answers that give the nearest instances first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from rostra.dns.choices import Distance
from rostra.errors import RostraError
from rostra.model.coordinates import Coordinate
from rostra.model.nearness import distances_from

REFRESH_S: Final = 10.0
"""Coordinates drift slowly; Consul's agents send them every 15 s."""


class Coordinates(Protocol):
    """What knows where the nodes are."""

    async def list_coordinates(self) -> Mapping[str, Coordinate]:
        """Network coordinates by node name."""
        ...


class Near:
    """Distances from ``node``. Without coordinates, or while nobody knows them, there is no order."""

    def __init__(self, node: str, coordinates: Coordinates, *, refresh_s: float = REFRESH_S) -> None:
        self._node = node
        self._coordinates = coordinates
        self._refresh_s = refresh_s

    async def keep(self, is_wanted: Callable[[], bool], tell: Callable[[Distance | None], None]) -> None:
        """For ever: tells the distances as they are, while they are wanted."""
        while True:
            if is_wanted():
                with contextlib.suppress(RostraError):  # what was known goes on
                    tell(distances_from(self._node, await self._coordinates.list_coordinates()))
            await asyncio.sleep(self._refresh_s)
