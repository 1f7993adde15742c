"""How messages become datagrams (gossip-wire sections 3.3, 3.5 and 11)."""

from __future__ import annotations

import random

import pytest

from rostra.gossip.address import Address
from rostra.gossip.awareness import Awareness
from rostra.gossip.broadcasts import BroadcastQueue
from rostra.gossip.core import Core, CoreConfig
from rostra.gossip.dissemination import Dissemination, SerfQueues
from rostra.gossip.keyring import Keyring
from rostra.gossip.membership import Membership, Node, NodeState
from rostra.gossip.timing import LAN
from rostra.gossip.versions import OURS, Versions
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.messages import Alive, Dead, Nack, encode_message
from rostra.gossip.wire.packets import decode_packet

PEER = Address(bytes((10, 0, 0, 2)), 7946)


class Bench:
    def __init__(self, *, keys: bool = False, pmax: int = 5, label: bytes = b"") -> None:
        self.nodes = BroadcastQueue(4)
        self.serf = SerfQueues(LAN)
        ring = Keyring([bytes(16)]) if keys else None
        self.envelope = Envelope(entropy=random.Random(1).randbytes, keyring=ring, label=label)
        local = Node("me", Address(bytes((10, 0, 0, 1)), 7946), b"", OURS, 1, NodeState.ALIVE, 0.0)
        self.membership = Membership(local, timing=LAN, awareness=Awareness(8), broadcasts=self.nodes, rng=random.Random(1))
        versions = bytes(Versions(1, pmax, 2, 2, 5, 4))
        self.membership.on_alive(Alive(incarnation=1, node="peer", ip=PEER.ip, port=PEER.port, meta=b"", versions=versions), 0.0)
        self.nodes.clear()
        self.dissemination = Dissemination(self.membership, self.nodes, self.serf, self.envelope, LAN, compress=True)

    def gossip(self, now: float = 1.0) -> list[bytes]:
        packets = self.dissemination.gossip(2, now)
        assert all(packet.address == PEER for packet in packets)
        return [self.envelope.open_packet(packet.data) for packet in packets]


def test_nothing_to_tell_is_nothing_sent() -> None:
    assert Bench().gossip() == []


@pytest.mark.parametrize(("pmax", "checked"), [(5, True), (4, False)])
def test_a_checksum_is_for_members_known_to_understand_it(pmax: int, checked: bool) -> None:
    bench = Bench(pmax=pmax)
    bench.nodes.add(encode_message(Nack(sequence=1)))
    (packet,) = bench.gossip()
    assert (packet[0] == 12) is checked
    assert bench.dissemination.packet(PEER, [Nack(sequence=1)], 2).data[0] != 12  # by address alone nobody is known


@pytest.mark.parametrize("keys", [False, True])
@pytest.mark.parametrize("label", [b"", b"blue"])
def test_a_datagram_is_filled_up_to_the_budget_and_no_further(keys: bool, label: bytes) -> None:
    bench = Bench(keys=keys, label=label)
    rng = random.Random(2)
    for _ in range(40):
        bench.nodes.add(b"\x08" + rng.randbytes(99))
    for packet in (bench.dissemination.gossip(2, 1.0)[0], bench.dissemination.packet(PEER, [Nack(sequence=1)], 2)):
        assert len(packet.data) <= 1400 + 5  # the checksum is not counted, as in real peers
        assert len(packet.data) > 1300
        assert decode_packet(bench.envelope.open_packet(packet.data)).refused == []


def test_news_of_members_go_before_intents_queries_and_events() -> None:
    bench = Bench()
    queues = (bench.serf.events, bench.serf.queries, bench.serf.intents, bench.nodes)
    for queue, payload in zip(queues, (b"\x08d", b"\x08c", b"\x08b", b"\x08a"), strict=True):
        queue.add(payload)
    (packet,) = bench.gossip()
    assert [getattr(message, "payload", b"") for message in decode_packet(packet).messages] == [b"a", b"b", b"c", b"d"]


def test_the_dead_are_told_for_a_while_and_those_who_left_are_not() -> None:
    bench = Bench()
    bench.membership.on_dead(Dead(incarnation=1, node="peer", accuser="me"), 100.0)
    assert len(bench.gossip(130.0)) == 1
    assert bench.gossip(130.1) == []
    left = Bench()
    left.membership.on_dead(Dead(incarnation=1, node="peer", accuser="peer"), 100.0)
    assert left.gossip(100.1) == []


def test_a_member_without_news_does_not_wake_for_gossip_and_tells_the_first_at_once() -> None:
    envelope = Envelope(entropy=random.Random(1).randbytes)
    now = 0.0
    core = Core(CoreConfig("alone", Address(bytes((10, 0, 0, 1)), 7946), {}, LAN), envelope, random.Random(2), now)
    for queue in core.broadcast_queues():
        queue.clear()
    ticks = 0
    while now < 60:
        now = core.deadline
        core.tick(now)
        ticks += 1
    assert ticks <= 60 / LAN.probe_interval_s + 10
    core.user_event("deploy", b"", now, coalesce=False)
    assert core.deadline <= now
    core.tick(now)
    core.user_event("deploy", b"again", now, coalesce=False)
    assert core.deadline == pytest.approx(now + LAN.gossip_interval_s)
