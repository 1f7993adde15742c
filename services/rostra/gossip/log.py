"""What an operator reads of a pool: one line for each thing the pool decided, and never a flood of them."""

from __future__ import annotations

import logging
from typing import Final

from rostra.gossip.answering import KeysChanged
from rostra.gossip.departure import LeaveProgress
from rostra.gossip.effects import CoreEvent, ExchangeDone, ExchangeKind
from rostra.gossip.membership import NameClaimed, NodeSuspected, Refuted
from rostra.gossip.serf import NameLost
from rostra.gossip.wire.serf_messages import UserEvent
from rostra.model.members import Member, MemberChange, MemberChangeKind

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

_BURST_LINES: Final = 2000
_LINES_PER_S: Final = 50.0
"""Peers cause these lines, and a forger can cause many: beyond this they are counted, not written."""

_CONSUL_SERVER: Final = "consul"


class PoolLog:
    """The log of one pool. ``now`` is the time of the loop."""

    def __init__(self, pool: str, own_name: str) -> None:
        self._pool = pool
        self._own_name = own_name
        self._allowance = float(_BURST_LINES)
        self._asked_at = 0.0
        self._suppressed = 0
        self._warned_of_consul = False

    def write(self, event: CoreEvent, now: float) -> None:
        self._allowance = min(_BURST_LINES, self._allowance + (now - self._asked_at) * _LINES_PER_S)
        self._asked_at = now
        if self._allowance < 1:
            self._suppressed += 1
            return
        if self._suppressed:
            _log.warning("too much to log", extra={"pool": self._pool, "lines_left_out": self._suppressed})
            self._suppressed = 0
        self._allowance -= 1
        self._write(event)

    def _write(self, event: CoreEvent) -> None:
        pool = self._pool
        match event:
            case MemberChange(kind=kind, member=member):
                level = logging.WARNING if kind is MemberChangeKind.FAILED else logging.INFO
                _log.log(level, _CHANGES[kind], extra={"pool": pool, "member": member.name, "address": f"{member.address}:{member.port}"})
                self._warn_of_consul(member)
            case LeaveProgress(step=step):
                _log.debug("leaving: %s", step.value, extra={"pool": pool, "member": self._own_name})
            case NodeSuspected(node=node, accuser=accuser):
                _log.info("member suspected", extra={"pool": pool, "member": node.name, "accuser": accuser})
            case Refuted(incarnation=incarnation):
                _log.info("refuted what was said of us", extra={"pool": pool, "incarnation": incarnation})
            case NameClaimed(node=node, address=address):
                where = {"address": str(node.address), "other": str(address)}
                _log.warning("two processes use one name", extra={"pool": pool, "member": node.name, **where})
            case ExchangeDone(kind=exchange, address=address, error=error) if error and exchange is not ExchangeKind.PING:
                level = logging.DEBUG if exchange is ExchangeKind.JOIN else logging.INFO  # who asked to join is told, and says so
                _log.log(level, "exchange failed", extra={"pool": pool, "kind": exchange.value, "address": str(address), "error": error})
            case KeysChanged(keys=keys):
                _log.info("keyring changed", extra={"pool": pool, "keys": len(keys)})
            case NameLost(votes=votes, responses=responses):
                _log.error("the pool knows another process by our name", extra={"pool": pool, "votes": votes, "responses": responses})
            case UserEvent(name=name, ltime=ltime):
                _log.debug("user event", extra={"pool": pool, "event": name, "ltime": ltime})
            case _:
                pass

    def _warn_of_consul(self, member: Member) -> None:
        if self._warned_of_consul or member.tags.get("role") != _CONSUL_SERVER:
            return
        self._warned_of_consul = True
        _log.warning(
            "this pool has Consul servers: membership and events work with them; "
            "Consul clients cannot use our servers, nor our clients theirs, and neither replicates the other's catalog",
            extra={"pool": self._pool, "member": member.name},
        )
