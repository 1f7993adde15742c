"""What single reads ask of the store: lists in order of name, narrowed. Each says on which topics its answer depends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rostra.catalog.entries import checks_in
from rostra.catalog.state import CatalogState
from rostra.catalog.store import Store, fold
from rostra.model.catalog import Check, HealthStatus, Node, ServiceInstance, ServiceSummary
from rostra.model.topics import Topic


def last_change(state: CatalogState, topics: Iterable[Topic]) -> int:
    """When an answer that depends on these topics last changed; at least 1, because 0 means "do not wait"."""
    return max(1, *(state.topics.of(topic) for topic in topics))


def find_node(store: Store, name_or_id: str) -> Node | None:
    """By name whatever its case, else by ID."""
    return store.nodes.get(fold(name_or_id)) or store.node_with_id(name_or_id)


def nodes(store: Store, node_meta: Mapping[str, str]) -> list[Node]:
    """Nodes that have all of these pairs in their meta."""
    return [node for node in store.nodes if has_meta(node, node_meta)]


def services(store: Store, node_meta: Mapping[str, str]) -> Sequence[ServiceSummary]:
    """Service names with all tags in use, on nodes with that meta."""
    if not node_meta:
        return store.summaries()
    counts: Counter[str] = Counter()
    tags: dict[str, set[str]] = {}
    for node in nodes(store, node_meta):
        for service in store.services_on(fold(node.name)):
            counts[service.name] += 1
            tags.setdefault(service.name, set()).update(service.tags)
    return [ServiceSummary(name, tuple(sorted(tags[name])), counts[name]) for name in sorted(counts)]


def instances(
    store: Store, service: str, *, tags: Iterable[str], node_meta: Mapping[str, str], passing_only: bool
) -> list[ServiceInstance]:
    """Instances that have all of the tags, whatever their case, on nodes with that meta."""
    wanted = {fold(tag) for tag in tags}
    return [
        instance
        for instance in store.instances(fold(service))
        if wanted <= {fold(tag) for tag in instance.service.tags}
        and has_meta(instance.node, node_meta)
        and not (passing_only and instance.status is not HealthStatus.PASSING)
    ]


def checks_of_node(store: Store, node: str) -> list[Check]:
    """All checks on the node of that name."""
    return store.checks_on(fold(node))


def checks_of_service(store: Store, service: str, node_meta: Mapping[str, str]) -> list[Check]:
    """The checks of the service's instances, without those of their nodes."""
    return [
        check
        for instance in store.instances(fold(service))
        if has_meta(instance.node, node_meta)
        for check in instance.checks
        if check.service_id
    ]


def checks_in_state(store: Store, state: str, node_meta: Mapping[str, str]) -> list[Check]:
    """Checks in that state ("any" for all) on nodes with that meta."""
    found = checks_in(store, state)
    if not node_meta:
        return list(found)
    return [check for check in found if (node := store.nodes.get(fold(check.node))) is not None and has_meta(node, node_meta)]


def has_meta(node: Node, wanted: Mapping[str, str]) -> bool:
    """Whether the node has all of these pairs in its meta."""
    return all(node.meta.get(key) == value for key, value in wanted.items())
