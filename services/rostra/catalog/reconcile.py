"""What the leader's catalog owes the fleet: member list and catalog compared (docs/architecture.md, "A member fails").

Absence from the list is never evidence: a node goes only for a member that is recorded as left or reaped, and before gossip
has settled nothing goes at all. Pure: the comparison gives duties, and who does them is elsewhere.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from rostra.catalog.store import Store, fold
from rostra.model.catalog import CONSUL_SERVICE, SERF_HEALTH, Check, Deregistration, HealthStatus, Node, Registration, Service
from rostra.model.members import Member, MemberStatus
from rostra.model.servers import consul_service, is_ours, is_server, tagged_addresses

HEALTH_NAME: Final = "Serf Health Status"
ALIVE_OUTPUT: Final = "Agent alive and reachable"
FAILED_OUTPUT: Final = "Agent not live or unreachable"

ALWAYS_REMOVED: Final = 1
"""Removals at once that are never taken for a mistake: in a catalog of two nodes one is already half."""


class DutyKind(enum.Enum):
    """What a duty says of its member; the value is what the log says, in Consul's words."""

    ALIVE = "joined, marking health alive"
    FAILED = "failed, marking health critical"
    LEFT = "left, deregistering"
    REAPED = "reaped, deregistering"

    @property
    def removes(self) -> bool:
        return self in (DutyKind.LEFT, DutyKind.REAPED)


@dataclass(frozen=True, slots=True)
class Duty:
    """A command to propose, and why."""

    kind: DutyKind
    member: str
    command: Registration | Deregistration


def reconcile(
    store: Store,
    members: Iterable[Member],
    reaped: Mapping[str, Member],
    *,
    datacenter: str,
    own_name: str,
    settled: bool,
) -> Iterator[Duty]:
    """What is to be done for these members, and for those that were seen reaped; nothing for what is as it should be.

    ``own_name`` is the node that asks: it never removes itself, the next leader does.
    """
    for member in members:
        if not is_ours(member.tags, datacenter):
            continue
        match member.status:
            case MemberStatus.ALIVE:
                duty = _alive(store, member, datacenter)
            case MemberStatus.FAILED if settled:
                duty = _failed(store, member)
            case MemberStatus.LEFT if settled and member.name != own_name:
                duty = _gone(store, member, DutyKind.LEFT)
            case _:
                duty = None
        if duty is not None:
            yield duty
    for member in reaped.values():
        if settled and is_ours(member.tags, datacenter) and member.name != own_name:
            duty = _gone(store, member, DutyKind.REAPED)
            if duty is not None:
                yield duty


def too_many_removals(store: Store, duties: Iterable[Duty]) -> int:
    """How many nodes the duties would remove, if that is over a third of all that gossip drives; else 0."""
    removals = sum(duty.kind.removes for duty in duties)
    driven = sum(fold(SERF_HEALTH) == fold(check.check_id) for check in store.checks)
    return removals if removals > max(ALWAYS_REMOVED, driven // 3) else 0


def _alive(store: Store, member: Member, datacenter: str) -> Duty | None:
    old = store.nodes.get(fold(member.name))
    node = _node(old, member)
    service = consul_service(int(member.tags["port"])) if is_server(member.tags, datacenter) else None
    if (
        old is not None
        and (old.name, old.id, old.address) == (node.name, node.id, node.address)
        and _health(store, member.name) is HealthStatus.PASSING
        and (service is None or _has_service(store, member.name, service))
    ):
        return None
    check = _check(member.name, HealthStatus.PASSING, ALIVE_OUTPUT)
    return Duty(DutyKind.ALIVE, member.name, Registration(node, service=service, checks=(check,)))


def _node(old: Node | None, member: Member) -> Node:
    """The node as gossip knows it. What its agent has told of it (meta, further addresses) stays while it is the same one."""
    node = Node(member.name, member.address, member.tags.get("id", ""), tagged_addresses(member.address))
    if old is None or (old.id and fold(old.id) != fold(node.id)):
        return node
    if old.address == node.address:
        return replace(node, tagged_addresses=old.tagged_addresses, meta=old.meta)
    stays = {tag: address for tag, address in old.tagged_addresses.items() if not tag.startswith("lan")}
    return replace(node, tagged_addresses={**node.tagged_addresses, **stays}, meta=old.meta)


def _failed(store: Store, member: Member) -> Duty | None:
    """The node stays, with its services; only its health says so."""
    node = _known(store, member)
    if node is None or _health(store, member.name) is HealthStatus.CRITICAL:
        return None
    check = _check(node.name, HealthStatus.CRITICAL, FAILED_OUTPUT)
    return Duty(DutyKind.FAILED, member.name, Registration(node, skip_node_update=True, checks=(check,)))


def _gone(store: Store, member: Member, kind: DutyKind) -> Duty | None:
    """A node without ID and without health was never a member's: somebody has registered it under the name since."""
    node = _known(store, member)
    if node is None or (not node.id and _health(store, node.name) is None):
        return None
    return Duty(kind, member.name, Deregistration(node.name))


def _known(store: Store, member: Member) -> Node | None:
    """The member's node, unless another one has its name by now."""
    node = store.nodes.get(fold(member.name))
    if node is None or (node.id and fold(node.id) != fold(member.tags.get("id", ""))):
        return None
    return node


def _health(store: Store, name: str) -> HealthStatus | None:
    check = store.checks.get((fold(name), fold(SERF_HEALTH)))
    return None if check is None else check.status


def _check(node: str, status: HealthStatus, output: str) -> Check:
    return Check(node=node, check_id=SERF_HEALTH, name=HEALTH_NAME, status=status, output=output)


def _has_service(store: Store, name: str, wanted: Service) -> bool:
    """The agent may have added to it; name and port are what others find servers by."""
    service = store.services.get((fold(name), fold(CONSUL_SERVICE)))
    return service is not None and (service.name, service.port) == (wanted.name, wanted.port)
