"""Failure detection: one probe after another round the ring (SWIM sections 3.1 and 4.3), indirect probes with nacks (Lifeguard), TCP as
the last resort (gossip-wire section 10)."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias, TypedDict

from rostra.gossip.address import Address
from rostra.gossip.awareness import Awareness
from rostra.gossip.membership import Membership, Node, NodeState
from rostra.gossip.timing import Timing
from rostra.gossip.versions import NACK_PMAX, STREAM_PING_PMAX
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.messages import Ack, IndirectPing, Nack, PacketMessage, Ping, Suspect

_RELAYS_MAX: Final = 1024
_SEQUENCES: Final = 2**32


class Send(NamedTuple):
    """Send these messages in one datagram. ``node`` is the receiver where it is known as a member, not only as an address."""

    address: Address
    messages: tuple[PacketMessage, ...]
    node: Node | None = None


class PingStream(NamedTuple):
    """Ping over TCP; the answer goes to ``on_stream_ack``."""

    node: Node
    ping: Ping


ProbeOutput: TypeAlias = Send | PingStream


class Acked(NamedTuple):
    """The member under probe has answered; ``payload`` is its coordinate when it did so directly."""

    node: Node
    payload: bytes
    round_trip_s: float


@dataclass(slots=True)
class _Round:
    target: Node
    sequence: int
    started_at: float
    deadline: float
    indirect_at: float
    expected_nacks: int = 0
    nacks: int = 0
    stream_acked: bool = False


@dataclass(slots=True)
class _Relay:
    """An indirect ping that we carry out for another member."""

    requester: Address
    sequence: int
    nack: bool
    deadline: float


@dataclass(slots=True)
class Prober:
    """At most one probe of our own runs at a time; probes for others run beside it."""

    membership: Membership
    awareness: Awareness
    timing: Timing
    rng: random.Random
    next_probe_at: float
    _ring_position: int = 0
    _sequence: int = 0
    _round: _Round | None = None
    _relays: dict[int, _Relay] = field(default_factory=dict)

    @property
    def deadline(self) -> float:
        own = self.next_probe_at
        if self._round is not None:
            own = min(self._round.indirect_at, self._round.deadline)
        return min(own, min((relay.deadline for relay in self._relays.values()), default=math.inf))

    def tick(self, now: float) -> list[ProbeOutput]:
        """Do what is due."""
        outputs: list[ProbeOutput] = self._expire_relays(now)
        if self._round is not None and self._round.indirect_at <= now:
            outputs += self._probe_indirectly(self._round)
        if self._round is not None and self._round.deadline <= now:
            self._conclude(self._round, now)
        if self._round is None and self.next_probe_at <= now:
            self.next_probe_at = now + self.timing.probe_interval_s
            if (target := self._next_target(now)) is not None:
                outputs.append(self._begin(target, now))
        return outputs

    def on_ack(self, message: Ack, now: float) -> Acked | Send:
        """An ack ends our probe, or is passed on to the member we probed for. Any other is refused: it is late, or was replayed."""
        if (relay := self._relays.pop(message.sequence, None)) is not None:
            return Send(relay.requester, (Ack(sequence=relay.sequence),))
        if (current := self._round) is None or current.sequence != message.sequence:
            raise WireError(Reason.STALE, "ack")
        self._round = None
        self.awareness.adjust(-1)
        return Acked(current.target, message.payload, now - current.started_at)

    def on_nack(self, message: Nack) -> None:
        """One helper has tried and not reached the member under probe. Any other nack is refused: it is late, or was replayed."""
        if self._round is None or self._round.sequence != message.sequence:
            raise WireError(Reason.STALE, "nack")
        self._round.nacks = min(self._round.nacks + 1, self._round.expected_nacks)

    def on_stream_ack(self, sequence: int) -> None:
        """It answered over TCP: alive, though its datagrams get lost."""
        if self._round is not None and self._round.sequence == sequence:
            self._round.stream_acked = True

    def on_indirect_ping(self, message: IndirectPing, source: Address, now: float) -> Send:
        if len(self._relays) >= _RELAYS_MAX:
            raise WireError(Reason.QUEUE_FULL, "indirect pings")
        target = Address(message.target_ip, message.target_port or self.membership.local.address.port)
        requester = reply_address(message, source)
        if not target.is_usable or not requester.is_usable:
            raise WireError(Reason.BAD_ADDRESS)
        ping = self._ping(message.node)
        self._relays[ping.sequence] = _Relay(requester, message.sequence, message.nack, now + self.timing.probe_timeout_s)
        return Send(target, (ping,))

    def _begin(self, target: Node, now: float) -> Send:
        ping = self._ping(target.name)
        deadline = now + self.awareness.scale(self.timing.probe_interval_s)
        self._round = _Round(target, ping.sequence, now, deadline, min(now + self.timing.probe_timeout_s, deadline))
        if target.state is not NodeState.SUSPECT:
            return Send(target.address, (ping,), target)
        # Lifeguard's buddy system: the suspect hears of the suspicion together with the probe, and can refute at once.
        accusation = Suspect(incarnation=target.incarnation, node=target.name, accuser=self.membership.local.name)
        return Send(target.address, (ping, accusation), target)

    def _probe_indirectly(self, current: _Round) -> list[ProbeOutput]:
        current.indirect_at = math.inf
        target, own = current.target, self.membership.local.name
        outputs: list[ProbeOutput] = []
        helpers = self.membership.choose(
            self.timing.indirect_checks, lambda node: node.state is NodeState.ALIVE and node.name not in (own, target.name)
        )
        for helper in helpers:
            nack = helper.versions.pmax >= NACK_PMAX
            current.expected_nacks += nack
            request = IndirectPing(
                sequence=current.sequence,
                node=target.name,
                target_ip=target.address.ip,
                target_port=target.address.port,
                nack=nack,
                **self._source(),
            )
            outputs.append(Send(helper.address, (request,)))
        if target.versions.pmax >= STREAM_PING_PMAX:
            outputs.append(PingStream(target, self._ping(target.name, current.sequence)))
        return outputs

    def _conclude(self, current: _Round, now: float) -> None:
        self._round = None
        if current.stream_acked:
            self.awareness.adjust(-1)
            return
        # Missing nacks mean that our own packets do not get through; where nobody was asked, assume so.
        self.awareness.adjust(current.expected_nacks - current.nacks if current.expected_nacks else 1)
        self.membership.accuse(current.target.name, now)

    def _next_target(self, now: float) -> Node | None:
        for _ in range(len(self.membership.ring) + 1):
            if self._ring_position >= len(self.membership.ring):
                self.membership.begin_round(now)
                self._ring_position = 0
                continue
            node = self.membership.nodes[self.membership.ring[self._ring_position]]
            self._ring_position += 1
            if node.name != self.membership.local.name and not node.state.is_gone:
                return node
        return None

    def _expire_relays(self, now: float) -> list[ProbeOutput]:
        expired = [sequence for sequence, relay in self._relays.items() if relay.deadline <= now]
        relays = [self._relays.pop(sequence) for sequence in expired]
        return [Send(relay.requester, (Nack(sequence=relay.sequence),)) for relay in relays if relay.nack]

    def _ping(self, node: str, sequence: int | None = None) -> Ping:
        if sequence is None:
            self._sequence = sequence = (self._sequence + 1) % _SEQUENCES
        return Ping(sequence=sequence, node=node, **self._source())

    def _source(self) -> _Source:
        local = self.membership.local
        return {"source_ip": local.address.ip, "source_port": local.address.port, "source_node": local.name}


class _Source(TypedDict):
    source_ip: bytes
    source_port: int
    source_node: str


def reply_address(message: Ping | IndirectPing, source: Address) -> Address:
    """Where the answer goes: to the source fields when both are there, else to where the datagram came from."""
    if message.source_ip and message.source_port:
        return Address(message.source_ip, message.source_port)
    return source
