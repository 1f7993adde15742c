"""The DNS role as the agent composes it: a reader of views and settings in, names answered until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol

from rostra.dns.core import Core
from rostra.dns.desk import Desk
from rostra.dns.driver import Driver
from rostra.dns.near import Near
from rostra.dns.recursion import make_recursion
from rostra.dns.servicer import DnsServicer
from rostra.dns.settings import DnsSettings
from rostra.errors import RostraError
from rostra.model.addresses import host_port
from rostra.model.catalog import CONSUL_SERVICE
from rostra.model.topics import NODES, SERVICES, Topic, TopicKind
from rostra.views.reader import Reader

_ALWAYS: Final = (NODES, SERVICES, Topic(TopicKind.SERVICE, CONSUL_SERVICE))
_RETRY_S: Final = 0.5

_log = logging.getLogger("rostra.dns")


class Datacenters(Protocol):
    """The other datacenters."""

    def knows(self, datacenter: str) -> bool:
        """Whether one of that name can be reached."""
        ...

    def reach(self, datacenter: str) -> Reader:
        """Raises ``NoPath``."""
        ...


class DnsRole:
    """Answers on every address of the settings, and by ``servicer`` over gRPC."""

    name: Final = "dns"

    def __init__(
        self,
        reader: Reader,
        settings: DnsSettings,
        *,
        source: random.Random | None = None,
        datacenters: Datacenters | None = None,
        near: Near | None = None,
    ) -> None:
        """``near`` is what ``nearest_first`` goes by."""
        self._near = near
        self._reader = reader
        self._source = source or random.Random()
        self._datacenters = datacenters
        self._settings = settings
        self._desks: dict[str, tuple[Reader, Desk]] = {}
        self._desk = Desk(self._core(settings), reader, make_recursion(settings, self._source), self._elsewhere)
        self._driver = Driver(self._desk)
        self.servicer = DnsServicer(self._desk)

    @property
    def endpoints(self) -> tuple[tuple[str, int], ...]:
        """Addresses and ports that are listened on."""
        return self._driver.endpoints

    @property
    def tls_endpoints(self) -> tuple[tuple[str, int], ...]:
        """Those of DNS over TLS."""
        return self._driver.tls_endpoints

    @property
    def ready(self) -> bool:
        """Whether the lists are here and were once as fresh as the leader's, so that a name's absence can be told."""
        return self._desk.freshness.caught_up and self._reader.peek((NODES, SERVICES)) is not None

    async def start(self) -> None:
        """Binds; raises ``RostraError`` that names the port that is taken. Questions before ``run`` get SERVFAIL or no answer."""
        await self._driver.start()
        for address, port in self.endpoints:
            _log.info("DNS listening", extra={"address": host_port(address, port)})

    async def run(self) -> None:
        """Answers what needs waiting for, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._desk.tasks = tasks
            if self._near is not None:
                tasks.create_task(self._near.keep(lambda: self._desk.settings.nearest_first, self._desk.prefer_near), name="dns: near")
            try:
                await self._keep_lists()
            finally:
                self._desk.tasks = None

    async def stop(self) -> None:
        await self._driver.stop()

    def reload(self, settings: DnsSettings) -> None:
        """Takes what may change while running: everything but addresses, port and connection limits. Raises ``ConfigError``."""
        self.prepare(settings)()

    def prepare(self, settings: DnsSettings) -> Callable[[], None]:
        """Gives what puts these settings in force. Raises as ``reload``, and has changed nothing."""
        core, recursion = self._core(settings), make_recursion(settings, self._source)

        def take() -> None:
            self._settings = settings
            self._desks.clear()
            self._desk.configure(core, recursion)

        return take

    def stats(self) -> Mapping[str, Mapping[str, str]]:
        return {"dns": {"ready": str(self.ready).lower(), "pending": str(self._desk.pending)}}

    def _core(self, settings: DnsSettings) -> Core:
        return Core(settings, self._source, self._datacenters.knows) if self._datacenters is not None else Core(settings, self._source)

    def _elsewhere(self, datacenter: str) -> Desk:
        """Answers from the views of another datacenter. Raises ``NoPath``."""
        assert self._datacenters is not None
        reader = self._datacenters.reach(datacenter)
        found = self._desks.get(datacenter)
        if found is None or found[0] is not reader:
            settings = replace(self._settings, datacenter=datacenter)
            desk = Desk(Core(settings, self._source), reader, make_recursion(settings, self._source))
            found = self._desks[datacenter] = (reader, desk)
        return found[1]

    async def _keep_lists(self) -> None:
        """Asks for the lists before the first question does, and until they come; the hub keeps them from then on."""
        while True:
            try:
                await self._desk.read(_ALWAYS)
                break
            except RostraError:
                await asyncio.sleep(_RETRY_S * self._source.uniform(0.5, 1.0))
        await asyncio.get_running_loop().create_future()
