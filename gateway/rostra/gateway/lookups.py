"""Catalog and health reads: which topics an answer is made of, and how. Pure: views in, JSON out.

A lookup is compared by its topics and its key: two requests with equal ones get the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from rostra.gateway import fragments
from rostra.gateway.encoding import encode_json, join_list
from rostra.gateway.fragments import Fragments
from rostra.model.catalog import Check, HealthStatus, Node, Service, ServiceInstance, ServiceSummary
from rostra.model.topics import ANY_CHECKS, NODE_ENTRY_KEY, NODES, SERVICES, Entry, Topic, TopicKind, node_key
from rostra.views.view import View

Pairs: TypeAlias = tuple[tuple[str, str], ...]
Views: TypeAlias = Sequence[View]
Record: TypeAlias = Node | ServiceSummary | ServiceInstance | Service | Check
Match: TypeAlias = Callable[[Record], bool]
"""A filter expression, made ready for the kind of record that the endpoint lists."""

_STATES: Final = frozenset(status.value for status in HealthStatus) | {"any"}


class Row(NamedTuple):
    """An item of a list: the record that filters see, the node it is on, and its JSON."""

    record: Record
    node: str
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Lookup:
    """One read. ``rows`` gives what it lists (after every condition but the filter), ``shape`` puts encoded rows together.

    ``whole`` is a shorter way to the same answer when nothing narrows it.
    """

    topics: tuple[Topic, ...]
    key: Hashable
    rows: Callable[[Views], Iterable[Row]]
    shape: Callable[[Views, list[bytes]], bytes]
    whole: Callable[[Views], bytes] | None = None
    nearness: bool = False
    """Whether ``near`` orders it."""

    def render(self, views: Views, match: Match | None = None, near: Callable[[str], float] | None = None) -> bytes:
        """The answer; ``near`` gives each node's distance."""
        if self.whole is not None and match is None and near is None:
            return self.whole(views)
        return self.put_together(views, [row for row in self.rows(views) if match is None or match(row.record)], near)

    def steps(self, views: Views, match: Match | None) -> Iterator[Row | None]:
        """What ``render`` puts together, and None for each that the filter leaves out: who takes them may pause anywhere."""
        for row in self.rows(views):
            yield row if match is None or match(row.record) else None

    def put_together(self, views: Views, rows: list[Row], near: Callable[[str], float] | None = None) -> bytes:
        """The answer, of rows that were chosen."""
        if near is not None and self.nearness:
            rows.sort(key=lambda row: near(row.node))
        return self.shape(views, [row.encoded for row in rows])


def _list(_views: Views, encoded: list[bytes]) -> bytes:
    return join_list(encoded)


def _has_meta(node: Node, meta: Pairs) -> bool:
    return not meta or all(node.meta.get(key) == value for key, value in meta)


def nodes(render: Fragments, meta: Pairs = ()) -> Lookup:
    """``/v1/catalog/nodes``."""

    def rows(views: Views) -> Iterable[Row]:
        for entry, encoded in views[0].rendered(render.node):
            assert isinstance(entry.value, Node)
            if _has_meta(entry.value, meta):
                yield Row(entry.value, entry.value.name, encoded)

    whole = None if meta else lambda views: join_list(views[0].fragments(render.node))
    return Lookup((NODES,), ("nodes", meta), rows, _list, whole, nearness=True)


def services() -> Lookup:
    """``/v1/catalog/services``: an object of names, each with its tags."""

    def rows(views: Views) -> Iterable[Row]:
        for entry, encoded in views[0].rendered(fragments.summary):
            assert isinstance(entry.value, ServiceSummary)
            yield Row(entry.value, "", encoded)

    return Lookup((SERVICES,), "services", rows, lambda _views, encoded: b"{" + b",".join(encoded) + b"}")


def services_on(names: Iterable[str], meta: Pairs) -> Lookup:
    """``/v1/catalog/services?node-meta=``: of the services ``names``, those on nodes with that meta, with the tags they have there."""
    topics = (SERVICES, *(Topic(TopicKind.SERVICE, name) for name in names))

    def rows(views: Views) -> Iterable[Row]:
        for view in views[1:]:
            instances = [value for value in view.values() if isinstance(value, ServiceInstance) and _has_meta(value.node, meta)]
            if instances:
                tags = tuple(sorted({tag for instance in instances for tag in instance.service.tags}))
                summary = ServiceSummary(instances[0].service.name, tags, len(instances))
                yield Row(summary, "", fragments.summary(Entry("", 0, summary)))

    return Lookup(topics, ("services", meta), rows, lambda _views, encoded: b"{" + b",".join(encoded) + b"}")


def service(render: Fragments, name: str, tags: tuple[str, ...], meta: Pairs) -> Lookup:
    """``/v1/catalog/service/NAME``."""
    return _instances("catalog", render.catalog_service, name, tags, meta, passing=False)


def health_service(render: Fragments, name: str, tags: tuple[str, ...], meta: Pairs, *, passing: bool) -> Lookup:
    """``/v1/health/service/NAME``."""
    return _instances("health", render.instance, name, tags, meta, passing=passing)


def _instances(kind: str, render: Callable[[Entry], bytes], name: str, tags: tuple[str, ...], meta: Pairs, *, passing: bool) -> Lookup:
    wanted = frozenset(tag.lower() for tag in tags)

    def rows(views: Views) -> Iterable[Row]:
        for entry, encoded in views[0].rendered(render):
            assert isinstance(entry.value, ServiceInstance)
            found = entry.value
            if (
                wanted <= {tag.lower() for tag in found.service.tags}
                and _has_meta(found.node, meta)
                and not (passing and found.status is not HealthStatus.PASSING)
            ):
                yield Row(found, found.node.name, encoded)

    narrowed = bool(wanted or meta or passing)
    whole = None if narrowed else lambda views: join_list(views[0].fragments(render))
    return Lookup((Topic(TopicKind.SERVICE, name),), (kind, wanted, meta, passing), rows, _list, whole, nearness=True)


def service_checks(name: str, meta: Pairs) -> Lookup:
    """``/v1/health/checks/NAME``: the service's own checks."""

    def rows(views: Views) -> Iterable[Row]:
        view = views[0]
        for entry, checks in view.rendered(fragments.instance_checks):
            assert isinstance(entry.value, ServiceInstance)
            if _has_meta(entry.value.node, meta):
                yield from (Row(check, check.node, encoded) for check, encoded in checks)

    return Lookup((Topic(TopicKind.SERVICE, name),), ("checks", meta), rows, _list, nearness=True)


def state_checks(state: str, meta: Pairs) -> Lookup:
    """``/v1/health/state/STATE``; a state that there is not lists nothing, as in Consul."""
    topic = Topic(TopicKind.CHECKS, state) if state in _STATES else ANY_CHECKS

    def rows(views: Views) -> Iterable[Row]:
        for entry, encoded in views[0].rendered(fragments.check) if state in _STATES else ():
            assert isinstance(entry.value, Check)
            if not meta or _is_on_node_with(views[1], entry.value.node, meta):
                yield Row(entry.value, entry.value.node, encoded)

    whole = None if meta or state not in _STATES else lambda views: join_list(views[0].fragments(fragments.check))
    return Lookup((topic, NODES) if meta else (topic,), ("state", state, meta), rows, _list, whole, nearness=True)


def _is_on_node_with(nodes_view: View, name: str, meta: Pairs) -> bool:
    entry = nodes_view.get(node_key(name))
    return entry is not None and isinstance(entry.value, Node) and _has_meta(entry.value, meta)


def node_checks(name: str) -> Lookup:
    """``/v1/health/node/NAME``."""

    def rows(views: Views) -> Iterable[Row]:
        for entry, encoded in views[0].rendered(fragments.check):
            if isinstance(entry.value, Check):
                yield Row(entry.value, entry.value.node, encoded)

    return Lookup((Topic(TopicKind.NODE, name),), "checks", rows, _list)


def node_services(render: Fragments, name: str, *, as_list: bool) -> Lookup:
    """``/v1/catalog/node/NAME`` (an object of services by ID, or null without the node) and ``/v1/catalog/node-services/NAME`` (a
    list, or two nulls)."""

    def rows(views: Views) -> Iterable[Row]:
        for entry, encoded in views[0].rendered(fragments.node_service):
            if isinstance(entry.value, Service):
                member = encoded if as_list else encode_json(entry.value.id) + b":" + encoded
                yield Row(entry.value, name, member)

    def shape(views: Views, encoded: list[bytes]) -> bytes:
        entry = views[0].get(NODE_ENTRY_KEY)
        if entry is None:
            return b'{"Node":null,"Services":null}' if as_list else b"null"
        opening, closing = (b"[", b"]") if as_list else (b"{", b"}")
        return b'{"Node":' + render.node(entry) + b',"Services":' + opening + b",".join(encoded) + closing + b"}"

    return Lookup((Topic(TopicKind.NODE, name),), ("services", as_list), rows, shape)
