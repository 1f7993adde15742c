"""What this node offers and how it fares: the authority for its own entries in the catalog.

Pure: times are seconds of one monotonic clock, passed as ``now``. The catalog is brought in line by comparing: ``plan``
returns the commands that make the node's entries there equal to what is here, so nothing is lost when one fails: it is in the
next plan again. Anti-entropy follows https://developer.hashicorp.com/consul/docs/architecture/anti-entropy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rostra.errors import BadRequest, NotFound, Unsupported
from rostra.model.catalog import (
    SERF_HEALTH,
    Check,
    CheckDefinition,
    Deregistration,
    HealthStatus,
    Node,
    Registration,
    Service,
)
from rostra.model.topics import Value

NODE_MAINTENANCE: Final = "_node_maintenance"
SERVICE_MAINTENANCE: Final = "_service_maintenance:"
RUN_KINDS: Final = frozenset({"ttl_s"})
"""Kinds of checks that this version runs."""

KINDS: Final = ("http", "tcp", "udp", "grpc", "h2ping", "ttl_s", "args", "alias_node", "alias_service", "os_service")


@dataclass(frozen=True, slots=True)
class Step:
    """One command that brings the catalog closer, and what it is about, in an operator's words."""

    command: Registration | Deregistration
    action: str


@dataclass(slots=True)
class _Held:
    """A check and what the catalog does not know of it."""

    check: Check
    ttl_deadline: float | None = None
    successes: int = 0
    failures: int = 0
    output_due: float | None = None


class LocalState:
    """Services and checks of the node ``node``; ``own`` are services that nobody registers or removes (``consul`` on a server)."""

    def __init__(
        self,
        node: Node,
        *,
        own: Sequence[Service] = (),
        check_update_interval_s: float = 300.0,
        output_max_size: int = 4096,
        discard_output: bool = False,
    ) -> None:
        self.node = node
        self._own = {service.id: service for service in own}
        self._services: dict[str, Service] = {}
        self._checks: dict[str, _Held] = {}
        self._check_update_interval_s = check_update_interval_s
        self._output_max_size = output_max_size
        self._discard_output = discard_output

    @property
    def deadline(self) -> float | None:
        """When ``tick`` has something to do, or a held-back output is to be pushed."""
        times = [held.ttl_deadline for held in self._checks.values()] + [held.output_due for held in self._checks.values()]
        return min((time for time in times if time is not None), default=None)

    def services(self) -> Mapping[str, Service]:
        """By ID, without the node's own."""
        return dict(sorted(self._services.items()))

    def own_services(self) -> Mapping[str, Service]:
        """By ID, those that nobody registers."""
        return self._own

    def checks(self) -> Mapping[str, Check]:
        """By ID."""
        return {check_id: held.check for check_id, held in sorted(self._checks.items())}

    def register_service(self, service: Service, checks: Sequence[Check] = (), *, replace_checks: bool = False, now: float) -> None:
        """Adds or replaces a service with its checks; ``replace_checks`` removes those it had and that are not given now."""
        if not service.name:
            raise BadRequest("Missing service name", field="Name")
        if service.id in self._own:
            raise BadRequest(f"service ID {service.id!r} belongs to the agent itself", field="ID")
        named = name_checks(service.id, checks)
        for check in named:
            validate(check)
        if replace_checks:
            kept = {check.check_id for check in named}
            for check_id in [held.check.check_id for held in self._of_service(service.id) if held.check.check_id not in kept]:
                del self._checks[check_id]
        self._services[service.id] = service
        for check in named:
            self._hold(check, now)
        for held in self._of_service(service.id):
            held.check = replace(held.check, service_name=service.name, service_tags=service.tags)

    def deregister_service(self, service_id: str) -> None:
        """Removes it with its checks. Raises ``NotFound``."""
        if service_id not in self._services:
            raise NotFound(f'Unknown service ID "{service_id}"')
        del self._services[service_id]
        for check_id in [held.check.check_id for held in self._of_service(service_id)]:
            del self._checks[check_id]

    def register_check(self, check: Check, now: float) -> None:
        """Adds or replaces a check of the node, or of one of its services."""
        check = replace(check, check_id=check.check_id or check.name)
        if not check.name:
            raise BadRequest("Missing check name", field="Name")
        if check.service_id and check.service_id not in self._services:
            raise BadRequest(f'ServiceID "{check.service_id}" does not exist', field="ServiceID")
        validate(check)
        self._hold(check, now)

    def deregister_check(self, check_id: str) -> None:
        """Raises ``NotFound``."""
        if self._checks.pop(check_id, None) is None:
            raise NotFound(f'Unknown check ID "{check_id}"')

    def update_ttl(self, check_id: str, status: HealthStatus, output: str, now: float) -> None:
        """A heartbeat. Raises ``NotFound`` for a check that does not exist or has no TTL."""
        held = self._checks.get(check_id)
        if held is None or held.ttl_deadline is None:
            raise NotFound(f'CheckID "{check_id}" does not have associated TTL')
        held.ttl_deadline = now + held.check.definition.ttl_s
        self._set(held, status, output, now)

    def observe(self, check_id: str, status: HealthStatus, output: str, now: float) -> None:
        """The result of one run; the check follows once its thresholds are met. A check that is gone by now is left alone."""
        held = self._checks.get(check_id)
        if held is None:
            return
        definition = held.check.definition
        if status is HealthStatus.PASSING:
            held.successes, held.failures = held.successes + 1, 0
            if held.successes < definition.success_before_passing and held.check.status is not HealthStatus.PASSING:
                return
        else:
            held.successes, held.failures = 0, held.failures + 1
            critical = definition.failures_before_critical
            if held.failures < critical:
                warns = definition.failures_before_warning or critical
                if held.failures < warns:
                    return
                status = HealthStatus.WARNING
        self._set(held, status, output, now)

    def set_maintenance(self, service_id: str, *, enable: bool, reason: str, now: float) -> None:
        """Puts the node (empty ``service_id``) or a service into maintenance, which is a critical check, or back."""
        if service_id and service_id not in self._services:
            raise NotFound(f'Unknown service ID "{service_id}"')
        check_id = SERVICE_MAINTENANCE + service_id if service_id else NODE_MAINTENANCE
        if not enable:
            self._checks.pop(check_id, None)
            return
        what = "service" if service_id else "node"
        default = f"Maintenance mode is enabled for this {what}, but no reason was provided. This is a default message."
        name = "Service Maintenance Mode" if service_id else "Node Maintenance Mode"
        self._hold(
            Check("", check_id, name, HealthStatus.CRITICAL, notes=reason or default, service_id=service_id, type="maintenance"), now
        )

    def tick(self, now: float) -> None:
        """TTL checks that were not updated in time turn critical."""
        for held in self._checks.values():
            if held.ttl_deadline is not None and held.ttl_deadline <= now:
                held.ttl_deadline = now + held.check.definition.ttl_s
                self._set(held, HealthStatus.CRITICAL, "TTL expired", now)

    def plan(self, there: Iterable[Value], now: float) -> list[Step]:
        """The steps that make ``there`` (the values of the topic ``node:NAME``) equal to what is here, registrations first."""
        values = list(there)
        node = next((value for value in values if isinstance(value, Node)), None)
        services = {value.id: value for value in values if isinstance(value, Service)}
        checks = {value.check_id: value for value in values if isinstance(value, Check)}
        steps = [] if node is not None and same_node(node, self.node) else [Step(Registration(self.node), "node info")]
        wanted = self._own | self._services
        steps += [
            Step(Registration(self.node, skip_node_update=True, service=service), f"service '{service_id}'")
            for service_id, service in wanted.items()
            if service_id not in services or not same_service(services[service_id], service)
        ]
        steps += [
            Step(Registration(self.node, skip_node_update=True, checks=(held.check,)), f"check '{check_id}'")
            for check_id, held in self._checks.items()
            if self._differs(held, checks.get(check_id), now)
        ]
        gone = [service_id for service_id in services if service_id not in wanted]
        steps += [Step(Deregistration(self.node.name, service_id=service_id), f"removal of service '{service_id}'") for service_id in gone]
        steps += [
            Step(Deregistration(self.node.name, check_id=check_id), f"removal of check '{check_id}'")
            for check_id, check in checks.items()
            if check_id not in self._checks and check_id != SERF_HEALTH and (not check.service_id or check.service_id not in gone)
        ]
        return steps

    def _differs(self, held: _Held, there: Check | None, now: float) -> bool:
        """Whether the check must be pushed now. A change of nothing but the output is held back for the update interval."""
        if there is None or not same_check(there, held.check):
            held.output_due = None
            return True
        if there.output == held.check.output:
            held.output_due = None
            return False
        if held.output_due is None:
            held.output_due = now + self._check_update_interval_s
            return self._check_update_interval_s <= 0
        if held.output_due <= now:
            held.output_due = None
            return True
        return False

    def _hold(self, check: Check, now: float) -> None:
        check = replace(check, node=self.node.name)
        service = self._services.get(check.service_id)
        if service is not None:
            check = replace(check, service_name=service.name, service_tags=service.tags)
        ttl = check.definition.ttl_s
        self._checks[check.check_id] = _Held(check, ttl_deadline=now + ttl if ttl else None)

    def _set(self, held: _Held, status: HealthStatus, output: str, now: float) -> None:
        limit = held.check.definition.output_max_size or self._output_max_size
        if self._discard_output:
            output = ""
        held.check = replace(held.check, status=status, output=output[:limit])

    def _of_service(self, service_id: str) -> list[_Held]:
        return [held for held in self._checks.values() if held.check.service_id == service_id]


def name_checks(service_id: str, checks: Sequence[Check]) -> list[Check]:
    """Gives a service's checks the IDs and names that Consul gives: ``service:ID``, or ``service:ID:1`` … when there are several."""
    named = []
    for number, check in enumerate(checks, start=1):
        default = f"service:{service_id}" if len(checks) == 1 else f"service:{service_id}:{number}"
        name = check.name or f"Service '{service_id}' check"
        named.append(replace(check, check_id=check.check_id or default, name=name, service_id=service_id))
    return named


def validate(check: Check) -> None:
    """Raises ``BadRequest`` unless the check is of exactly one kind and has the times that kind needs."""
    definition = check.definition
    kinds = [kind for kind in KINDS if getattr(definition, kind)]
    if not RUN_KINDS.issuperset(kinds):
        raise Unsupported(f"{type_of(definition)} checks are not run by this version; only ttl checks are")
    if {"alias_node", "alias_service"} >= set(kinds) and kinds:
        return
    if definition.ttl_s < 0 or definition.interval_s < 0 or definition.timeout_s < 0:
        raise BadRequest("a check's times are not negative", field="Interval")
    if kinds == ["ttl_s"]:
        if definition.interval_s:
            raise BadRequest("Interval and TTL cannot both be specified", field="TTL")
        return
    if len(kinds) != 1:
        found = ", ".join(kinds) or "none"
        raise BadRequest(f"a check is of exactly one kind (found: {found}); TTL must be > 0 for TTL checks", field="Check")
    if definition.interval_s <= 0:
        raise BadRequest("Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks", field="Interval")


def type_of(definition: CheckDefinition) -> str:
    """The check's type in Consul's words."""
    if definition.docker_container_id:
        return "docker"
    names = {"ttl_s": "ttl", "args": "script", "alias_node": "alias", "alias_service": "alias"}
    return next((names.get(kind, kind) for kind in KINDS if getattr(definition, kind)), "")


def same_node(there: Node, here: Node) -> bool:
    """Whether the catalog has what this node says of itself."""
    return _bare(there) == _bare(here)


def same_service(there: Service, here: Service) -> bool:
    """Likewise for a service; tags of one with ``enable_tag_override`` belong to whoever writes them in the catalog."""
    if here.enable_tag_override:
        here = replace(here, tags=there.tags)
    return replace(there, create_index=0, modify_index=0) == replace(here, create_index=0, modify_index=0)


def same_check(there: Check, here: Check) -> bool:
    """Likewise for a check, its output aside."""
    return replace(there, create_index=0, modify_index=0, output="") == replace(here, create_index=0, modify_index=0, output="")


def _bare(node: Node) -> Node:
    return replace(
        node, create_index=0, modify_index=0, tagged_addresses=dict(node.tagged_addresses), meta=dict(node.meta), name=node.name.lower()
    )
