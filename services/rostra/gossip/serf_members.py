"""Serf's view of the members: tags, and a status that tells a clean departure from a failure (gossip-wire section 12.3).

A member that leaves says so twice: by an intent, ordered by a Lamport clock, and by memberlist's dead-of-itself. The intent alone is
*leaving*; once the member is gone, either of them makes it *left*. Serf wants both, and shows a member as failed, for up to half a minute,
where the goodbye arrives before the intent; but nobody else says that a member is dead in its own name, and in memberlist's layer it has
left already. All transitions of a member's status are in this file.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

from rostra.config.durations import parse_duration
from rostra.gossip.address import Address
from rostra.gossip.lamport import LamportClock
from rostra.gossip.membership import Node, NodeState
from rostra.gossip.timing import Timing
from rostra.gossip.wire.serf_messages import JoinIntent, LeaveIntent, encode_status_ltime
from rostra.gossip.wire.tags import decode_tags
from rostra.model.members import Member, MemberChange, MemberChangeKind, MemberStatus

RECONNECT_TIMEOUT_TAG: Final = "rc_tm"
"""Consul's name for it; the value is a duration as Go writes it."""

_RECENT_INTENTS_MAX: Final = 16_384

_GONE: Final = (MemberStatus.FAILED, MemberStatus.LEFT)


@dataclass(frozen=True, slots=True)
class _Record:
    member: Member
    address: Address
    since: float
    """When the status last changed."""


@dataclass(frozen=True, slots=True)
class _RecentIntent:
    """An intent about a member we have not met yet."""

    ltime: int
    leaves: bool
    heard_at: float


class SerfMembers:
    """All members with their status. Outputs are changes, for the caller to take after each input."""

    def __init__(self, local_name: str, timing: Timing, rng: random.Random) -> None:
        self.clock = LamportClock()
        self.is_leaving = False
        self._local_name = local_name
        self._timing = timing
        self._rng = rng
        self._records: dict[str, _Record] = {}
        self._not_alive: dict[str, _Record] = {}
        self._status_ltimes: dict[str, bytes] = {}
        self._recent_intents: dict[str, _RecentIntent] = {}
        self._prune_after: dict[str, float] = {}
        self._changes: list[MemberChange] = []

    # What is known

    def __len__(self) -> int:
        return len(self._records)

    def members(self) -> list[Member]:
        return [record.member for record in self._records.values()]

    def member(self, name: str) -> Member | None:
        record = self._records.get(name)
        return record.member if record else None

    def address(self, name: str) -> Address | None:
        record = self._records.get(name)
        return record.address if record else None

    def status_ltime(self, name: str) -> int:
        """The Lamport time of the last intent about a member; -1: no such member."""
        record = self._records.get(name)
        return record.member.status_ltime if record else -1

    @property
    def encoded_status_ltimes(self) -> Collection[bytes]:
        """All of them, as a push-pull tells them."""
        return self._status_ltimes.values()

    @property
    def alive_count(self) -> int:
        return len(self._records) - len(self._not_alive)

    def left_members(self) -> tuple[str, ...]:
        return tuple(name for name, record in self._not_alive.items() if record.member.status is MemberStatus.LEFT)

    def take_changes(self) -> list[MemberChange]:
        changes, self._changes = self._changes, []
        return changes

    # What memberlist's layer reports

    def on_joined(self, node: Node, now: float) -> None:
        """The member is alive; it is new, or it was gone."""
        known = self._records.get(node.name)
        if known is None:
            status, ltime = MemberStatus.ALIVE, 0
            if (intent := self._recent_intents.pop(node.name, None)) is not None:
                ltime = intent.ltime
                status = MemberStatus.LEAVING if intent.leaves else MemberStatus.ALIVE
            self._put(node, status, ltime, now, MemberChangeKind.JOINED)
            return
        returned = known.member.status is MemberStatus.FAILED
        kind = MemberChangeKind.RETURNED if returned else MemberChangeKind.JOINED
        self._put(node, MemberStatus.ALIVE, known.member.status_ltime, now, kind)

    def on_updated(self, node: Node, *, tell: bool) -> None:
        """The member said something new of itself; ``tell`` unless it is only a new incarnation."""
        if (known := self._records.get(node.name)) is not None:
            self._put(node, known.member.status, known.member.status_ltime, known.since, MemberChangeKind.UPDATED if tell else None)

    def on_gone(self, node: Node, now: float) -> None:
        """The member is dead, or it says after all that it has left: then one that failed has not."""
        known = self._records.get(node.name)
        if known is None or known.member.status is MemberStatus.LEFT:
            return
        has_failed = known.member.status is MemberStatus.FAILED
        since = known.since if has_failed else now
        if node.state is NodeState.LEFT or known.member.status is MemberStatus.LEAVING:
            self._put(node, MemberStatus.LEFT, known.member.status_ltime, since, MemberChangeKind.LEFT)
        elif not has_failed:
            self._put(node, MemberStatus.FAILED, known.member.status_ltime, since, MemberChangeKind.FAILED)

    # Intents

    def on_join_intent(self, intent: JoinIntent, now: float) -> bool:
        """True when it is news, to be passed on. Ask ``must_contradict`` first."""
        self.clock.witness(intent.ltime)
        known = self._records.get(intent.node)
        if known is None:
            return self._remember(intent.node, _RecentIntent(intent.ltime, False, now))
        if intent.ltime <= known.member.status_ltime:
            return False
        if known.member.status is MemberStatus.LEAVING:
            self._set(known, MemberStatus.ALIVE, intent.ltime, now, MemberChangeKind.UPDATED)
        else:
            self._set(known, known.member.status, intent.ltime, known.since)
        return True

    def on_leave_intent(self, intent: LeaveIntent, now: float) -> bool:
        """True when it is news, to be passed on. Ask ``must_contradict`` first."""
        self.clock.witness(intent.ltime)
        known = self._records.get(intent.node)
        if known is None:
            return self._remember(intent.node, _RecentIntent(intent.ltime, True, now))
        if intent.ltime <= known.member.status_ltime:
            return False
        match known.member.status:
            case MemberStatus.ALIVE:
                self._set(known, MemberStatus.LEAVING, intent.ltime, now, MemberChangeKind.LEAVING)
            case MemberStatus.FAILED:
                self._set(known, MemberStatus.LEFT, intent.ltime, known.since, MemberChangeKind.LEFT)
            case MemberStatus.LEAVING | MemberStatus.LEFT:
                self._set(known, known.member.status, intent.ltime, known.since)
        if intent.prune:
            delay_s = 0.0
            if known.member.status in (MemberStatus.ALIVE, MemberStatus.LEAVING):  # let its own goodbye come first
                delay_s = self._timing.broadcast_timeout_s + self._timing.leave_propagate_delay_s
            self._prune_after[intent.node] = now + delay_s
        return True

    def must_contradict(self, intent: JoinIntent | LeaveIntent) -> bool:
        """Does the pool know something later of us than we said in this life? It may believe that we leave, also when it only passes on
        the time and not the intent, as push-pulls do. (Serf contradicts leave intents only, and can be left with a living member that
        some take for leaving.)"""
        known = self._records.get(self._local_name)
        return intent.node == self._local_name and not self.is_leaving and known is not None and intent.ltime > known.member.status_ltime

    # What time brings

    def tick(self, now: float, is_alive: Callable[[str], bool]) -> list[str]:
        """Erase who is to be pruned and who has been gone for long enough. Returns the names erased. ``is_alive``: what memberlist's
        layer says of a name."""
        intents = self._recent_intents
        for name in [name for name, intent in intents.items() if now - intent.heard_at > self._timing.recent_intent_timeout_s]:
            del intents[name]
        for name, record in list(self._not_alive.items()):
            if record.member.status is MemberStatus.LEAVING and is_alive(name) and now - record.since > self._leaving_max_s:
                # It would be gone by now. What it said was said in a former life, and its present one used the same Lamport time.
                self._set(record, MemberStatus.ALIVE, record.member.status_ltime, now, MemberChangeKind.UPDATED)
        expired = [record for record in self._not_alive.values() if self._is_expired(record, now)]
        for record in expired:
            self._erase(record)
        for name in [name for name in self._prune_after if self._is_back(name)]:
            del self._prune_after[name]
        return [record.member.name for record in expired]

    def choose_failed(self) -> Address | None:
        """A failed member to try again, with a probability that keeps the whole pool's attempts in proportion."""
        failed = [record for record in self._not_alive.values() if record.member.status is MemberStatus.FAILED]
        if not failed or self._rng.random() >= len(failed) / max(1, self.alive_count):
            return None
        return self._rng.choice(failed).address

    # Records

    def _remember(self, name: str, intent: _RecentIntent) -> bool:
        known = self._recent_intents.get(name)
        if known is None and len(self._recent_intents) >= _RECENT_INTENTS_MAX:
            return False
        if known is not None and intent.ltime <= known.ltime:
            return False
        self._recent_intents[name] = intent
        return True

    @property
    def _leaving_max_s(self) -> float:
        """Twice what a member takes at most from its intent to its end."""
        return 2 * (2 * self._timing.broadcast_timeout_s + self._timing.leave_propagate_delay_s)

    def _is_expired(self, record: _Record, now: float) -> bool:
        name, status = record.member.name, record.member.status
        if status not in _GONE or name == self._local_name:
            return False
        kept_s = self._reconnect_timeout_s(record.member) if status is MemberStatus.FAILED else self._timing.tombstone_timeout_s
        return now - record.since > kept_s or self._prune_after.get(name, math.inf) <= now

    def _reconnect_timeout_s(self, member: Member) -> float:
        """How long a failed member is waited for: it may have asked for a time of its own, as one does that never comes back."""
        try:
            own_s = parse_duration(member.tags.get(RECONNECT_TIMEOUT_TAG, "0"))
        except ValueError:
            own_s = 0.0
        return own_s if own_s > 0 else self._timing.reconnect_timeout_s

    def _is_back(self, name: str) -> bool:
        record = self._records.get(name)
        return record is None or record.member.status is MemberStatus.ALIVE

    def _put(self, node: Node, status: MemberStatus, ltime: int, since: float, kind: MemberChangeKind | None) -> None:
        tags, address = decode_tags(node.meta), node.address
        member = Member(node.name, address.host, address.port, tags, status, node.incarnation, ltime, *node.versions)
        self._keep(_Record(member, address, since), kind)

    def _set(self, known: _Record, status: MemberStatus, ltime: int, since: float, kind: MemberChangeKind | None = None) -> None:
        self._keep(replace(known, member=replace(known.member, status=status, status_ltime=ltime), since=since), kind)

    def _keep(self, record: _Record, kind: MemberChangeKind | None) -> None:
        member = record.member
        former = self._records.get(member.name)
        self._records[member.name] = record
        if member.status is MemberStatus.ALIVE:
            self._not_alive.pop(member.name, None)
        else:
            self._not_alive[member.name] = record
        if former is None or former.member.status_ltime != member.status_ltime:
            self._status_ltimes[member.name] = encode_status_ltime(member.name, member.status_ltime)
        if kind is not None:
            self._changes.append(MemberChange(kind, record.member))

    def _erase(self, record: _Record) -> None:
        del self._records[record.member.name], self._status_ltimes[record.member.name]
        self._not_alive.pop(record.member.name, None)
        self._prune_after.pop(record.member.name, None)
        self._changes.append(MemberChange(MemberChangeKind.REAPED, record.member))
