"""Topics as the store has them: one entry, or all in order of key (contract: ``TopicKind`` in catalog_stream.proto)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rostra.catalog.state import CatalogState
from rostra.catalog.store import Key, Store, fold
from rostra.model.catalog import Check, HealthStatus, Node, Service, ServiceInstance
from rostra.model.topics import (
    NODE_ENTRY_KEY,
    SEPARATOR,
    SERVICES,
    Entry,
    Topic,
    TopicKind,
    Value,
    check_key,
    instance_key,
    node_check_key,
    node_key,
    node_service_key,
)


def normalized(topic: Topic) -> Topic:
    """The topic under which a name is kept, whatever the case it was asked in."""
    return Topic(topic.kind, fold(topic.name))


def topic_entry(store: Store, topic: Topic, key: str, index: int) -> Entry:
    """What the topic now has under that key: it changed at ``index``, or it is gone since."""
    return Entry(key, index, _value(store, topic, key))


def topic_entries(state: CatalogState, topic: Topic) -> list[Entry]:
    """Everything that the topic holds, in order of key. An entry's index is the latest that its records show."""
    return sorted(_entries(state, topic), key=lambda entry: entry.key)


def _entries(state: CatalogState, topic: Topic) -> Iterator[Entry]:
    store = state.store
    match topic.kind:
        case TopicKind.NODES:
            yield from (Entry(node_key(node.name), node.modify_index, node) for node in store.nodes)
        case TopicKind.SERVICES:
            latest = state.topics.of(SERVICES)
            for summary in store.summaries():
                index = state.topics.of(Topic(TopicKind.SERVICE, fold(summary.name)))
                yield Entry(summary.name, min(index, latest), summary)
        case TopicKind.SERVICE:
            for instance in store.instances(topic.name):
                yield Entry(instance_key(instance.node.name, instance.service.id), instance_index(instance), instance)
        case TopicKind.NODE:
            node = store.nodes.get(topic.name)
            if node is not None:
                yield Entry(NODE_ENTRY_KEY, node.modify_index, node)
                yield from (Entry(node_service_key(each.id), each.modify_index, each) for each in store.services_on(topic.name))
                yield from (Entry(node_check_key(each.check_id), each.modify_index, each) for each in store.checks_on(topic.name))
        case TopicKind.CHECKS:
            for check in checks_in(store, topic.name):
                yield Entry(check_key(check.node, check.check_id), check.modify_index, check)


def instance_index(instance: ServiceInstance) -> int:
    """The latest change of anything that the instance shows."""
    checks = max((check.modify_index for check in instance.checks), default=0)
    return max(instance.node.modify_index, instance.service.modify_index, checks)


def checks_in(store: Store, state: str) -> Iterable[Check]:
    """Checks in that state, or in any; none in a state that does not exist."""
    if state == "any":
        return store.checks
    try:
        return store.checks_in(HealthStatus(state))
    except ValueError:
        return ()


def _value(store: Store, topic: Topic, key: str) -> Value | None:
    match topic.kind:
        case TopicKind.NODES:
            return store.nodes.get(key)
        case TopicKind.SERVICES:
            return store.summary(key)
        case TopicKind.SERVICE:
            instance = store.instance(_folded(key))
            if instance is None or instance_key(instance.node.name, instance.service.id) != key:
                return None
            return instance if fold(instance.service.name) == topic.name else None
        case TopicKind.NODE:
            return _on_node(store, topic.name, key)
        case TopicKind.CHECKS:
            check = store.checks.get(_folded(key))
            if check is None or check_key(check.node, check.check_id) != key:
                return None
            return check if topic.name in ("any", check.status.value) else None


def _on_node(store: Store, node: str, key: str) -> Node | Service | Check | None:
    kind, _, name = key.partition(SEPARATOR)
    if kind == "service":
        service = store.services.get((node, fold(name)))
        return service if service is not None and service.id == name else None
    if kind == "check":
        check = store.checks.get((node, fold(name)))
        return check if check is not None and check.check_id == name else None
    return store.nodes.get(node)


def _folded(key: str) -> Key:
    node, _, name = key.partition(SEPARATOR)
    return fold(node), fold(name)
