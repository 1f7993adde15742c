"""Who is a member and in which state: SWIM's alive, suspect and dead with incarnations (Das 2002, section 4.2), Lifeguard's suspicion
(Dadgar 2018), and memberlist's rules for addresses, leaving and forgetting (gossip-wire section 9).

News about a member are ordered by its incarnation, which only the member itself raises; at equal incarnation a worse state wins:
alive < suspect < dead < left. So stale news never undo newer ones, and the order in which they arrive does not matter, with one exception
of the wire's: a suspicion never brings a dead member back, only the member itself does.
"""

from __future__ import annotations

import enum
import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, assert_never

from rostra.gossip.address import Address
from rostra.gossip.awareness import Awareness
from rostra.gossip.broadcasts import BroadcastQueue
from rostra.gossip.suspicion import Suspicion
from rostra.gossip.timing import Timing
from rostra.gossip.versions import Versions, check_compatible
from rostra.gossip.wire import limits
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.messages import Alive, Dead, Row, RowState, Suspect, encode_message, encode_row

_INCARNATION_MAX: Final = 2**32 - 1
_LIVING: Final = (RowState.ALIVE, RowState.SUSPECT)


class NodeState(enum.IntEnum):
    """Ordered: at equal incarnation the higher one wins. The numbers are those of a push-pull row."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3

    @property
    def is_gone(self) -> bool:
        return self >= NodeState.DEAD


@dataclass(frozen=True, slots=True)
class Node:
    """What memberlist's layer knows of one member."""

    name: str
    address: Address
    meta: bytes
    versions: Versions
    incarnation: int
    state: NodeState
    changed_at: float


@dataclass(frozen=True, slots=True)
class NodeJoined:
    """A member appeared, or came back after it was dead or had left."""

    node: Node


@dataclass(frozen=True, slots=True)
class NodeUpdated:
    """A living member has new meta, or only a new incarnation."""

    node: Node
    meta_changed: bool


@dataclass(frozen=True, slots=True)
class NodeSuspected:
    node: Node
    accuser: str


@dataclass(frozen=True, slots=True)
class NodeGone:
    """A member is dead, or has left; ``node.state`` says which."""

    node: Node
    accuser: str


@dataclass(frozen=True, slots=True)
class Refuted:
    """We were said to be suspect, dead or other than we are, and have contradicted."""

    incarnation: int


@dataclass(frozen=True, slots=True)
class NameClaimed:
    """A second process, at ``address``, uses the name of ``node``."""

    node: Node
    address: Address


NodeEvent: TypeAlias = NodeJoined | NodeUpdated | NodeSuspected | NodeGone | Refuted | NameClaimed

Admit: TypeAlias = Callable[[str, Address, bytes], str]
"""May this name, with this address and meta, be a member? Answers with the reason why not, or with nothing."""


def admit_all(name: str, address: Address, meta: bytes) -> str:
    return ""


SameNode: TypeAlias = Callable[[bytes, bytes], bool]
"""Do two metas say that they are of one node, whatever its address?"""


def nobody_tells(meta: bytes, other: bytes) -> bool:
    return False


class Membership:
    """The state machine of all members. Inputs are what was heard and what a probe found; outputs are events, for the caller to take
    after each input, and messages in the broadcast queue. What no honest peer sends raises ``WireError`` and changes nothing."""

    def __init__(
        self,
        local: Node,
        *,
        timing: Timing,
        awareness: Awareness,
        broadcasts: BroadcastQueue,
        rng: random.Random,
        admit: Admit = admit_all,
        same_node: SameNode = nobody_tells,
    ) -> None:
        self.is_leaving = False
        self._name = local.name
        self._timing = timing
        self._awareness = awareness
        self._broadcasts = broadcasts
        self._rng = rng
        self._admit = admit
        self._same_node = same_node
        self._nodes: dict[str, Node] = {}
        self._rows: dict[bytes, NodeState] = {}
        self._living_versions: Counter[Versions] = Counter()
        self._ring: list[str] = [local.name]
        self._suspicions: dict[str, Suspicion] = {}
        self._no_verdict_before = math.inf
        self._events: list[NodeEvent] = [NodeJoined(local)]
        self._keep(local)
        self._broadcast_alive(local)

    # What is known

    @property
    def local(self) -> Node:
        return self._nodes[self._name]

    @property
    def nodes(self) -> Mapping[str, Node]:
        """All members not forgotten yet, in any state, this one included."""
        return self._nodes

    @property
    def ring(self) -> Sequence[str]:
        """Names in the order of probing; new ones appear at a random place (SWIM section 4.3)."""
        return self._ring

    @property
    def deadline(self) -> float:
        """No suspicion becomes a verdict before. It may be early: asked after every packet, it must not look at all suspicions."""
        return self._no_verdict_before if self._suspicions else math.inf

    def take_events(self) -> list[NodeEvent]:
        events, self._events = self._events, []
        return events

    def choose(self, count: int, accept: Callable[[Node], bool]) -> list[Node]:
        """Up to ``count`` random members that ``accept`` accepts. In a large pool a few unlucky draws are not made good."""
        size = len(self._ring)
        few = size < 3 * count
        chosen: dict[str, Node] = {}
        for name in self._rng.sample(self._ring, size) if few else (self._rng.choice(self._ring) for _ in range(3 * size)):
            if len(chosen) == count:
                break
            if name not in chosen and accept(node := self._nodes[name]):
                chosen[name] = node
        return list(chosen.values())

    # What is heard

    def on_alive(self, message: Alive, now: float) -> None:
        name, address = message.node, Address(message.ip, message.port or self.local.address.port)
        if name == self._name and self.is_leaving:
            return
        known = self._nodes.get(name)
        if known is not None and name != self._name and address == known.address and message.incarnation <= known.incarnation:
            return  # old news, by far the most frequent: cheap
        versions = self._checked(message, address)
        if known is None:
            if len(self._nodes) >= limits.MEMBERS:
                raise WireError(Reason.QUEUE_FULL, "members")
            if message.incarnation > 0:
                heard = Node(name, address, message.meta, versions, message.incarnation, NodeState.ALIVE, now)
                self._ring.insert(self._rng.randrange(len(self._ring) + 1), name)
                self._becomes_alive(heard, message)
                self._events.append(NodeJoined(heard))
            return
        if address != known.address and not self._may_move(known, message, now):
            self._events.append(NameClaimed(known, address))
            return
        if name == self._name:
            self._on_alive_about_us(message, known)
            return
        changed_at = known.changed_at if known.state is NodeState.ALIVE else now
        heard = Node(name, address, message.meta, versions, message.incarnation, NodeState.ALIVE, changed_at)
        self._becomes_alive(heard, message)
        if known.state.is_gone:
            self._events.append(NodeJoined(heard))
        else:
            self._events.append(NodeUpdated(heard, meta_changed=heard.meta != known.meta))

    def on_suspect(self, message: Suspect, now: float) -> None:
        known = self._nodes.get(message.node)
        if known is None or message.incarnation < known.incarnation:
            return
        self._check_incarnation(message.incarnation)
        if known.state.is_gone:
            return
        suspicion = self._suspicions.get(known.name)
        if suspicion is not None and message.incarnation == known.incarnation:
            if suspicion.confirm(message.accuser):
                self._no_verdict_before = min(self._no_verdict_before, suspicion.deadline)
                self._broadcasts.add(encode_message(message), known.name)
            return
        # A suspicion at a higher incarnation than the one that is running: the member has refuted that one, though we did not hear it.
        # memberlist counts it as a confirmation; a new suspicion with its full time is fairer, and independent of the order of arrival.
        if known.name == self._name:
            self._refute(message.incarnation)
            return
        self._broadcasts.add(encode_message(message), known.name)
        suspicion = Suspicion(message.accuser, now, members=len(self._nodes), timing=self._timing)
        self._suspicions[known.name] = suspicion
        self._no_verdict_before = min(self._no_verdict_before, suspicion.deadline)
        suspected = replace(known, incarnation=message.incarnation, state=NodeState.SUSPECT, changed_at=now)
        self._keep(suspected)
        self._events.append(NodeSuspected(suspected, message.accuser))

    def on_dead(self, message: Dead, now: float) -> None:
        known = self._nodes.get(message.node)
        if known is None or message.incarnation < known.incarnation:
            return
        self._check_incarnation(message.incarnation)
        state = NodeState.LEFT if message.accuser == message.node else NodeState.DEAD
        if known.state.is_gone:
            # memberlist ignores this. Keeping the newer verdict makes the outcome independent of the order of arrival, and costs nothing:
            # no other member is told, only an older alive message can no longer bring the member back.
            if (message.incarnation, state) > (known.incarnation, known.state):
                gone = replace(known, incarnation=message.incarnation, state=state)
                self._keep(gone)
                if state is not known.state:
                    self._events.append(NodeGone(gone, message.accuser))
            return
        if known.name == self._name and not self.is_leaving:
            self._refute(message.incarnation)
            return
        self._suspicions.pop(known.name, None)
        self._broadcasts.add(encode_message(message), known.name)
        gone = replace(known, incarnation=message.incarnation, state=state, changed_at=now)
        self._keep(gone)
        self._events.append(NodeGone(gone, message.accuser))

    def knows(self, row: bytes) -> bool:
        """Is this encoded row of a push-pull just what we would say ourselves, so that it changes nothing? A suspicion that we share is
        not nothing: it is confirmed."""
        return self._rows.get(row) in (NodeState.ALIVE, NodeState.LEFT)

    def check_versions(self, rows: Iterable[Row]) -> None:
        """Refuse a push-pull as a whole when its members cannot live with ours (gossip-wire sections 8 and 16.5). Of rows that have
        versions and state in common one is enough."""
        living = [(row.state, Versions.parse(row.versions)) for row in rows if row.state in _LIVING]
        alive = {versions for state, versions in living if state is RowState.ALIVE}
        local = set(self._living_versions)
        check_compatible(alive | local, local.union(versions for _, versions in living))

    def check_admitted(self, row: Row) -> None:
        """Refuse a push-pull that would join our pool with one that has this member."""
        if row.state in _LIVING:
            self._check_admitted(row.name, Address(row.ip, row.port), row.meta)

    def on_row(self, row: Row, now: float) -> None:
        """One line of a push-pull. Dead there means suspect here: what a peer believes is never an instant verdict."""
        match row.state:
            case RowState.ALIVE:
                self.on_alive(
                    Alive(incarnation=row.incarnation, node=row.name, ip=row.ip, port=row.port, meta=row.meta, versions=row.versions),
                    now,
                )
            case RowState.LEFT:
                self.on_dead(Dead(incarnation=row.incarnation, node=row.name, accuser=row.name), now)
            case RowState.DEAD | RowState.SUSPECT:
                self.on_suspect(Suspect(incarnation=row.incarnation, node=row.name, accuser=self._name), now)
            case _:
                assert_never(row.state)

    # What we do ourselves

    def accuse(self, name: str, now: float) -> None:
        """A probe of this member failed."""
        if (known := self._nodes.get(name)) is not None:
            self.on_suspect(Suspect(incarnation=known.incarnation, node=name, accuser=self._name), now)

    def expire(self, now: float) -> None:
        """Turn suspicions whose time is up into verdicts."""
        if now < self._no_verdict_before:
            return
        for name in [name for name, suspicion in self._suspicions.items() if suspicion.deadline <= now]:
            self.on_dead(Dead(incarnation=self._nodes[name].incarnation, node=name, accuser=self._name), now)
        self._no_verdict_before = min((suspicion.deadline for suspicion in self._suspicions.values()), default=math.inf)

    def set_meta(self, meta: bytes) -> None:
        changed = self.local.meta != meta
        self._renew(self.local.incarnation + 1, meta)
        self._events.append(NodeUpdated(self.local, meta_changed=changed))

    def leave(self, now: float) -> int:
        """Say of ourselves that we have left, and contradict nobody any more. Returns the number of the broadcast."""
        self.is_leaving = True
        message = Dead(incarnation=self.local.incarnation, node=self._name, accuser=self._name)
        self._keep(replace(self.local, state=NodeState.LEFT, changed_at=now))
        self._events.append(NodeGone(self.local, self._name))
        return self._broadcasts.add(encode_message(message), self._name)

    def begin_round(self, now: float) -> None:
        """All have been probed: forget those long gone, and shuffle (SWIM section 4.3)."""
        horizon = now - self._timing.gossip_to_the_dead_s
        gone = [node for node in self._nodes.values() if node.state.is_gone and node.changed_at < horizon and node.name != self._name]
        for node in gone:
            self._drop(node)
        if gone:
            self._ring = [name for name in self._ring if name in self._nodes]
        self._rng.shuffle(self._ring)

    def forget(self, name: str) -> None:
        """Drop a member that is gone; nothing happens when it is not known."""
        if (node := self._nodes.get(name)) is not None and node.state.is_gone and name != self._name:
            self._drop(node)
            self._ring.remove(name)

    def rows(self) -> Collection[bytes]:
        """All that we know, encoded, for a push-pull."""
        return self._rows.keys()

    # Rules

    def _checked(self, message: Alive, address: Address) -> Versions:
        self._check_incarnation(message.incarnation)
        if not message.node:
            raise WireError(Reason.BAD_NAME, "empty")
        if not address.is_usable:
            raise WireError(Reason.BAD_ADDRESS)
        if len(message.meta) > limits.FOREIGN_META_BYTES:
            raise WireError(Reason.OVERSIZED, "meta")
        versions = Versions.parse(message.versions)
        if message.node != self._name:
            self._check_admitted(message.node, address, message.meta)
        return versions

    def _check_admitted(self, name: str, address: Address, meta: bytes) -> None:
        if name != self._name and (why_not := self._admit(name, address, meta)):
            raise WireError(Reason.NOT_ADMITTED, why_not)

    @staticmethod
    def _check_incarnation(incarnation: int) -> None:
        """The highest number leaves no room for a refutation. No honest member gets there; a forged one would silence its victim."""
        if incarnation >= _INCARNATION_MAX:
            raise WireError(Reason.BAD_INCARNATION)

    def _may_move(self, known: Node, message: Alive, now: float) -> bool:
        """May this member's name come back from another address? Who failed has to wait, but for the same node with news of itself, as a
        server in a container that was started anew: memberlist does not know that it is one."""
        if known.state is not NodeState.DEAD:
            return known.state is NodeState.LEFT
        reclaim_s = self._timing.dead_node_reclaim_s
        if 0 < reclaim_s < now - known.changed_at:
            return True
        return message.incarnation > known.incarnation and self._same_node(known.meta, message.meta)

    def _on_alive_about_us(self, message: Alive, local: Node) -> None:
        if message.incarnation < local.incarnation:
            return
        same = message.meta == local.meta and message.versions == bytes(local.versions)
        if message.incarnation > local.incarnation or not same:
            self._refute(message.incarnation)

    def _refute(self, accused_incarnation: int) -> None:
        self._renew(max(self.local.incarnation, accused_incarnation) + 1, self.local.meta)
        self._awareness.adjust(1)
        self._events.append(Refuted(self.local.incarnation))
        self._events.append(NodeUpdated(self.local, meta_changed=False))

    def _renew(self, incarnation: int, meta: bytes) -> None:
        local = replace(self.local, incarnation=incarnation, meta=meta)
        self._keep(local)
        self._broadcast_alive(local)

    def _becomes_alive(self, node: Node, message: Alive) -> None:
        self._suspicions.pop(node.name, None)
        self._keep(node)
        self._broadcasts.add(encode_message(message), node.name)

    def _broadcast_alive(self, node: Node) -> None:
        message = Alive(
            incarnation=node.incarnation,
            node=node.name,
            ip=node.address.ip,
            port=node.address.port,
            meta=node.meta,
            versions=bytes(node.versions),
        )
        self._broadcasts.add(encode_message(message), node.name)

    # Records

    def _keep(self, node: Node) -> None:
        """Every change of a record goes through here, so that its row is encoded once, and not for each push-pull."""
        if (former := self._nodes.get(node.name)) is not None:
            self._uncount(former)
        self._nodes[node.name] = node
        self._rows[_row(node)] = node.state
        if not node.state.is_gone:
            self._living_versions[node.versions] += 1

    def _drop(self, node: Node) -> None:
        self._uncount(node)
        del self._nodes[node.name]

    def _uncount(self, node: Node) -> None:
        del self._rows[_row(node)]
        if not node.state.is_gone:
            self._living_versions[node.versions] -= 1
            if not self._living_versions[node.versions]:
                del self._living_versions[node.versions]


def _row(node: Node) -> bytes:
    return encode_row(
        Row(
            name=node.name,
            ip=node.address.ip,
            port=node.address.port,
            meta=node.meta,
            incarnation=node.incarnation,
            state=RowState(node.state),
            versions=bytes(node.versions),
        )
    )
