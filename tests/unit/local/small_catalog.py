"""A catalog as small as it can be: this node's entries."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from rostra.local.anti_entropy import Step
from rostra.model.catalog import Check, Deregistration, Node, Registration, Service
from rostra.model.topics import Value


class SmallCatalog:
    """Takes commands as the real one does, deletions of what is not there included."""

    def __init__(self) -> None:
        self.node: Node | None = None
        self.services: dict[str, Service] = {}
        self.checks: dict[str, Check] = {}
        self.index = 10

    def values(self) -> list[Value]:
        return [value for value in (self.node, *self.services.values(), *self.checks.values()) if value is not None]

    def take(self, command: Registration | Deregistration) -> None:
        self.index += 1
        match command:
            case Registration(node=node, skip_node_update=skip, service=service, checks=checks):
                if not skip or self.node is None:
                    self.node = replace(node, create_index=self.index, modify_index=self.index)
                if service is not None:
                    self.services[service.id] = replace(service, create_index=self.index, modify_index=self.index)
                for check in checks:
                    self.checks[check.check_id] = replace(check, create_index=self.index, modify_index=self.index)
            case Deregistration(service_id=service_id) if service_id:
                self.services.pop(service_id, None)
                self.checks = {each: check for each, check in self.checks.items() if check.service_id != service_id}
            case Deregistration(check_id=check_id):
                self.checks.pop(check_id, None)

    def apply(self, steps: Sequence[Step]) -> list[str]:
        for step in steps:
            self.take(step.command)
        return [step.action for step in steps]
