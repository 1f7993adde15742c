"""The catalog's tables and what is derived from them, and a note of every topic that a change touches.

Names of nodes and services and IDs of nodes, services and checks are compared without case, as Consul 1.8.7 does; records
keep the spelling they came with. ``set_node``, ``set_service`` and ``set_check`` are the only ways to change anything;
each keeps the derived indexes right, notes which entries of which topics it touches, and can be undone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias, TypeVar

from sortedcontainers import SortedDict, SortedList

from rostra.catalog.tables import Table
from rostra.model.catalog import Check, HealthStatus, Node, Service, ServiceInstance, ServiceSummary
from rostra.model.topics import (
    ANY_CHECKS,
    NODE_ENTRY_KEY,
    NODES,
    SERVICES,
    Topic,
    TopicKind,
    check_key,
    instance_key,
    node_check_key,
    node_key,
    node_service_key,
)

Key: TypeAlias = tuple[str, str]
"""Folded node name, then folded service or check ID."""

Touched: TypeAlias = Mapping[Topic, Mapping[str, None]]
"""Topics and the keys of their entries that changed, came or went."""

K = TypeVar("K")

_STATE_TOPICS = {status: Topic(TopicKind.CHECKS, status.value) for status in HealthStatus}


def fold(name: str) -> str:
    """What names and IDs are compared by."""
    return name.lower()


class NameUse:
    """What the instances of one service name, as spelled, have in common."""

    __slots__ = ("instances", "tags")

    def __init__(self) -> None:
        self.instances = 0
        self.tags: Counter[str] = Counter()

    def change(self, old_tags: set[str], new_tags: set[str]) -> bool:
        """Whether the tags in use changed."""
        changed = False
        for tag in old_tags - new_tags:
            self.tags[tag] -= 1
            if not self.tags[tag]:
                del self.tags[tag]
                changed = True
        for tag in new_tags - old_tags:
            changed |= tag not in self.tags
            self.tags[tag] += 1
        return changed


class Store:
    """Nodes by folded name, services and checks by folded node name and ID."""

    def __init__(self) -> None:
        self.nodes: Table[str, Node] = Table()
        self.services: Table[Key, Service] = Table()
        self.checks: Table[Key, Check] = Table()
        self.name_uses: SortedDict[str, NameUse] = SortedDict()
        self._node_of_id: dict[str, str] = {}
        self._instances: dict[str, SortedList[Key]] = {}
        self._checks_of: dict[Key, SortedList[Key]] = {}
        self._checks_in: dict[HealthStatus, SortedList[Key]] = {status: SortedList() for status in HealthStatus}
        self._touched: dict[Topic, dict[str, None]] = {}
        self._undo: list[Callable[[], None]] = []

    # --- reading ---

    def node_with_id(self, node_id: str) -> Node | None:
        """The node with that UUID, or None."""
        key = self._node_of_id.get(fold(node_id))
        return None if key is None else self.nodes.get(key)

    def services_on(self, node: str) -> list[Service]:
        """Services on the node of that folded name, in order of ID."""
        return self.services.between((node, ""), (f"{node}\0", ""))

    def checks_on(self, node: str) -> list[Check]:
        """Checks on the node of that folded name, its services' included, in order of ID."""
        return self.checks.between((node, ""), (f"{node}\0", ""))

    def checks_of(self, node: str, service_id: str) -> list[Check]:
        """Checks of that service, or of the node itself when the (folded) ID is empty, in order of ID."""
        return [self._check(key) for key in self._checks_of.get((node, service_id), ())]

    def checks_in(self, status: HealthStatus) -> list[Check]:
        """Checks in that state in order of node and ID."""
        return [self._check(key) for key in self._checks_in[status]]

    def has_instances(self, service: str) -> bool:
        """Whether a service of that folded name has instances."""
        return service in self._instances

    def instances(self, service: str) -> list[ServiceInstance]:
        """Instances of the service of that folded name, in order of node and ID."""
        return [instance for key in self._instances.get(service, ()) if (instance := self.instance(key)) is not None]

    def instance(self, key: Key) -> ServiceInstance | None:
        """The instance with its node and every check that concerns it."""
        node, service = self.nodes.get(key[0]), self.services.get(key)
        if node is None or service is None:
            return None
        return ServiceInstance(node, service, (*self.checks_of(key[0], ""), *self.checks_of(*key)))

    def summary(self, name: str) -> ServiceSummary | None:
        """What the instances of that name, as spelled, have in common."""
        use = self.name_uses.get(name)
        return None if use is None else ServiceSummary(name, tuple(sorted(use.tags)), use.instances)

    def summaries(self) -> list[ServiceSummary]:
        """One for each service name, in order."""
        return [ServiceSummary(name, tuple(sorted(use.tags)), use.instances) for name, use in self.name_uses.items()]

    # --- changing ---

    def set_node(self, key: str, node: Node | None) -> None:
        """Puts a node under its folded name; None removes it, once nothing is on it."""
        old = self.nodes.get(key)
        self._undo.append(partial(self.set_node, key, old))
        if old is not None and old.id and self._node_of_id.get(fold(old.id)) == key:
            del self._node_of_id[fold(old.id)]
        if node is not None and node.id:
            self._node_of_id[fold(node.id)] = key
        services = self.services_on(key)
        assert node is not None or not services, "services go before their node"
        self._touch(NODES, node_key(key))
        self._touch(Topic(TopicKind.NODE, key), NODE_ENTRY_KEY)
        for each in (old, node):
            if each is not None:
                for service in services:
                    self._touch(Topic(TopicKind.SERVICE, fold(service.name)), instance_key(each.name, service.id))
        self.nodes.set(key, node)

    def set_service(self, key: Key, service: Service | None) -> None:
        """Puts a service on a node that is there; None removes it, once it has no checks."""
        old = self.services.get(key)
        self._undo.append(partial(self.set_service, key, old))
        node = self.nodes.get(key[0])
        assert node is not None, "a service needs its node"
        for each in (old, service):
            if each is not None:
                self._touch(Topic(TopicKind.NODE, key[0]), node_service_key(each.id))
                self._touch(Topic(TopicKind.SERVICE, fold(each.name)), instance_key(node.name, each.id))
        self._change_name_use(old, service)
        before, after = None if old is None else fold(old.name), None if service is None else fold(service.name)
        if before != after:
            _move(self._instances, before, after, key)
        self.services.set(key, service)

    def set_check(self, key: Key, check: Check | None) -> None:
        """Puts a check on a node or service that is there; None removes it."""
        old = self.checks.get(key)
        self._undo.append(partial(self.set_check, key, old))
        for each in (old, check):
            if each is not None:
                self._touch_check(key, each)
        before = None if old is None else (key[0], fold(old.service_id))
        after = None if check is None else (key[0], fold(check.service_id))
        if before != after:
            _move(self._checks_of, before, after, key)
        if old is None or check is None or old.status is not check.status:
            if old is not None:
                self._checks_in[old.status].remove(key)
            if check is not None:
                self._checks_in[check.status].add(key)
        self.checks.set(key, check)

    def commit(self) -> Touched:
        """Ends a change that is kept: what it touched."""
        touched, self._touched = self._touched, {}
        self._undo.clear()
        return touched

    def rollback(self) -> None:
        """Undoes everything since the last commit."""
        undo, self._undo = self._undo, []
        for step in reversed(undo):
            step()
        self.commit()

    # --- within ---

    def _check(self, key: Key) -> Check:
        check = self.checks.get(key)
        assert check is not None, "an index names a check that is not there"
        return check

    def _touch(self, topic: Topic, key: str) -> None:
        keys = self._touched.get(topic)
        if keys is None:
            keys = self._touched[topic] = {}
        keys[key] = None

    def _touch_check(self, key: Key, check: Check) -> None:
        entry = check_key(check.node, check.check_id)
        self._touch(Topic(TopicKind.NODE, key[0]), node_check_key(check.check_id))
        self._touch(ANY_CHECKS, entry)
        self._touch(_STATE_TOPICS[check.status], entry)
        node = self.nodes.get(key[0])
        assert node is not None, "a check needs its node"
        service = self.services.get((key[0], fold(check.service_id))) if check.service_id else None
        for each in self.services_on(key[0]) if not check.service_id else (service,):
            if each is not None:
                self._touch(Topic(TopicKind.SERVICE, fold(each.name)), instance_key(node.name, each.id))

    def _change_name_use(self, old: Service | None, new: Service | None) -> None:
        if old is not None and new is not None and old.name == new.name:
            if old.tags != new.tags and self.name_uses[old.name].change(set(old.tags), set(new.tags)):
                self._touch(SERVICES, old.name)
            return
        if old is not None:
            use = self.name_uses[old.name]
            use.change(set(old.tags), set())
            use.instances -= 1
            if not use.instances:
                del self.name_uses[old.name]
            self._touch(SERVICES, old.name)
        if new is not None:
            use = self.name_uses.setdefault(new.name, NameUse())
            use.change(set(), set(new.tags))
            use.instances += 1
            self._touch(SERVICES, new.name)


def _move(index: dict[K, SortedList[Key]], before: K | None, after: K | None, key: Key) -> None:
    """From where the key was, if anywhere, to where it belongs, if anywhere."""
    if before is not None:
        keys = index[before]
        keys.remove(key)
        if not keys:
            del index[before]
    if after is not None:
        keys = index.get(after) or index.setdefault(after, SortedList())
        keys.add(key)
