"""What this node offers and how it fares: the authority for its own entries in the catalog.

Pure: times are seconds of one monotonic clock, passed as ``now``. Every method either does all that it says or raises and changes
nothing. What changed is collected in ``take_changes`` for whoever pushes it to the catalog (``anti_entropy``) and runs the checks
(``runs``). Two kinds of truth are told apart: what was *registered*, which is kept on disk, and how it fares, which is not.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from rostra.errors import BadRequest, NotFound
from rostra.local.checks.alias import alias_outcome
from rostra.local.held import HeldCheck, HeldService, after_run, fares
from rostra.local.rules import check_size, name_checks, validated, with_tagged_addresses
from rostra.model.catalog import Check, HealthStatus, Node, Service
from rostra.model.rules import check_what_is_on
from rostra.model.topics import SEPARATOR, node_check_key, node_service_key

NODE_MAINTENANCE: Final = "_node_maintenance"
SERVICE_MAINTENANCE: Final = "_service_maintenance:"


def maintenance_check_id(service_id: str) -> str:
    """ID of the check that is there while the node (empty ``service_id``) or a service is in maintenance."""
    return SERVICE_MAINTENANCE + service_id if service_id else NODE_MAINTENANCE


MAINTENANCE: Final = "maintenance"
MAX_OUTPUT_BYTES: Final = 64 * 1024
"""Of a check's output, whatever is asked for: what does not fit into a message is never told, and with it that the check has failed."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """What the configuration files define: services with their checks, and checks."""

    services: Sequence[tuple[Service, Sequence[Check]]] = ()
    checks: Sequence[Check] = ()


class LocalState:
    """Services and checks of the node ``node``; ``own`` are services that nobody registers or removes (``consul`` on a server)."""

    def __init__(self, node: Node, *, own: Sequence[Service] = (), output_max_size: int = 4096, discard_output: bool = False) -> None:
        self.node = node
        self.discard_output = discard_output
        self._own = {service.id: service for service in own}
        self._services: dict[str, HeldService] = {}
        self._checks: dict[str, HeldCheck] = {}
        self._of_service: dict[str, tuple[str, ...]] = {}
        self._aliases: dict[str, None] = {}
        self._timed: dict[str, None] = {}
        self._no_ttl_before = math.inf
        self._defined_services: frozenset[str] = frozenset()
        self._defined_checks: frozenset[str] = frozenset()
        self._output_max_size = output_max_size
        self._changes: set[str] = set()

    def copy(self) -> LocalState:
        """One that can be changed without this one noticing."""
        other = copy.copy(self)
        other._services = dict(self._services)
        other._checks = dict(self._checks)
        other._of_service = dict(self._of_service)
        other._aliases = dict(self._aliases)
        other._timed = dict(self._timed)
        other._changes = set()
        return other

    # What is here

    def services(self) -> Mapping[str, Service]:
        """By ID in order, without the node's own."""
        return {service_id: held.service for service_id, held in sorted(self._services.items())}

    def own_services(self) -> Mapping[str, Service]:
        """By ID, those that nobody registers."""
        return self._own

    def service(self, service_id: str) -> Service | None:
        """One of either kind."""
        held = self._services.get(service_id)
        return held.service if held is not None else self._own.get(service_id)

    def checks(self) -> Mapping[str, Check]:
        """By ID in order."""
        return {check_id: held.check for check_id, held in sorted(self._checks.items())}

    def check(self, check_id: str) -> Check | None:
        held = self._checks.get(check_id)
        return held.check if held is not None else None

    def count(self) -> tuple[int, int]:
        """How many services and checks."""
        return len(self._services), len(self._checks)

    def checks_of(self, service_id: str) -> list[Check]:
        """The service's, or the node's where it is empty."""
        return [self._checks[check_id].check for check_id in self._of_service.get(service_id, ())]

    def checks_concerning(self, service_ids: Iterable[str]) -> list[Check]:
        """Those of these services, or the node's where one is empty, by ID in order."""
        found = [check for service_id in set(service_ids) for check in self.checks_of(service_id)]
        return sorted(found, key=lambda check: check.check_id)

    def registered(self) -> dict[str, Service | Check]:
        """By key, what must be there again after a restart: all but what configuration files define."""
        kept: dict[str, Service | Check] = {
            node_service_key(service_id): held.registered
            for service_id, held in self._services.items()
            if service_id not in self._defined_services
        }
        kept |= {
            node_check_key(check_id): held.registered for check_id, held in self._checks.items() if check_id not in self._defined_checks
        }
        return kept

    def registration(self, key: str) -> Service | Check | None:
        """One of ``registered``."""
        kind, _, name = key.partition(SEPARATOR)
        if kind == "service":
            service = self._services.get(name)
            return service.registered if service is not None and name not in self._defined_services else None
        check = self._checks.get(name)
        return check.registered if check is not None and name not in self._defined_checks else None

    def ttl_left(self, check_id: str, now: float) -> float | None:
        """Seconds for which the last heartbeat of a TTL check still counts."""
        held = self._checks.get(check_id)
        return held.ttl_deadline - now if held is not None and held.ttl_deadline is not None else None

    @property
    def deadline(self) -> float | None:
        """No TTL ends before. It may be early: asked after every heartbeat, it must not look at all checks."""
        return self._no_ttl_before if self._no_ttl_before < math.inf else None

    def take_changes(self) -> set[str]:
        """Keys (``node_service_key``, ``node_check_key``) of what was added, changed or removed since the last call."""
        changes, self._changes = self._changes, set()
        return changes

    # Registration

    def register_service(self, service: Service, checks: Sequence[Check] = (), *, replace_checks: bool = False, now: float) -> None:
        """Adds or replaces a service with its checks; ``replace_checks`` removes those it had and that are not given now."""
        if not service.name:
            raise BadRequest("Missing service name", field="Name")
        if service.id in self._own:
            raise BadRequest(f"service ID {service.id!r} belongs to the agent itself", field="ID")
        named = [validated(check) for check in name_checks(service, checks)]
        service = with_tagged_addresses(service)
        check_what_is_on(self.node.name, service, named)
        check_size(service, named, MAX_OUTPUT_BYTES)
        if replace_checks:
            kept = {check.check_id for check in named}
            for check_id in self._of_service.get(service.id, ()):
                if check_id not in kept:
                    self._drop_check(check_id)
        self._services[service.id] = HeldService(service, service)
        self._changes.add(node_service_key(service.id))
        for check_id in self._of_service.get(service.id, ()):
            self._amend(check_id, service_name=service.name, service_tags=service.tags)
        for check in named:
            self._hold(check, now)
        self._follow_aliases(now)

    def deregister_service(self, service_id: str, now: float) -> None:
        """Removes it with its checks. Raises ``NotFound``."""
        if service_id not in self._services:
            raise NotFound(f'Unknown service ID "{service_id}"')
        self._drop_service(service_id)
        self._follow_aliases(now)

    def register_check(self, check: Check, now: float) -> None:
        """Adds or replaces a check of the node, or of one of its services."""
        check = validated(replace(check, check_id=check.check_id or check.name))
        if not check.name:
            raise BadRequest("Missing check name", field="Name")
        check_what_is_on(self.node.name, None, [check])
        check_size(None, [check], MAX_OUTPUT_BYTES)
        if check.service_id and check.service_id not in self._services:
            raise BadRequest(f'ServiceID "{check.service_id}" does not exist', field="ServiceID")
        self._hold(check, now)
        self._follow_aliases(now)

    def deregister_check(self, check_id: str, now: float) -> None:
        """Raises ``NotFound``."""
        if check_id not in self._checks:
            raise NotFound(f'Unknown check ID "{check_id}"')
        self._drop_check(check_id)
        self._follow_aliases(now)

    def set_maintenance(self, service_id: str, *, enable: bool, reason: str, now: float) -> None:
        """Puts the node (empty ``service_id``) or a service into maintenance, which is a critical check, or back."""
        if service_id and service_id not in self._services:
            raise NotFound(f'Unknown service ID "{service_id}"')
        check_id = maintenance_check_id(service_id)
        if enable:
            what = "service" if service_id else "node"
            default = f"Maintenance mode is enabled for this {what}, but no reason was provided. This is a default message."
            name = f"{what.capitalize()} Maintenance Mode"
            check = Check("", check_id, name, notes=reason or default, service_id=service_id, type=MAINTENANCE)
            check_what_is_on(self.node.name, None, [check])
            self._hold(check, now)
        elif check_id in self._checks:
            self._drop_check(check_id)
        self._follow_aliases(now)

    def define(self, definitions: Definitions, now: float) -> None:
        """Takes over what the configuration files define, and drops what they defined before and do not any more. A definition has
        the last word over a registration under the same ID; what is there already keeps its state."""
        other = self.copy()
        other._define(definitions, now)
        other._changes |= self._changes
        vars(self).update(vars(other))

    def restore(self, services: Iterable[Service], checks: Iterable[Check], now: float) -> list[BadRequest]:
        """Takes back what was registered before the restart, as far as no file defines it. Checks are critical until they have run.
        Returns why something is left out: an earlier version took what this one does not."""
        refused = []
        for service in services:
            if service.id not in self._defined_services and service.id not in self._own:
                try:
                    self.register_service(service, now=now)
                except BadRequest as error:
                    refused.append(error)
        for check in checks:
            if check.check_id not in self._defined_checks and (not check.service_id or check.service_id in self._services):
                check = replace(check, status=HealthStatus.CRITICAL, output="")
                try:
                    check_what_is_on(self.node.name, None, [check])
                    self._hold(check if check.type == MAINTENANCE else validated(check), now)
                except BadRequest as error:
                    refused.append(error)
        self._follow_aliases(now)
        return refused

    # How it fares

    def update_ttl(self, check_id: str, status: HealthStatus, output: str, now: float) -> None:
        """A heartbeat. Raises ``NotFound`` for a check that does not exist or has no TTL."""
        held = self._checks.get(check_id)
        if held is None or not held.check.definition.ttl_s:
            raise NotFound(f'CheckID "{check_id}" does not have associated TTL')
        limit, size = self.output_max_size(held.check), len(output.encode())
        if size > limit:
            output = f"{output.encode()[:limit].decode(errors='ignore')} ... (captured {limit} of {size} bytes)"
        self._live_until(check_id, now + held.check.definition.ttl_s)
        self._set(check_id, status, output, now)
        self._follow_aliases(now)

    def restore_ttl(self, check_id: str, status: HealthStatus, output: str, left_s: float, now: float) -> None:
        """What a TTL check was told before the restart, for the time that is left of it."""
        held = self._checks.get(check_id)
        if held is not None and held.check.definition.ttl_s:
            self._live_until(check_id, now + min(left_s, held.check.definition.ttl_s))
            self._set(check_id, status, output, now)
            self._follow_aliases(now)

    def observe(self, check_id: str, status: HealthStatus, output: str, now: float) -> None:
        """The result of one run; the check follows once its thresholds are met. A check that is gone by now is left alone."""
        held = self._checks.get(check_id)
        if held is None:
            return
        self._checks[check_id], counts = after_run(held, status)
        if counts is not None:
            self._set(check_id, counts, output, now)
            self._follow_aliases(now)

    def follow(self, check_id: str, status: HealthStatus, output: str, now: float) -> None:
        """What an alias of something on another node has become."""
        if check_id in self._checks:
            self._set(check_id, status, output, now)
            self._follow_aliases(now)

    def override_tags(self, service_id: str, tags: tuple[str, ...]) -> None:
        """Takes the tags that others gave a service that allows it (``enable_tag_override``)."""
        held = self._services.get(service_id)
        if held is not None and held.service.enable_tag_override and held.service.tags != tags:
            self._services[service_id] = replace(held, service=replace(held.service, tags=tags))
            for check_id in self._of_service.get(service_id, ()):
                self._amend(check_id, service_tags=tags)

    def tick(self, now: float) -> None:
        """TTL checks that were not updated in time turn critical."""
        for check_id in self._timed:
            held = self._checks[check_id]
            if held.ttl_deadline is not None and held.ttl_deadline <= now:
                self._checks[check_id] = replace(held, ttl_deadline=None)
                last = f" (last output before timeout follows): {held.check.output}" if held.check.output else ""
                self._set(check_id, HealthStatus.CRITICAL, f"TTL expired{last}", now)
        deadlines = (self._checks[check_id].ttl_deadline for check_id in self._timed)
        self._no_ttl_before = min((deadline for deadline in deadlines if deadline is not None), default=math.inf)
        self._follow_aliases(now)

    def overdue(self, now: float) -> list[str]:
        """IDs of services to deregister: a check of theirs has been critical for longer than it may."""
        found = {
            held.check.service_id: None
            for held in self._checks.values()
            if held.check.service_id
            and held.critical_since is not None
            and 0 < held.check.definition.deregister_critical_service_after_s < now - held.critical_since
        }
        return list(found)

    def output_max_size(self, check: Check) -> int:
        """Bytes of output that are kept: the check may have less than the agent, as in Consul."""
        own = check.definition.output_max_size
        return min(own or MAX_OUTPUT_BYTES, self._output_max_size, MAX_OUTPUT_BYTES)

    # Within

    def _define(self, definitions: Definitions, now: float) -> None:
        services = {service.id: (service, name_checks(service, checks)) for service, checks in definitions.services}
        checks = [replace(check, check_id=check.check_id or check.name) for check in definitions.checks]
        check_ids = {check.check_id for check in checks} | {check.check_id for _, named in services.values() for check in named}
        for check_id in self._defined_checks - check_ids:
            if check_id in self._checks:
                self._drop_check(check_id)
        for service_id in self._defined_services - services.keys():
            if service_id in self._services:
                self._drop_service(service_id)
        for service, named in services.values():
            self.register_service(service, named, now=now)
        for check in checks:
            self.register_check(check, now)
        self._defined_services, self._defined_checks = frozenset(services), frozenset(check_ids)

    def _hold(self, check: Check, now: float) -> None:
        """Puts it in place. A check that was there keeps its state, so that registering again makes nothing flap."""
        before = self._checks.get(check.check_id)
        if before is not None:
            self._drop_check(check.check_id)
        service = self._services.get(check.service_id)
        placed = replace(check, node=self.node.name, output="")
        if service is not None:
            placed = replace(placed, service_name=service.service.name, service_tags=service.service.tags)
        if before is not None:
            placed = replace(placed, status=before.check.status, output=before.check.output)
        ttl_s = check.definition.ttl_s
        self._checks[check.check_id] = HeldCheck(placed, check, critical_since=before.critical_since if before is not None else None)
        if ttl_s:
            self._timed[check.check_id] = None
            self._live_until(check.check_id, now + ttl_s)
        self._of_service[check.service_id] = (*self._of_service.get(check.service_id, ()), check.check_id)
        if check.definition.alias_service or check.definition.alias_node:
            self._aliases[check.check_id] = None
        self._changes.add(node_check_key(check.check_id))

    def _drop_check(self, check_id: str) -> None:
        held = self._checks.pop(check_id)
        siblings = tuple(each for each in self._of_service.pop(held.check.service_id) if each != check_id)
        if siblings:
            self._of_service[held.check.service_id] = siblings
        self._aliases.pop(check_id, None)
        self._timed.pop(check_id, None)
        self._changes.add(node_check_key(check_id))

    def _drop_service(self, service_id: str) -> None:
        for check_id in self._of_service.get(service_id, ()):
            self._drop_check(check_id)
        del self._services[service_id]
        self._changes.add(node_service_key(service_id))

    def _amend(self, check_id: str, **fields: Any) -> None:
        held = self._checks[check_id]
        self._checks[check_id] = replace(held, check=replace(held.check, **fields))

    def _live_until(self, check_id: str, deadline: float) -> None:
        self._checks[check_id] = replace(self._checks[check_id], ttl_deadline=deadline)
        self._no_ttl_before = min(self._no_ttl_before, deadline)

    def _set(self, check_id: str, status: HealthStatus, output: str, now: float) -> bool:
        """Whether that is news."""
        held = self._checks[check_id]
        after = fares(held, status, "" if self.discard_output else output, now)
        self._checks[check_id] = after
        if after.check is held.check:
            return False
        self._changes.add(node_check_key(check_id))
        return True

    def _follow_aliases(self, now: float) -> None:
        """Aliases of what is on this node follow it at once, and so do aliases of aliases. The node's own aliases count for no other:
        two of them would hold each other critical for ever."""
        for _ in self._aliases:
            news = False
            for check_id in self._aliases:
                held = self._checks[check_id]
                target = held.check.definition
                if target.alias_node and target.alias_node.lower() != self.node.name.lower():
                    continue
                service_id = target.alias_service
                others = [check for check in self.checks_of("") if check.check_id not in self._aliases]
                if service_id:
                    others += [check for check in self.checks_of(service_id) if check.check_id != check_id]
                outcome = alias_outcome(self.node.name, service_id, exists=self.service(service_id) is not None, checks=others)
                output = outcome.output[: self.output_max_size(held.check)]
                news |= self._set(check_id, outcome.status, output, now)
            if not news:
                return
