"""Two living processes with one node ID: a machine image that was cloned with its data folder, and runs under another name.

In the catalog an ID names the node: who registers it under another name is that node renamed, and what was on it goes. Of two that live and
both say who they are, each would do that to the other for ever. So the ID stays with the node that has it for as long as that one is alive,
and the other is refused. The refusal comes before the log: what is in it is applied as it ever was, by every version alike. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from rostra.catalog.store import Store, fold
from rostra.errors import Conflict
from rostra.model.catalog import SERF_HEALTH, Command, CommandGroup, HealthStatus, Node, Registration
from rostra.model.members import Member, MemberStatus


def refuse_twins(command: Command, store: Store, members: Mapping[str, Member]) -> None:
    """Raises ``Conflict`` for a registration that takes the ID of a living node. ``members``: the LAN's by name, as far as known."""
    match command:
        case CommandGroup():
            for part in command.commands:
                refuse_twins(part, store, members)
        case Registration(node=node) if node.id and not (command.skip_node_update and fold(node.name) in store.nodes):
            holder = store.node_with_id(node.id)
            if (
                holder is not None
                and fold(holder.name) != fold(node.name)
                and _is_alive(store, holder)
                and not _moved(holder, node, members)
            ):
                raise Conflict(
                    f'node ID "{node.id}" is that of node {holder.name} ({holder.address}), which is alive: one of the two runs on a copy '
                    "of the other's data folder"
                )


def _is_alive(store: Store, node: Node) -> bool:
    """As gossip last said; nobody says it of a node that is no member."""
    check = store.checks.get((fold(node.name), fold(SERF_HEALTH)))
    return check is not None and check.status is not HealthStatus.CRITICAL


def _moved(holder: Node, node: Node, members: Mapping[str, Member]) -> bool:
    """Whether it is the same agent under another name, started anew before the pool has missed the former one: it is in the same place."""
    if holder.address != node.address:
        return False
    former, now = members.get(holder.name), members.get(node.name)
    return former is None or now is None or former.status is not MemberStatus.ALIVE or former.port == now.port
