"""A catalog in a few lines: views behind a small but real Reader, and questions by dnspython."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset

from rostra.dns.core import Core
from rostra.dns.glance import Lacking
from rostra.dns.settings import DnsSettings
from rostra.dns.wire import Transport
from rostra.errors import NoLeader, NotReady
from rostra.model.catalog import Check, HealthStatus, Node, Service, ServiceAddress, ServiceInstance, ServiceSummary, Weights
from rostra.model.consistency import Consistency, Contact
from rostra.model.topics import NODES, SERVICES, Entry, Topic, TopicKind, instance_key, node_key
from rostra.views.reader import Reading
from rostra.views.view import View

PASSING, WARNING, CRITICAL = HealthStatus.PASSING, HealthStatus.WARNING, HealthStatus.CRITICAL


def make_instance(
    node: Node,
    service: str,
    *,
    service_id: str = "",
    port: int = 80,
    address: str = "",
    tags: Sequence[str] = (),
    status: HealthStatus = PASSING,
    weights: Weights = Weights(),  # noqa: B008
    tagged: Mapping[str, ServiceAddress] | None = None,
) -> ServiceInstance:
    made = Service(
        service_id or service, service, tags=tuple(tags), address=address, port=port, weights=weights, tagged_addresses=tagged or {}
    )
    return ServiceInstance(node, made, (Check(node.name, f"service:{made.id}", "check", status, service_id=made.id),))


class Catalog:
    """Views of nodes and service instances. ``Catalog`` is a Reader: what was never asked for by ``read`` has no snapshot,
    unless ``subscribed`` says otherwise."""

    def __init__(self, *, subscribed: bool = True, ready: bool = True) -> None:
        self.nodes: dict[str, Node] = {}
        self.instances: dict[tuple[str, str], ServiceInstance] = {}
        self.index = 1
        self.contact = Contact(known_leader=True, caught_up=ready)
        self.ready = ready
        self.reads: list[tuple[Topic, ...]] = []
        self._subscribed = subscribed
        self._known: set[Topic] = {NODES, SERVICES}
        self._views: dict[Topic, View] = {}

    @property
    def changes(self) -> int:
        return self.index

    def node(self, name: str, address: str = "10.0.0.1", *, meta: Mapping[str, str] | None = None, **tagged: str) -> Node:
        self.nodes[name] = node = Node(name, address, meta=meta or {}, tagged_addresses=tagged)
        self._changed()
        return node

    def add(self, *instances: ServiceInstance) -> None:
        for instance in instances:
            self.nodes.setdefault(instance.node.name, instance.node)
            self.instances[instance.node.name, instance.service.id] = instance
        self._changed()

    def remove(self, node: str, service_id: str) -> None:
        del self.instances[node, service_id]
        self._changed()

    def look(self, topic: Topic) -> View | None:
        if not self.ready or (topic not in self._known and not self._subscribed):
            return None
        return self._view(topic)

    def peek(self, topics: Sequence[Topic]) -> Reading | None:
        views = [self.look(topic) for topic in topics]
        found = tuple(view for view in views if view is not None)
        return Reading(found, self.contact, Consistency.STALE) if len(found) == len(views) else None

    async def read(self, topics: Sequence[Topic], consistency: Consistency, *, timeout_s: float | None = None) -> Reading:
        self.reads.append(tuple(topics))
        if not self.ready:
            raise NotReady("nothing came yet")
        if consistency is not Consistency.STALE and not self.contact.known_leader:
            raise NoLeader
        self._known.update(topics)
        return Reading(tuple(self._view(topic) for topic in topics), self.contact, consistency)

    async def wait(self, topics: Sequence[Topic], changed: Callable[[Reading], bool], *, timeout_s: float) -> Reading:
        raise NotImplementedError

    def _view(self, topic: Topic) -> View:
        view = self._views.get(topic)
        if view is None:
            view = self._views[topic] = View(topic)
            view.load("cluster", self.index, self._entries(topic))
        return view

    def _changed(self) -> None:
        """Applies what differs, as a hub does: entries that stay the same stay the same objects."""
        self.index += 1
        for topic, view in self._views.items():
            wanted = {entry.key: entry for entry in self._entries(topic)}
            held = {entry.key: entry for entry in view.entries()}
            delta = [entry for key, entry in wanted.items() if key not in held or held[key].value != entry.value]
            delta += [Entry(key, self.index, None) for key in held if key not in wanted]
            if delta:
                view.apply(self.index, delta)

    def _entries(self, topic: Topic) -> Iterable[Entry]:
        match topic.kind:
            case TopicKind.NODES:
                return [Entry(node_key(node.name), self.index, node) for node in self.nodes.values()]
            case TopicKind.SERVICES:
                names = sorted({instance.service.name for instance in self.instances.values()})
                return [Entry(name, self.index, self._summary(name)) for name in names]
            case TopicKind.SERVICE:
                chosen = [instance for instance in self.instances.values() if instance.service.name == topic.name]
                return [Entry(instance_key(one.node.name, one.service.id), self.index, one) for one in chosen]
            case _:
                raise AssertionError(topic)

    def _summary(self, name: str) -> ServiceSummary:
        chosen = [instance.service for instance in self.instances.values() if instance.service.name == name]
        return ServiceSummary(name, tuple(sorted({tag for service in chosen for tag in service.tags})), len(chosen))


class Asker:
    """Asks a core and reads its answers with dnspython, which checks them as it does."""

    def __init__(self, catalog: Catalog, settings: DnsSettings | None = None, *, seed: int = 1) -> None:
        self.catalog = catalog
        self.core = Core(settings or DnsSettings(), random.Random(seed))

    def wire(self, query: dns.message.Message, transport: Transport = Transport.UDP) -> bytes:
        outcome = self.core.respond(query.to_wire(), transport, self.catalog.look)
        if isinstance(outcome, Lacking) and outcome.render is not None:  # as a desk does, in slices
            for topic in outcome.topics:
                self.catalog._view(topic).fragments(outcome.render)
            outcome = self.core.respond(query.to_wire(), transport, self.catalog.look)
        assert isinstance(outcome, bytes), outcome
        return outcome

    def ask(
        self, name: str, qtype: str = "A", *, transport: Transport = Transport.UDP, edns: int | None = 1232, **options: object
    ) -> dns.message.Message:
        """``edns`` is the payload size; None asks without EDNS."""
        query = dns.message.make_query(name, qtype, use_edns=False if edns is None else 0, payload=edns or 0, **options)  # type: ignore[arg-type]
        response = dns.message.from_wire(self.wire(query, transport))
        assert query.is_response(response)
        return response

    def records(self, name: str, qtype: str = "A", **options: object) -> list[str]:
        """The answer section, a line each."""
        return lines(self.ask(name, qtype, **options).answer)  # type: ignore[arg-type]


def lines(section: Iterable[dns.rrset.RRset]) -> list[str]:
    """``owner type rdata`` of every record."""
    return [f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}" for rrset in section for rdata in rrset]


def is_truncated(message: dns.message.Message) -> bool:
    return bool(message.flags & dns.flags.TC)
