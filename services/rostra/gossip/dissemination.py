"""Packing datagrams: news ride along with what goes out anyway, and fill packets of their own each gossip interval (SWIM section 4.1;
gossip-wire section 11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rostra.gossip.address import Address
from rostra.gossip.broadcasts import BroadcastQueue
from rostra.gossip.membership import Membership, Node, NodeState
from rostra.gossip.timing import Timing
from rostra.gossip.versions import CHECKSUM_PMAX
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.messages import PacketMessage, User, encode_message
from rostra.gossip.wire.packets import COMPOUND_HEADER_BYTES, COMPOUND_PART_BYTES, MAX_COMPOUND_PARTS, encode_packet


class SendPacket(NamedTuple):
    """A datagram, ready to send."""

    address: Address
    data: bytes


class SerfQueues:
    """What Serf's layer has to tell, most important first."""

    def __init__(self, timing: Timing) -> None:
        self.intents = BroadcastQueue(timing.retransmit_mult)
        self.queries = BroadcastQueue(timing.retransmit_mult)
        self.events = BroadcastQueue(timing.retransmit_mult)

    @property
    def in_order(self) -> tuple[BroadcastQueue, ...]:
        return self.intents, self.queries, self.events


class Dissemination:
    """Turns messages into datagrams, and lets broadcasts ride along."""

    def __init__(
        self,
        membership: Membership,
        node_queue: BroadcastQueue,
        serf_queues: SerfQueues,
        envelope: Envelope,
        timing: Timing,
        *,
        compress: bool,
    ) -> None:
        self._membership = membership
        self._node_queue = node_queue
        self._serf_queues = serf_queues
        self._envelope = envelope
        self._timing = timing
        self._compress = compress

    @property
    def is_idle(self) -> bool:
        return not self._node_queue and not any(self._serf_queues.in_order)

    def gossip(self, serf_members: int, now: float) -> list[SendPacket]:
        """One round: a packet full of news for each of a few random members. The dead are told too for a while: they may not be."""
        if self.is_idle:
            return []
        own, horizon = self._membership.local.name, now - self._timing.gossip_to_the_dead_s
        packets = []
        for node in self._membership.choose(
            self._timing.gossip_nodes,
            lambda node: node.name != own and (not node.state.is_gone or (node.state is NodeState.DEAD and node.changed_at >= horizon)),
        ):
            if parts := self._take(self._space, serf_members, MAX_COMPOUND_PARTS):
                packets.append(self._packet(node.address, parts, node))
        return packets

    def packet(self, address: Address, messages: Sequence[PacketMessage], serf_members: int, node: Node | None = None) -> SendPacket:
        """These messages in one datagram, with as many broadcasts as still fit. ``node``: whose address it is, when that is certain."""
        parts = [encode_message(message) for message in messages]
        space = self._space - sum(len(part) + COMPOUND_PART_BYTES for part in parts)
        return self._packet(address, parts + self._take(space, serf_members, MAX_COMPOUND_PARTS - len(parts)), node)

    def alone(self, address: Address, payload: bytes) -> SendPacket:
        """A Serf message for one member, without company."""
        return self._packet(address, [encode_message(User(payload=payload))], None)

    @property
    def _space(self) -> int:
        return self._timing.packet_bytes - COMPOUND_HEADER_BYTES - self._envelope.packet_overhead

    def _take(self, space: int, serf_members: int, at_most: int) -> list[bytes]:
        taken = self._node_queue.take(space, COMPOUND_PART_BYTES, len(self._membership.nodes), at_most)
        for queue in self._serf_queues.in_order:
            left = space - sum(len(part) + COMPOUND_PART_BYTES for part in taken)
            taken += queue.take(left, COMPOUND_PART_BYTES, serf_members, at_most - len(taken))
        return taken

    def _packet(self, address: Address, parts: Sequence[bytes], node: Node | None) -> SendPacket:
        checksum = node is not None and node.versions.pmax >= CHECKSUM_PMAX
        return SendPacket(address, self._envelope.seal_packet(encode_packet(parts, compress=self._compress, checksum=checksum)))
