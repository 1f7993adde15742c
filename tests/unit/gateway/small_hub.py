"""A hub with a simple inside: the real catalog state in this process, views reloaded after each write. No stream, no leader to ask."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace

from rostra.catalog.entries import normalized, topic_entries
from rostra.catalog.state import CatalogState
from rostra.clients.agent import AgentDescription, LocalCheck
from rostra.clients.consensus import Configuration, RaftMember
from rostra.clients.dns import DnsAnswer
from rostra.clients.gossip import GossipStatus, KeyAction, KeyChange, KeyList, PoolStatus
from rostra.clients.snapshot import SavedSnapshot
from rostra.errors import BadRequest, Conflict, NoLeader, NoPath, NotFound, RostraError
from rostra.model.autopilot import AutopilotChange, AutopilotConfiguration, AutopilotServer, AutopilotState
from rostra.model.catalog import Check, Command, HealthStatus, Node, Registration, Service
from rostra.model.consistency import Consistency, Contact
from rostra.model.coordinates import Coordinate
from rostra.model.identity import Identity
from rostra.model.members import Member, MemberStatus
from rostra.model.rules import check_command
from rostra.model.topics import NODES, SERVICES, Topic, TopicKind
from rostra.views.barriers import Barrier
from rostra.views.reader import Reading
from rostra.views.view import View

NODE_ID = "5a1c0d52-91d4-4c0f-9d0e-0d9b1a4a2f11"


class SmallHub:
    """Reader and writer. ``leader`` False: nothing but stale reads is answered. ``hold_barriers`` leaves barriers open;
    ``knows_at_once`` answers them within the call."""

    def __init__(self) -> None:
        self.state = CatalogState()
        self.leader = True
        self.failure: RostraError | None = None
        self.hold_barriers = False
        self.knows_at_once = False
        self.held: list[asyncio.Future[Barrier]] = []
        self.views: dict[Topic, View] = {}
        self.listeners: set[Callable[[], None]] = set()
        self.barriers = 0
        self.changes = 0
        self._contact = Contact()
        self.commands: list[Command] = []

    @property
    def contact(self) -> Contact:
        """The same object while it says the same, as a hub's."""
        contact = Contact(self.leader, 0, self.state.applied_index, "n1" if self.leader else "", "127.0.0.1:8300" if self.leader else "")
        if contact != self._contact:
            self._contact = contact
        return self._contact

    def apply(self, command: Command) -> int:
        return self.apply_all([command])

    def apply_all(self, commands: Sequence[Command]) -> int:
        """Several log entries, which the views take over together; the index of the last."""
        for command in commands:
            index = self.state.applied_index + 1
            applied = self.state.apply(index, 1, index, command)
            if applied.outcome.error is not None:
                raise applied.outcome.error
        for topic in self.views:
            self._load(topic)
        for listener in tuple(self.listeners):
            listener()
        return self.state.applied_index

    def register(self, node: str, service: str = "", **given: object) -> int:
        """A node, and a service on it."""
        made = Service(service, service, **given) if service else None  # type: ignore[arg-type]
        return self.apply(Registration(Node(node, "127.0.0.1"), service=made))

    def _load(self, topic: Topic) -> View:
        known = normalized(topic)
        view = self.views.setdefault(topic, View(topic))
        entries = topic_entries(self.state, known)
        index = self.state.topics.of(known)
        if not entries and topic.kind is TopicKind.SERVICE:
            index = max(index, self.state.topics.of(SERVICES))
        if not entries and topic.kind is TopicKind.NODE:
            index = max(index, self.state.topics.of(NODES))
        if not view.cluster_id or index > view.index:
            view.load("cluster", index, entries)
            self.changes += 1
        return view

    def peek(self, topics: Sequence[Topic], barrier: Barrier | None = None) -> Reading | None:
        views = tuple(self.views.get(topic) or self._load(topic) for topic in topics)
        return Reading(views, self.contact, barrier.consistency if barrier else Consistency.STALE)

    def barrier_at_once(self, consistency: Consistency, requests: int) -> Barrier | None:
        if not self.knows_at_once or not self.leader:
            return None
        self.barriers += 1
        return Barrier(consistency, self.state.applied_index, 0, 0)

    def barrier(self, consistency: Consistency) -> asyncio.Future[Barrier]:
        self.barriers += 1
        future: asyncio.Future[Barrier] = asyncio.get_running_loop().create_future()
        if not self.leader:
            raise NoLeader
        if self.hold_barriers:
            self.held.append(future)
        else:
            future.set_result(Barrier(consistency, self.state.applied_index, 0, 0))
        return future

    async def read(self, topics: Sequence[Topic], consistency: Consistency, *, timeout_s: float | None = None) -> Reading:
        barrier = None if consistency is Consistency.STALE else await asyncio.shield(self.barrier(consistency))
        reading = self.peek(topics, barrier)
        assert reading is not None
        return reading

    async def wait(self, topics: Sequence[Topic], changed: Callable[[Reading], bool], *, timeout_s: float) -> Reading:
        done = asyncio.Event()

        def look() -> None:
            reading = self.peek(topics)
            if reading is not None and changed(reading):
                done.set()

        self.listeners.add(look)
        look()
        try:
            await asyncio.wait_for(done.wait(), timeout_s)
        except TimeoutError:
            pass
        finally:
            self.listeners.discard(look)
        reading = self.peek(topics)
        assert reading is not None
        return reading

    async def write(self, command: Command, *, request_id: bytes = b"", timeout_s: float | None = None) -> int:
        if self.failure is not None:
            raise self.failure
        if not self.leader:
            raise NoLeader
        check_command(command)
        self.commands.append(command)
        return self.apply(command)

    async def caught_up(self, index: int, *, timeout_s: float) -> bool:
        return True


class SmallGossip:
    """A pool whose members are a list."""

    def __init__(self) -> None:
        tags = {"role": "rostra", "dc": "dc1", "id": NODE_ID, "port": "8300", "build": "0.1.0", "vsn": "2"}
        self.pools = {
            "lan": [Member("n1", "127.0.0.1", 8301, tags, MemberStatus.ALIVE, 1)],
            "wan": [Member("n1.dc1", "127.0.0.1", 8302, tags, MemberStatus.ALIVE, 1)],
        }
        self.coordinates: dict[str, Coordinate] = {}
        self.joined: list[tuple[Sequence[str], str]] = []
        self.forced: list[tuple[str, bool, str]] = []
        self.is_server = True
        self.keys: dict[str, list[bytes]] = {pool: [bytes(16)] for pool in self.pools}
        self.key_errors: dict[str, str] = {}
        self.key_calls: list[tuple[str, bytes, str, int]] = []

    async def list_members(self, pool: str = "lan") -> tuple[Sequence[Member], bool]:
        if pool not in self.pools:
            raise BadRequest("a client is not in the WAN pool")
        return self.pools[pool], True

    async def join(self, addresses: Sequence[str], pool: str = "lan") -> int:
        self.joined.append((addresses, pool))
        return len(addresses)

    async def force_leave(self, name: str, prune: bool = False, pool: str = "lan") -> None:
        if name not in {member.name for member in self.pools[pool]}:
            raise NotFound(f"no member {name}")
        self.forced.append((name, prune, pool))

    async def list_coordinates(self, pool: str = "lan") -> Mapping[str, Coordinate]:
        return self.coordinates

    async def get_status(self) -> GossipStatus:
        identity = Identity("n1", NODE_ID, "dc1", server=self.is_server)
        return GossipStatus(identity, "0.1.0", {pool: PoolStatus(8301, True, bool(self.keys), {}) for pool in self.pools})

    async def list_keys(self, pool: str = "lan", *, relay_factor: int = 0) -> KeyList:
        self._answer_for_keys("list", b"", pool, relay_factor)
        keys = [base64.b64encode(key).decode() for key in self.keys[pool]]
        return KeyList(dict.fromkeys(keys, 1), dict.fromkeys(keys[:1], 1), 1, self.key_errors)

    async def change_key(self, action: KeyAction, key: bytes, pool: str = "lan", *, relay_factor: int = 0) -> KeyChange:
        self._answer_for_keys(action.name.lower(), key, pool, relay_factor)
        return KeyChange(2, 2 - len(self.key_errors), self.key_errors)

    def _answer_for_keys(self, action: str, key: bytes, pool: str, relay_factor: int) -> None:
        if not self.keys:
            raise BadRequest("the pool is not encrypted")
        self.key_calls.append((action, key, pool, relay_factor))


class SmallAgent:
    """A node's own services and checks, in two dictionaries; TTL checks are those that a test names."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.changed = asyncio.Event()
        self.checks: dict[str, Check] = {}
        self.ttl: set[str] = set()
        self.calls: list[tuple[object, ...]] = []

    async def get_self(self) -> AgentDescription:
        identity = Identity("n1", NODE_ID, "dc1", server=True)
        return AgentDescription(identity, "0.1.0", '{"node_name":"n1","node_meta":{"rack":"7"}}', {"agent": {"checks": "0"}})

    async def list_services(self, *, service_id: str = "", name: str = "") -> Sequence[Service]:
        found = [self.services[key] for key in sorted(self.services)]
        return [each for each in found if service_id in ("", each.id) and name in ("", each.name)]

    async def wait_for_service(self, known: Service, wait_s: float) -> Service:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while self.services.get(known.id) == known:
                    self.changed.clear()
                    await self.changed.wait()
        if known.id not in self.services:
            raise NotFound("no service")
        return self.services[known.id]

    async def list_checks(self, *, concerning: Sequence[str] = ()) -> Sequence[Check]:
        found = [self.checks[key] for key in sorted(self.checks)]
        return [each for each in found if not concerning or each.service_id in ("", *concerning)]

    async def register_service(
        self, service: Service, checks: Sequence[LocalCheck] = (), *, replace_existing_checks: bool = False, token: str = ""
    ) -> None:
        self.services[service.id] = service
        self.changed.set()
        self.calls.append(("register_service", service, tuple(checks), replace_existing_checks, token))

    async def deregister_service(self, service_id: str) -> None:
        if self.services.pop(service_id, None) is None:
            raise NotFound(f"no service {service_id}")
        self.changed.set()

    async def register_check(self, check: LocalCheck, *, token: str = "") -> None:
        if check.service_id and check.service_id not in self.services:
            raise NotFound("no service")
        self.checks[check.check_id or check.name] = Check("n1", check.check_id or check.name, check.name, check.status)
        self.calls.append(("register_check", check, token))

    async def deregister_check(self, check_id: str) -> None:
        if self.checks.pop(check_id, None) is None:
            raise NotFound(f"no check {check_id}")

    async def update_ttl(self, check_id: str, status: HealthStatus, output: str) -> None:
        if check_id not in self.ttl:
            raise NotFound("no TTL check")
        self.calls.append(("update_ttl", check_id, status, output))

    async def set_maintenance(self, enable: bool, reason: str = "", service_id: str = "") -> None:
        if service_id and service_id not in self.services:
            raise NotFound("no service")
        self.calls.append(("set_maintenance", enable, reason, service_id))

    async def leave(self) -> None:
        self.calls.append(("leave",))

    async def reload(self) -> tuple[Sequence[str], Sequence[str]]:
        self.calls.append(("reload",))
        return (), ()

    async def stream_logs(self, level: str = "info", *, json: bool = False) -> AsyncIterator[str]:
        yield f"[{level}] agent: hello"


class SmallDns:
    """Answers every question alike, and notes who asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, str]] = []
        self.answer = DnsAnswer(b"answer", 7)

    async def query_for(self, message: bytes, client: str) -> DnsAnswer:
        if not message:
            raise BadRequest("message is no DNS question", field="message")
        self.asked.append((message, client))
        return self.answer


class SmallRaft:
    """Servers of which the first leads, as long as the hub says so."""

    def __init__(self, hub: SmallHub) -> None:
        self._hub = hub
        self.asked: list[str] = []
        self.members = [
            RaftMember("id-1", "store-1", "n1", "127.0.0.1:8300", True),
            RaftMember("id-2", "store-2", "", "127.0.0.2:8300", True),
            RaftMember("id-3", "store-3", "n3", "127.0.0.3:8300", True),
            RaftMember("id-3", "store-4", "n3", "127.0.0.3:8300", False),
        ]

    async def leader_address(self) -> str:
        return self._hub.contact.leader_address

    async def peers(self) -> Sequence[str]:
        return ["127.0.0.1:8300"]

    async def configuration(self, *, stale: bool = False) -> Configuration:
        self.asked.append("stale" if stale else "leader")
        return Configuration(7, "cluster", self.members, "id-1")

    async def remove(self, member: RaftMember) -> None:
        self.members.remove(member)

    async def transfer_leader(self, node_id: str = "") -> None:
        self.asked.append(f"transfer to {node_id or 'anyone'}")


class SmallAutopilot:
    """Keeps a configuration, and shows one server."""

    def __init__(self) -> None:
        self.configuration = AutopilotConfiguration(create_index=3, modify_index=3)
        self.last_contact_ms: int | None = 0
        self.healthy = True

    async def get_autopilot(self, datacenter: str = "") -> AutopilotState:
        if datacenter not in ("", "dc1"):
            raise NoPath
        server = AutopilotServer(
            id="11111111-2222-3333-4444-555555555555", name="s1", address="127.0.0.1:8300", serf_status="alive", version="0.1.0",
            leader=True, voter=True, last_contact_ms=self.last_contact_ms, last_term=2, last_index=46, healthy=self.healthy,
            stable_since_ns=1_488_837_120_000_000_000,
        )  # fmt: skip
        return AutopilotState(self.configuration, [server], 0)

    async def set_autopilot(self, change: AutopilotChange, datacenter: str = "") -> int:
        if datacenter not in ("", "dc1"):
            raise NoPath
        if change.only_at_index is not None and change.only_at_index != self.configuration.modify_index:
            raise Conflict("written meanwhile")
        self.configuration = replace(change.configuration, create_index=3, modify_index=9)
        return 9


class SmallDatacenters:
    """``dc2`` beside ``dc1``, with views of its own."""

    def __init__(self) -> None:
        self.hubs = {"dc2": SmallHub()}
        self.places: Mapping[str, Coordinate] = {"far": Coordinate()}

    def reach(self, datacenter: str) -> SmallHub:
        if datacenter not in self.hubs:
            raise NoPath
        return self.hubs[datacenter]

    def servers(self, datacenter: str) -> Sequence[str]:
        self.reach(datacenter)
        return ["10.2.0.1:8300"]

    async def coordinates(self, datacenter: str) -> Mapping[str, Coordinate]:
        self.reach(datacenter)
        return self.places

    async def list(self) -> Sequence[str]:
        return ["dc1", *self.hubs]


class SmallSnapshots:
    """Keeps what was restored. ``error`` is what either way fails with, the saving one after the first bytes."""

    def __init__(self) -> None:
        self.file = b"the file"
        self.restored = b""
        self.consistency = Consistency.DEFAULT
        self.error: RostraError | None = None

    async def save(self, consistency: Consistency = Consistency.DEFAULT, datacenter: str = "") -> SavedSnapshot:
        if datacenter:
            raise NoPath
        self.consistency = consistency
        return SavedSnapshot(7, True, 0, self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.file), 100_000):
            yield self.file[start : start + 100_000]
            if self.error is not None:
                raise self.error

    async def restore(self, chunks: AsyncIterator[bytes], datacenter: str = "") -> int:
        if datacenter:
            raise NoPath
        held = bytearray()
        async for chunk in chunks:
            held += chunk
        if self.error is not None:
            raise self.error
        self.restored = bytes(held)
        return 8
