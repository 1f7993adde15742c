"""What an operator reads of a pool: one line for each thing the pool decided."""

from __future__ import annotations

import logging
from typing import Final

from rostra.gossip.core import CoreEvent, ExchangeDone, ExchangeKind
from rostra.gossip.departure import LeaveProgress
from rostra.gossip.membership import NameClaimed, NodeSuspected, Refuted
from rostra.gossip.serf import KeysChanged, NameLost
from rostra.gossip.wire.serf_messages import UserEvent
from rostra.model.members import MemberChange, MemberChangeKind
from rostra.model.servers import is_server

_log = logging.getLogger("rostra.gossip")

_CHANGES: Final = {
    MemberChangeKind.JOINED: "member joined",
    MemberChangeKind.UPDATED: "member updated",
    MemberChangeKind.LEAVING: "member is leaving",
    MemberChangeKind.LEFT: "member left",
    MemberChangeKind.FAILED: "member failed",
    MemberChangeKind.RETURNED: "member returned",
    MemberChangeKind.REAPED: "member reaped",
}


def log_event(pool: str, own_name: str, event: CoreEvent) -> None:
    match event:
        case MemberChange(kind=kind, member=member):
            level = logging.WARNING if kind is MemberChangeKind.FAILED else logging.INFO
            address = f"{member.address}:{member.port}"
            _log.log(level, _CHANGES[kind], extra={"pool": pool, "member": member.name, "address": address})
            if kind in (MemberChangeKind.JOINED, MemberChangeKind.RETURNED) and is_server(member.tags, member.tags.get("dc", "")):
                where = {"server": member.name, "address": f"{member.address}:{member.tags['port']}", "datacenter": member.tags["dc"]}
                _log.info("adding %s server", pool.upper(), extra=where)
        case LeaveProgress(step=step):
            _log.info("leaving: %s", step.value, extra={"pool": pool, "member": own_name})
        case NodeSuspected(node=node, accuser=accuser):
            _log.info("member suspected", extra={"pool": pool, "member": node.name, "accuser": accuser})
        case Refuted(incarnation=incarnation):
            _log.info("refuted a suspicion of us", extra={"pool": pool, "incarnation": incarnation})
        case NameClaimed(node=node, address=address):
            _log.warning(
                "two processes use one name", extra={"pool": pool, "member": node.name, "address": str(node.address), "other": str(address)}
            )
        case ExchangeDone(kind=exchange, address=address, error=error) if error and exchange is not ExchangeKind.PING:
            _log.info("exchange failed", extra={"pool": pool, "kind": exchange.value, "address": str(address), "error": error})
        case KeysChanged(keys=keys):
            _log.info("keyring changed", extra={"pool": pool, "keys": len(keys)})
        case NameLost(votes=votes, responses=responses):
            _log.error("the pool knows another process by our name", extra={"pool": pool, "votes": votes, "responses": responses})
        case UserEvent(name=name, ltime=ltime):
            _log.debug("user event", extra={"pool": pool, "event": name, "ltime": ltime})
        case _:
            pass
