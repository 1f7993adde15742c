"""``?dc=``: reads and writes of another datacenter, through views of it (https://developer.hashicorp.com/consul/api-docs/features).

The own datacenter goes the short way; another one is asked by way of the servers, who hand on to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

import msgspec

from rostra.errors import NoPath
from rostra.gateway.answer import Answer, HttpError
from rostra.gateway.ask import Ask
from rostra.gateway.catalog import CatalogReads
from rostra.gateway.read import Read
from rostra.gateway.reads import Reads, contact_headers
from rostra.gateway.settings import GatewaySettings
from rostra.model.consistency import Contact
from rostra.model.coordinates import Coordinate
from rostra.views.reader import BarrierReader, Writer


class Views(BarrierReader, Writer, Protocol):
    """Reads and writes of one datacenter."""


class Datacenters(Protocol):
    """The other datacenters."""

    def reach(self, datacenter: str) -> Views:
        """Raises ``NoPath``."""
        ...

    def servers(self, datacenter: str) -> Sequence[str]:
        """``HOST:PORT`` of each. Raises ``NoPath``."""
        ...

    async def coordinates(self, datacenter: str) -> Mapping[str, Coordinate]:
        """Where its nodes are, by name. Raises ``NoPath``."""
        ...

    async def list(self) -> Sequence[str]:
        """Names, this one's too, nearest first."""
        ...


class Alone:
    """There is no other datacenter."""

    def __init__(self, own: str) -> None:
        self._own = own

    def reach(self, datacenter: str) -> Views:
        raise NoPath

    def servers(self, datacenter: str) -> Sequence[str]:
        raise NoPath

    async def coordinates(self, datacenter: str) -> Mapping[str, Coordinate]:
        raise NoPath

    async def list(self) -> Sequence[str]:
        return [self._own]


class Everywhere:
    """The catalog reads of every datacenter."""

    def __init__(self, own: CatalogReads, datacenters: Datacenters, settings: GatewaySettings) -> None:
        self._own = own
        self._datacenters = datacenters
        self._settings = settings
        self._others: dict[str, tuple[Reads, CatalogReads]] = {}

    def read(self, name: str, ask: Ask) -> Read | None:
        """``CatalogReads.NAME`` of the own datacenter; None where another one is asked for."""
        read: Read | None = None if self.other(ask) else getattr(self._own, name)(ask)
        return read

    async def handle(self, name: str, ask: Ask) -> Answer:
        """The same of the datacenter that is asked for."""
        datacenter = self.other(ask)
        reads, catalog = self._reach(datacenter)
        read: Read = getattr(catalog, name)(ask)
        try:
            return await reads.answer(read)
        except NoPath as error:
            raise no_path() from error

    async def services(self, ask: Ask) -> Answer:
        """``/v1/catalog/services``, which may take two steps."""
        datacenter = self.other(ask)
        if not datacenter:
            return await self._own.services(ask)
        return await self._reach(datacenter)[1].services(ask)

    def other(self, ask: Ask) -> str:
        """The other datacenter that is asked for, or nothing."""
        return other_datacenter(ask.parameters.get("dc"), self._settings.datacenter)

    def _reach(self, datacenter: str) -> tuple[Reads, CatalogReads]:
        try:
            views = self._datacenters.reach(datacenter)
        except NoPath as error:
            raise no_path() from error
        found = self._others.get(datacenter)
        if found is None or found[0].reader is not views:
            settings = msgspec.structs.replace(self._settings, datacenter=datacenter, node_name="")
            reads = Reads(views, partial(self._datacenters.coordinates, datacenter), settings)
            found = self._others[datacenter] = (reads, CatalogReads(reads, settings))
        return found


def other_datacenter(name: str, own: str) -> str:
    """``name`` in lower case if it is not ``own``, else nothing."""
    name = name.lower()
    return name if name != own.lower() else ""


def no_path() -> HttpError:
    return HttpError(500, "No path to datacenter", contact_headers(1, Contact()))
