"""A catalog by hand: commands at growing indexes, what topics hold, and the bytes of a state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rostra.catalog.entries import topic_entries
from rostra.catalog.snapshot import Loader, Saver
from rostra.catalog.state import Applied, CatalogState
from rostra.errors import RostraError
from rostra.model.catalog import SERF_HEALTH, Check, Command, Deregistration, HealthStatus, Node, Registration, Service
from rostra.model.members import Member, MemberStatus
from rostra.model.topics import Topic, TopicKind, Value

ID_1 = "11111111-1111-1111-1111-111111111111"
ID_2 = "22222222-2222-2222-2222-222222222222"
ID_3 = "33333333-3333-3333-3333-333333333333"


class Book:
    """A state and the next log index."""

    def __init__(self, state: CatalogState | None = None) -> None:
        self.state = state or CatalogState()

    def do(self, command: Command, request_id: bytes = b"") -> Applied:
        index = self.state.applied_index + 1
        return self.state.apply(index, 1, index * 1000, command, request_id)

    def ok(self, command: Command) -> Applied:
        applied = self.do(command)
        assert applied.outcome.error is None, applied.outcome.error
        return applied

    def refusal(self, command: Command) -> RostraError:
        before = save(self.state)
        applied = self.do(command)
        assert applied.outcome.error is not None
        assert not applied.touched
        assert without_place(save(self.state)) == without_place(before), "a refusal changed something"
        return applied.outcome.error

    def register(self, node: str, address: str = "10.0.0.1", **more: Any) -> Applied:
        return self.ok(registration(node, address, **more))

    def deregister(self, node: str, service_id: str = "", check_id: str = "") -> Applied:
        return self.ok(Deregistration(node, service_id, check_id))

    def node(self, name: str) -> Node | None:
        return self.state.store.nodes.get(name.lower())

    def service(self, node: str, service_id: str) -> Service | None:
        return self.state.store.services.get((node.lower(), service_id.lower()))

    def check(self, node: str, check_id: str) -> Check | None:
        return self.state.store.checks.get((node.lower(), check_id.lower()))

    def topic(self, kind: TopicKind, name: str = "") -> Mapping[str, Value | None]:
        return content(self.state, Topic(kind, name))


def registration(
    node: str,
    address: str = "10.0.0.1",
    *,
    node_id: str = "",
    meta: Mapping[str, str] | None = None,
    skip: bool = False,
    service: Service | None = None,
    checks: tuple[Check, ...] = (),
) -> Registration:
    return Registration(Node(node, address, node_id, meta=meta or {}), skip, service, checks)


def service(name: str = "web", service_id: str = "", **more: Any) -> Service:
    return Service(id=service_id or name, name=name, **more)


def check(check_id: str, status: HealthStatus = HealthStatus.PASSING, **more: Any) -> Check:
    return Check(node="", check_id=check_id, name=check_id, status=status, **more)


def alive() -> tuple[Check, ...]:
    return (check(SERF_HEALTH),)


def member(name: str = "a", status: MemberStatus = MemberStatus.ALIVE, *, server: bool = False, **tags: str) -> Member:
    role = {"role": "rostra", "port": "8300"} if server else {"role": "rostra-client"}
    return Member(name, "10.0.0.1", 8301, {"dc": "dc1", "id": ID_1, **role, **tags}, status, incarnation=1)


def content(state: CatalogState, topic: Topic) -> Mapping[str, Value | None]:
    return {entry.key: entry.value for entry in topic_entries(state, topic)}


def save(state: CatalogState) -> bytes:
    return b"".join(Saver(state).pieces())


def load(data: bytes, *, step: int = 1000) -> CatalogState:
    loader = Loader()
    for offset in range(0, len(data), step):
        loader.feed(data[offset : offset + step])
        while loader.step():
            pass
    return loader.finish()


def without_place(data: bytes) -> bytes:
    """The bytes of a state but for the entry it stands at."""
    state = load(data)
    state.applied_index = state.applied_term = state.time_ns = 0
    state.results.load(())
    return save(state)
