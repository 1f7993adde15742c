"""One gossip pool as the rest of the house sees it: members, changes, joining and leaving, events."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rostra.errors import BadRequest, NotReady
from rostra.gossip import transport
from rostra.gossip.address import Address
from rostra.gossip.core import Core, CoreConfig, CoreEvent, ExchangeDone
from rostra.gossip.departure import LeaveProgress, LeaveStep
from rostra.gossip.driver import Driver
from rostra.gossip.feed import Feed, Subscription
from rostra.gossip.joining import JoinResult, resolve
from rostra.gossip.keyring import Keyring
from rostra.gossip.log import log_event
from rostra.gossip.membership import Admit, admit_all
from rostra.gossip.timing import LAN, Timing
from rostra.gossip.versions import OURS, Versions
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.serf_messages import UserEvent
from rostra.model.coordinates import Coordinate
from rostra.model.members import Member, MemberChange

_log = logging.getLogger("rostra.gossip")


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """How to take part in one pool.

    ``pool`` is ``lan`` or ``wan`` and only names it. ``name`` is the whole name in it (``<node>.<dc>`` on the WAN). ``advertise_host``
    is what others are told to send to; empty: the address bound. ``keys``, primary first, encrypt the pool; empty: it is not encrypted.
    """

    pool: str
    name: str
    bind_host: str
    bind_port: int
    tags: Mapping[str, str]
    advertise_host: str = ""
    advertise_port: int = 0
    timing: Timing = LAN
    keys: Sequence[bytes] = ()
    verify_incoming: bool = True
    verify_outgoing: bool = True
    compress: bool = True
    label: bytes = b""
    versions: Versions = OURS
    admit: Admit = admit_all


@dataclass(frozen=True, slots=True)
class MemberWatch:
    """The members at one moment, and every change after it, in order. Iterating ``changes`` raises ``Resync`` when the reader was too
    slow: then watch again."""

    snapshot: tuple[Member, ...]
    changes: Subscription[MemberChange]


class Pool:
    """This node's membership in one pool. ``run`` it; everything else works once ``ready`` is set, and raises ``NotReady`` before."""

    def __init__(self, config: PoolConfig) -> None:
        self.config = config
        self.ready: Final = asyncio.Event()
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._running: tuple[Core, Driver] | None = None
        self._changes: Feed[MemberChange] = Feed()
        self._user_events: Feed[UserEvent] = Feed()
        self._exchanges: dict[int, asyncio.Future[str]] = {}
        self._left = asyncio.Event()

    def bind(self) -> Address:
        """Take the address, so that a port in use is found out before anything starts. ``run`` does it where it was not done."""
        if self._sockets is None:
            self._sockets = transport.bind(self.config.bind_host, self.config.bind_port)
        return Address.parse(*self._sockets[0].getsockname()[:2])

    async def run(self) -> None:
        """Take part until cancelled. Cancelling does not leave the pool: others will see this member fail."""
        bound = self.bind()
        assert self._sockets is not None
        config = self.config
        address = Address.parse(config.advertise_host or bound.host, config.advertise_port or bound.port)
        envelope = Envelope(
            entropy=os.urandom,
            keyring=Keyring(config.keys) if config.keys else None,
            label=config.label,
            verify_incoming=config.verify_incoming,
            verify_outgoing=config.verify_outgoing,
        )
        core_config = CoreConfig(config.name, address, config.tags, config.timing, config.versions, config.compress, config.admit)
        core = Core(core_config, envelope, random.Random(), asyncio.get_running_loop().time())
        driver = Driver(core, envelope, self._sockets, self._on_events)
        self._running = core, driver
        try:
            await driver.run(self.ready)
        finally:
            self.ready.clear()
            self._running = None
            for waiting in self._exchanges.values():
                waiting.cancel()

    # What is known

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def is_settled(self) -> bool:
        """Has this member exchanged everything with another at least once? Before that, absence from the list means nothing."""
        return self._core.is_settled

    def members(self) -> list[Member]:
        """All members in any status, in no order."""
        return self._core.serf.members()

    def local_member(self) -> Member:
        member = self._core.serf.member(self.config.name)
        assert member is not None
        return member

    def watch(self) -> MemberWatch:
        return MemberWatch(tuple(self.members()), self._changes.subscribe())

    def watch_user_events(self) -> Subscription[UserEvent]:
        return self._user_events.subscribe()

    def coordinate(self) -> Coordinate:
        """This member's own coordinate."""
        return self._core.coordinates.coordinate

    def coordinates(self) -> dict[str, Coordinate]:
        """The last known coordinate of every member that has been probed, and this one's."""
        return {**self._core.coordinates.peers, self.config.name: self.coordinate()}

    def stats(self) -> dict[str, int]:
        """Numbers for metrics and ``/v1/agent/self``."""
        core, driver = self._core, self._driver
        return {
            **driver.counters,
            "members": len(core.serf),
            "health_score": core.awareness.score,
            "member_time": core.serf.clock.time,
            "event_time": core.events.clock.time,
            **{f"refused_{reason}": count for reason, count in core.refused.items()},
        }

    # Commands

    async def join(self, addresses: Sequence[str]) -> list[JoinResult]:
        """Exchange everything with the members at these addresses (``host``, ``host:port``), one result for each, in order."""
        return await asyncio.gather(*(self._join(address) for address in addresses))

    async def leave(self) -> None:
        """Leave the pool so that everyone sees this member as left. When it returns, ``run`` may be cancelled."""
        self._driver.command(self._core.leave)
        await self._left.wait()

    def force_leave(self, name: str, *, prune: bool = False) -> None:
        """Turn a failed member into one that left; with ``prune`` its record goes too. A living one will contradict."""
        self._driver.command(lambda now: self._core.force_leave(name, now, prune=prune))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self._driver.command(lambda now: self._core.set_tags(tags, now))

    def user_event(self, name: str, payload: bytes, *, coalesce: bool = False) -> None:
        """Tell every member, this one included."""
        self._driver.command(lambda _: self._core.user_event(name, payload, coalesce=coalesce))

    async def _join(self, text: str) -> JoinResult:
        try:
            found = await resolve(text, self._core.config.address.port)
        except BadRequest as error:
            return JoinResult(text, str(error))
        errors = await asyncio.gather(*(self._exchange(address) for address in found))
        problems = [f"{address}: {error}" for address, error in zip(found, errors, strict=True) if error]
        return JoinResult(text, "" if len(problems) < len(found) else "; ".join(problems))

    async def _exchange(self, address: Address) -> str:
        number = self._driver.command(lambda now: self._core.join(address, now))
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._exchanges[number] = waiting
        try:
            return await waiting
        finally:
            del self._exchanges[number]

    def _on_events(self, events: Sequence[CoreEvent]) -> None:
        for event in events:
            log_event(self.config.pool, self.config.name, event)
            match event:
                case MemberChange():
                    self._changes.publish(event)
                case UserEvent():
                    self._user_events.publish(event)
                case ExchangeDone(exchange=exchange, error=error):
                    if (waiting := self._exchanges.get(exchange)) is not None and not waiting.done():
                        waiting.set_result(error)
                case LeaveProgress(step=LeaveStep.DONE):
                    self._left.set()

    @property
    def _core(self) -> Core:
        if self._running is None:
            raise NotReady(f"the {self.config.pool.upper()} pool is not running")
        return self._running[0]

    @property
    def _driver(self) -> Driver:
        if self._running is None:
            raise NotReady(f"the {self.config.pool.upper()} pool is not running")
        return self._running[1]
