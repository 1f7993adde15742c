"""The catalog as a state machine: commands in the order of the log change it, the same way everywhere.

Apply is total and deterministic: whatever the command, it leaves a result, and a refusal changes nothing. The rules and
their texts are Consul 1.8.7's, found by trying them (tests/unit/catalog/test_interop.py keeps trying). Some are not what
one would guess: a rename under the same ID starts the node afresh, without services and checks; a registration without
an ID takes the ID away; a check keeps the service name and tags of the moment when it was registered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rostra.catalog.restore import Staging
from rostra.catalog.results import Outcome, Results
from rostra.catalog.store import Store, Touched, fold
from rostra.catalog.topic_indexes import TopicIndexes, is_list
from rostra.errors import BadRequest, Conflict, RostraError
from rostra.model.autopilot import AutopilotChange, AutopilotConfiguration
from rostra.model.catalog import (
    SERF_HEALTH,
    Check,
    CheckDefinition,
    Command,
    CommandGroup,
    Deregistration,
    HealthStatus,
    Node,
    Registration,
    RestorePart,
    Service,
    Weights,
)
from rostra.model.rules import MAX_WEIGHT
from rostra.model.topics import SEPARATOR, Topic, TopicKind

NOTHING_TOUCHED: Final[Touched] = {}


class Applied(Struct, frozen=True):
    """What one log entry came to: its result, and the entries of topics that changed, came or went. ``replaced``: everything did."""

    outcome: Outcome
    touched: Touched
    replaced: bool = False


class CatalogState:
    """``autopilot`` is None until it is first written. ``applied_index``, ``applied_term`` and
    ``time_ns`` are of the last entry; ``time_ns`` is the only clock."""

    def __init__(self) -> None:
        self.store = Store()
        self.results = Results()
        self.topics = TopicIndexes(self._lives)
        self.autopilot: AutopilotConfiguration | None = None
        self.staging: Staging | None = None
        self.applied_index = 0
        self.applied_term = 0
        self.time_ns = 0

    def apply(self, index: int, term: int, time_ns: int, command: Command, request_id: bytes = b"") -> Applied:
        """Does the command of that log entry; a request ID seen before gets its first result and does nothing."""
        self.skip(index, term, time_ns)
        outcome = self.results.get(request_id) if request_id else None
        if outcome is not None:
            return Applied(outcome, NOTHING_TOUCHED)
        if isinstance(command, RestorePart):
            return self._restore(command, request_id)
        try:
            self._do(command)
        except RostraError as error:
            self.store.rollback()
            outcome, touched = Outcome(index, error), NOTHING_TOUCHED
        else:
            outcome, touched = Outcome(index), self.store.commit()
            if touched:
                self.topics.changed(index, touched)
        self.results.remember(request_id, outcome)
        return Applied(outcome, touched)

    def refuse(self, index: int, term: int, time_ns: int, error: RostraError, request_id: bytes = b"") -> Applied:
        """Notes that the command of that log entry cannot be done."""
        self.skip(index, term, time_ns)
        outcome = self.results.get(request_id) or Outcome(index, error)
        self.results.remember(request_id, outcome)
        return Applied(outcome, NOTHING_TOUCHED)

    def skip(self, index: int, term: int, time_ns: int) -> None:
        """Passes over an entry that is not for the catalog."""
        assert index == self.applied_index + 1, f"entry {index} after {self.applied_index}"
        self.applied_index, self.applied_term, self.time_ns = index, term, max(time_ns, self.time_ns)
        if self.staging is not None and self.staging.is_over(self.time_ns):
            self.staging = None

    def _lives(self, topic: Topic) -> bool:
        if is_list(topic):
            return True
        return topic.name in self.store.nodes if topic.kind is TopicKind.NODE else self.store.has_instances(topic.name)

    def _restore(self, part: RestorePart, request_id: bytes) -> Applied:
        """Gathers the piece; the last one puts what was gathered in the place of everything, and everything has changed."""
        index = self.applied_index
        if part.number == 0:
            self.staging = Staging(part.restore_id, index)
        outcome, replaced = Outcome(index), False
        try:
            if self.staging is None:
                raise Conflict("the restore was given up: it took too long, or was refused before")
            self.staging.add(part, index, self.time_ns, self.store)
            if part.last:
                self.store = self.staging.finish(index, self.store)
                if self.staging.autopilot is not None:
                    self._set_autopilot(self.staging.autopilot)
                self.topics = TopicIndexes(self._lives)
                self.topics.load(index, ())
                self.staging, replaced = None, True
        except RostraError as error:
            outcome = Outcome(index, error)
            if self.staging is not None and self.staging.restore_id == part.restore_id:
                self.staging = None
        self.results.remember(request_id, outcome)
        return Applied(outcome, NOTHING_TOUCHED, replaced)

    # --- commands ---

    def _do(self, command: Command) -> None:
        match command:
            case Registration():
                self._register(command)
            case Deregistration():
                self._deregister(command)
            case CommandGroup():
                for part in command.commands:
                    self._do(part)
            case AutopilotChange():
                self._change_autopilot(command)
            case RestorePart():
                raise BadRequest("a restore is no part of a group", field="command.group")

    def _register(self, registration: Registration) -> None:
        _require_name(registration.node.name, "Must provide node", "Node")
        key = fold(registration.node.name)
        if not (registration.skip_node_update and key in self.store.nodes):
            self._register_node(registration.node)
        if registration.service is not None:
            self._register_service(key, registration.service)
        for check in registration.checks:
            self._register_check(key, registration.node.name, check)

    def _register_node(self, node: Node) -> None:
        """Finds the node by ID, then by name. A name that a living node holds under another ID is not given away."""
        key = fold(node.name)
        holder = self.store.nodes.get(key)
        known = self.store.node_with_id(node.id) if node.id else None
        if known is not None and known.name != node.name:
            self._refuse_if_reserved(node, holder, f'"{node.id}" ({node.address})')
            self._remove_node(fold(known.name))
            holder = self.store.nodes.get(key)
        elif known is None and node.id:
            self._refuse_if_reserved(node, holder, f'"{node.id}"')
        old = known or holder
        created = old.create_index if old is not None else self.applied_index
        if holder is None or not _same(holder, node) or holder.create_index != created:
            self.store.set_node(key, replace(node, create_index=created, modify_index=self.applied_index))

    def _refuse_if_reserved(self, node: Node, holder: Node | None, who: str) -> None:
        if holder is None or not holder.id or fold(holder.id) == fold(node.id) or not self._is_alive(fold(holder.name)):
            return
        raise Conflict(
            f"failed inserting node: Error while renaming Node ID: {who}: Node name {node.name} is reserved by node "
            f"{holder.id} with name {holder.name} ({holder.address})"
        )

    def _is_alive(self, node: str) -> bool:
        """As gossip last said: only members have the check, so nobody is turned away for an external node."""
        check = self.store.checks.get((node, fold(SERF_HEALTH)))
        return check is not None and check.status is not HealthStatus.CRITICAL

    def _register_service(self, node: str, service: Service) -> None:
        _require_name(service.name, "Must provide service name with ID", "Service.Service")
        _require_name(service.id, "Must provide service ID", "Service.ID")
        key = (node, fold(service.id))
        if not _is_sensible(service.weights):
            service = replace(service, weights=Weights())
        old = self.store.services.get(key)
        if old is None or not _same(old, service):
            created = self.applied_index if old is None else old.create_index
            self.store.set_service(key, replace(service, create_index=created, modify_index=self.applied_index))

    def _register_check(self, node: str, name: str, check: Check) -> None:
        if check.node and check.node != name:
            raise BadRequest(f'check node "{check.node}" does not match node "{name}"', field="Check.Node")
        check_id = check.check_id or check.name
        _require_name(check_id, "Must provide a check ID or a name", "Check.CheckID")
        if check.service_id:
            service = self.store.services.get((node, fold(check.service_id)))
            if service is None:
                raise BadRequest(f'failed inserting check: Missing service registration on node "{name}"', field="Check.ServiceID")
            service_name, service_tags = service.name, service.tags
        else:
            service_name, service_tags = "", ()
        check = replace(
            check,
            node=name,
            check_id=check_id,
            service_name=service_name,
            service_tags=service_tags,
            type=check.type or check_type(check.definition),
        )
        key = (node, fold(check_id))
        old = self.store.checks.get(key)
        if old is None or not _same(old, check):
            created = self.applied_index if old is None else old.create_index
            self.store.set_check(key, replace(check, create_index=created, modify_index=self.applied_index))

    def _deregister(self, removal: Deregistration) -> None:
        """A service before a check before the node, as Consul takes a request that names more than one."""
        _require_name(removal.node, "Must provide node", "Node")
        node = fold(removal.node)
        if removal.service_id:
            key = (node, fold(removal.service_id))
            if key in self.store.services:
                self._remove_checks(node, self.store.checks_of(*key))
                self.store.set_service(key, None)
        elif removal.check_id:
            key = (node, fold(removal.check_id))
            if key in self.store.checks:
                self.store.set_check(key, None)
        elif node in self.store.nodes:
            self._remove_node(node)

    def _change_autopilot(self, change: AutopilotChange) -> None:
        """Nothing can fail after it, so it needs no undoing."""
        old = self.autopilot
        if change.only_at_index is not None and change.only_at_index != (old.modify_index if old is not None else 0):
            raise Conflict("the autopilot configuration was written meanwhile")
        self._set_autopilot(change.configuration)

    def _set_autopilot(self, configuration: AutopilotConfiguration) -> None:
        created = self.applied_index if self.autopilot is None else self.autopilot.create_index
        self.autopilot = dataclasses.replace(configuration, create_index=created, modify_index=self.applied_index)

    def _remove_node(self, node: str) -> None:
        self._remove_checks(node, self.store.checks_on(node))
        for service in self.store.services_on(node):
            self.store.set_service((node, fold(service.id)), None)
        self.store.set_node(node, None)

    def _remove_checks(self, node: str, checks: Sequence[Check]) -> None:
        for check in checks:
            self.store.set_check((node, fold(check.check_id)), None)


def check_type(definition: CheckDefinition) -> str:
    """The kind of check that a complete definition describes; empty where none does."""
    if definition.ttl_s:
        return "ttl"
    if not definition.interval_s:
        return ""
    kinds = ("http", "grpc", "h2ping", "tcp", "udp", "docker_container_id", "args", "alias_service", "alias_node", "os_service")
    for kind in kinds:
        if getattr(definition, kind):
            return {"docker_container_id": "docker", "args": "script", "alias_service": "alias", "alias_node": "alias"}.get(kind, kind)
    return ""


def _same(old: Node | Service | Check, new: Node | Service | Check) -> bool:
    """Whether nothing changed but perhaps the indexes."""
    return replace(new, create_index=old.create_index, modify_index=old.modify_index) == old


def _is_sensible(weights: Weights) -> bool:
    """Others are taken for the default ones."""
    return 1 <= weights.passing <= MAX_WEIGHT and 0 <= weights.warning <= MAX_WEIGHT


def _require_name(name: str, message: str, field: str) -> None:
    """A name is part of the keys that entries have, whose parts are joined by a NUL character."""
    if not name:
        raise BadRequest(message, field=field)
    if SEPARATOR in name:
        raise BadRequest(f"{field} contains a NUL character", field=field)
