"""One gossip pool as the rest of the house sees it: members, changes, joining and leaving, events."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rostra.errors import BadRequest, ConfigError, Conflict, NotReady
from rostra.gossip import transport
from rostra.gossip.address import Address
from rostra.gossip.admission import ANYWHERE, Networks
from rostra.gossip.answering import KeysChanged, QueryReceived
from rostra.gossip.asking import KeyringResult, QueryRun, collect_key_responses
from rostra.gossip.core import Core, CoreConfig
from rostra.gossip.departure import LeaveProgress, LeaveStep
from rostra.gossip.driver import Driver
from rostra.gossip.effects import CoreEvent, ExchangeDone
from rostra.gossip.feed import Feed, Subscription
from rostra.gossip.finding import Finder, Search
from rostra.gossip.joining import JoinResult, RetryJoin, resolve
from rostra.gossip.keeping import Keeping
from rostra.gossip.key_queries import KeyOperation
from rostra.gossip.keyring import Keyring, encode_key
from rostra.gossip.log import PoolLog
from rostra.gossip.membership import Admit, admit_all
from rostra.gossip.queries import Key, QueryAcked, QueryAnswered, QueryClosed, QueryRequest
from rostra.gossip.serf import NameLost
from rostra.gossip.storage import KnownPeers, PoolStorage
from rostra.gossip.timing import LAN, Timing
from rostra.gossip.versions import OURS, Versions
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.errors import Reason
from rostra.gossip.wire.serf_messages import KeyRequest, UserEvent, encode_serf
from rostra.model.addresses import host_port
from rostra.model.coordinates import Coordinate
from rostra.model.members import Member, MemberChange, MemberStatus

_log = logging.getLogger("rostra.gossip")

_REPORT_REFUSALS_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """How to take part in one pool.

    ``pool`` is ``lan`` or ``wan`` and only names it. ``name`` is the whole name in it (``<node>.<dc>`` on the WAN). ``advertise_host``
    is what others are told to send to; empty: the address bound. ``keys``, primary first, encrypt the pool; empty: it is not encrypted.
    A keyring that ``storage`` has kept goes before them: it was changed since.
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
    networks: Networks = ANYWHERE
    """Datagrams from elsewhere are refused. The source of a stream says little: a host with several addresses dials from any of them. What
    members tell of their addresses is for ``admit`` to judge."""

    votes_on_names: bool = False
    """Ask the pool when another process claims our name, and stop when it loses. Consul does not; Serf does."""

    start_join: Sequence[str] = ()
    """Join one of these addresses at start, or end with an error."""

    retry_join: RetryJoin | None = None
    storage: PoolStorage | None = None
    """None: nothing is kept on disk."""

    rejoins_after_leave: bool = False
    """Return to known peers also when the last run left on purpose."""


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
        self._log = PoolLog(config.pool, config.name)
        self._rng = random.Random()
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._keys: tuple[bytes, ...] = ()
        self._known = KnownPeers()
        self._running: tuple[Core, Driver] | None = None
        self._changes: Feed[MemberChange] = Feed()
        self._user_events: Feed[UserEvent] = Feed()
        self._queries_received: Feed[QueryReceived] = Feed()
        self._exchanges: dict[int, asyncio.Future[str]] = {}
        self._asked: dict[Key, QueryRun] = {}
        self._left = asyncio.Event()
        self._keeping = Keeping(config.pool, config.storage, self._known_peers)
        self._name_lost: asyncio.Future[Conflict] | None = None

    def bind(self) -> Address:
        """Read the keyring and take the address, so that what is wrong with either is found out before anything starts. ``run`` does it
        where it was not done."""
        if self._sockets is None:
            self._keys = self._keeping.load_keys(self.config.keys)
            self._sockets = transport.bind(self.config.bind_host, self.config.bind_port)
        return Address.parse(*self._sockets[0].getsockname()[:2])

    def close(self) -> None:
        """Give back an address that was bound and will not be used. ``run`` gives back its own."""
        if self._sockets is not None and self._running is None:
            for bound in self._sockets:
                bound.close()
            self._sockets = None

    async def run(self) -> None:
        """Take part until cancelled. Cancelling does not leave the pool: others will see this member fail. Ends with ``Conflict`` when
        the pool sides with another process of the same name, with ``Unavailable`` when joining was given up."""
        core, envelope = self._build(self.bind())
        assert self._sockets is not None
        driver = Driver(core, envelope, self._sockets, self._on_events, self.config.networks)
        self._running = core, driver
        self._name_lost = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(driver.run(self.ready), name=f"gossip {self.config.pool}")
                await self.ready.wait()
                tasks.create_task(self._find_the_pool(), name=f"gossip {self.config.pool}: join")
                tasks.create_task(self._report_refusals(), name=f"gossip {self.config.pool}: refusals")
                tasks.create_task(self._keeping.keep_peers(), name=f"gossip {self.config.pool}: known peers")
                raise await self._name_lost
        finally:
            self.ready.clear()
            self._keeping.save_peers_at_the_end()
            self._running = self._sockets = None
            for waiting in self._exchanges.values():
                waiting.cancel()

    def _build(self, bound: Address) -> tuple[Core, Envelope]:
        config, known = self.config, self._keeping.load_peers()
        address = Address.parse(config.advertise_host or bound.host, config.advertise_port or bound.port)
        if not any(address.ip):
            raise ConfigError([f"advertise: nobody can send to {address.host}; say which address others shall use"])
        self._known = known
        envelope = Envelope(
            entropy=os.urandom,
            keyring=Keyring(self._keys) if self._keys else None,
            label=config.label,
            verify_incoming=config.verify_incoming,
            verify_outgoing=config.verify_outgoing,
        )
        core_config = CoreConfig(
            name=config.name,
            address=address,
            tags=config.tags,
            timing=config.timing,
            versions=config.versions,
            compress=config.compress,
            admit=config.admit,
            votes_on_names=config.votes_on_names,
        )
        core = Core(core_config, envelope, self._rng, asyncio.get_running_loop().time())
        core.serf.restore_clocks(known.member_time, known.event_time, known.query_time)
        return core, envelope

    # What is known

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def address(self) -> Address:
        """Where others are told to send to."""
        return self._core.config.address

    @property
    def is_settled(self) -> bool:
        """Has this member exchanged everything with another at least once? Before that, absence from the list means nothing. An address
        that was joined may be our own: that is not yet a pool."""
        return self._core.is_settled and self._has_others

    @property
    def is_encrypted(self) -> bool:
        return bool(self.keys)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """This member's own keyring, primary first."""
        return self._core.keys if self._running is not None else self._keys

    def members(self) -> list[Member]:
        """All members in any status, in no order."""
        return self._core.serf.members.members()

    def local_member(self) -> Member:
        member = self._core.serf.members.member(self.config.name)
        assert member is not None
        return member

    def watch(self) -> MemberWatch:
        return MemberWatch(tuple(self.members()), self._changes.subscribe())

    def watch_user_events(self) -> Subscription[UserEvent]:
        return self._user_events.subscribe()

    def watch_queries(self) -> Subscription[QueryReceived]:
        """Queries of other members, and of this one, that an application may ``respond`` to."""
        return self._queries_received.subscribe()

    def coordinate(self) -> Coordinate:
        """This member's own coordinate."""
        return self._core.coordinates.coordinate

    def coordinates(self) -> dict[str, Coordinate]:
        """The last known coordinate of every member that has been probed and has not left, and this one's."""
        left = set(self._core.serf.members.left_members())
        known = {name: coordinate for name, coordinate in self._core.coordinates.peers.items() if name not in left}
        return {**known, self.config.name: self.coordinate()}

    def stats(self) -> dict[str, int]:
        """Numbers for metrics and ``/v1/agent/self``."""
        core = self._core
        members = core.serf.members.members()
        return {
            **self._driver.counters,
            **core.stats(),
            **{status.value: sum(member.status is status for member in members) for status in MemberStatus},
        }

    def refused(self) -> dict[str, int]:
        """How much input was refused, by reason."""
        return {reason.value: count for reason, count in self._core.refused.items()}

    # Commands

    async def join(self, addresses: Sequence[str]) -> list[JoinResult]:
        """Exchange everything with the members at these addresses (``host``, ``host:port``), one result for each, in order."""
        return await asyncio.gather(*(self._join(address) for address in addresses))

    async def leave(self) -> None:
        """Leave the pool so that everyone sees this member as left. When it returns, ``run`` may be cancelled."""
        self._driver.command(self._core.leave)
        await self._left.wait()
        await self._keeping.save_peers()

    def force_leave(self, name: str, *, prune: bool = False) -> None:
        """Turn a failed member into one that left; with ``prune`` its record goes too. A living one will contradict."""
        self._driver.command(lambda now: self._core.force_leave(name, now, prune=prune))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self._driver.command(lambda now: self._core.set_tags(tags, now))

    def user_event(self, name: str, payload: bytes, *, coalesce: bool = False) -> int:
        """Tell every member, this one included. Returns the event's Lamport time."""
        self._driver.command(lambda now: self._core.user_event(name, payload, now, coalesce=coalesce))
        return self._core.serf.events.clock.time - 1

    def query(self, request: QueryRequest) -> QueryRun:
        """Ask every member; iterate over the answers."""
        key = self._driver.command(lambda now: self._core.ask(request, now))
        run = self._asked[key] = QueryRun()
        return run

    def respond(self, key: Key, payload: bytes) -> None:
        """Answer a query received, once."""
        self._driver.command(lambda now: self._core.respond(key, payload, now))

    async def change_keys(self, operation: KeyOperation, key: bytes = b"", *, relay_factor: int = 0) -> KeyringResult:
        """Install, use or remove a key on every member, this one included."""
        if not self.is_encrypted:
            raise BadRequest("the pool is not encrypted: this member has no keyring", field="key")
        alive = [member.name for member in self.members() if member.status is MemberStatus.ALIVE]
        payload = encode_serf(KeyRequest(key=key))
        return await collect_key_responses(self.query(QueryRequest(operation.value, payload, relay_factor=relay_factor)), alive)

    async def list_keys(self, *, relay_factor: int = 0, local_only: bool = False) -> KeyringResult:
        """Which keys every member has; with ``local_only``, this one."""
        if not local_only:
            return await self.change_keys(KeyOperation.LIST, relay_factor=relay_factor)
        keys = [encode_key(key) for key in self.keys]
        return KeyringResult(1, 1, {}, {}, dict.fromkeys(keys, 1), dict.fromkeys(keys[:1], 1))

    # Joining

    async def _join(self, text: str) -> JoinResult:
        try:
            found = await resolve(text, self._core.config.address.port)
        except BadRequest as error:
            return JoinResult(text, str(error))
        errors = await asyncio.gather(*(self._exchange(address) for address in found))
        problems = [f"{address}: {error}" for address, error in zip(found, errors, strict=True) if error]
        return JoinResult(text, "" if len(problems) < len(found) else "; ".join(problems))

    async def _exchange(self, address: Address) -> str:
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        number = self._driver.command(lambda now: self._core.join(address, now))
        self._exchanges[number] = waiting  # the answer comes later in the loop at the earliest
        try:
            return await waiting
        finally:
            del self._exchanges[number]

    @property
    def _has_others(self) -> bool:
        return len(self._core.serf.members) > 1

    async def _find_the_pool(self) -> None:
        config, known = self.config, self._known
        wanted = known.addresses if config.rejoins_after_leave or not known.has_left else ()
        peers = [address for address in wanted if address != str(self.address)]
        search = Search(peers, config.start_join, config.retry_join, config.timing.reconnect_interval_s)
        await Finder(config.pool, self.join, lambda: self._has_others, self._rng).find(search)

    # Keeping

    def _known_peers(self) -> KnownPeers:
        members = self._core.serf.members
        own = self.config.name
        alive = [host_port(m.address, m.port) for m in self.members() if m.status is MemberStatus.ALIVE and m.name != own]
        return KnownPeers(
            addresses=tuple(alive) if self.is_settled else tuple(dict.fromkeys((*alive, *self._known.addresses))),
            member_time=members.clock.time,
            event_time=self._core.serf.events.clock.time,
            query_time=self._core.serf.queries.clock.time,
            has_left=self._left.is_set(),
        )

    async def _report_refusals(self) -> None:
        """One line a minute at most about input that was refused, however much there was."""
        reported: Counter[str] = Counter()
        while True:
            await asyncio.sleep(_REPORT_REFUSALS_EVERY_S)
            total = Counter(self.refused())
            news = dict(total - reported)
            news.pop(Reason.STALE.value, None)  # any network delays some
            if news:
                _log.warning("input was refused", extra={"pool": self.config.pool, "reasons": news})
            reported = total

    def _on_events(self, events: Sequence[CoreEvent]) -> None:
        now = asyncio.get_running_loop().time()
        for event in events:
            self._log.write(event, now)
            match event:
                case MemberChange():
                    self._changes.publish(event)
                    self._keeping.on_change()
                case UserEvent():
                    self._user_events.publish(event)
                    self._keeping.on_change()
                case QueryReceived():
                    self._queries_received.publish(event)
                case QueryAcked(key=key) | QueryAnswered(key=key):
                    if (run := self._asked.get(key)) is not None:
                        run.put(event)
                case QueryClosed(key=key):
                    if (run := self._asked.pop(key, None)) is not None:
                        run.put(event)
                case ExchangeDone(exchange=exchange, error=error):
                    if (waiting := self._exchanges.get(exchange)) is not None and not waiting.done():
                        waiting.set_result(error)
                case KeysChanged(keys=keys):
                    self._keeping.save_keys(keys)
                case NameLost():
                    assert self._name_lost is not None
                    if not self._name_lost.done():
                        self._name_lost.set_result(Conflict(f"another process in the {self.config.pool.upper()} pool is {self.name!r}"))
                case LeaveProgress(step=LeaveStep.DONE):
                    self._left.set()
                case _:
                    pass

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
