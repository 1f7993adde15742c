"""Failure detection, probe by probe (SWIM section 3.1, Lifeguard; gossip-wire section 10)."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager

import pytest

from rostra.gossip.address import Address
from rostra.gossip.awareness import Awareness
from rostra.gossip.broadcasts import BroadcastQueue
from rostra.gossip.membership import Membership, Node, NodeState
from rostra.gossip.probe import Acked, PingStream, Prober, Send
from rostra.gossip.timing import LAN
from rostra.gossip.versions import OURS, Versions
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.messages import Ack, Alive, IndirectPing, Nack, Ping, Suspect

SOURCE = Address(bytes((10, 9, 9, 9)), 1234)


def address(number: int) -> Address:
    return Address(bytes((10, 0, 0, number)), 7946)


def stale() -> AbstractContextManager[object]:
    """What comes late, or was replayed, is refused for that reason."""
    return pytest.raises(WireError, match=Reason.STALE)


class Bench:
    """``me`` and some peers; the first probe is due at 0."""

    def __init__(self, peers: int, versions: Versions = OURS) -> None:
        self.awareness = Awareness(LAN.awareness_max_multiplier)
        local = Node("me", address(1), b"", OURS, 1, NodeState.ALIVE, 0.0)
        rng = random.Random(1)
        self.membership = Membership(local, timing=LAN, awareness=self.awareness, broadcasts=BroadcastQueue(4), rng=rng)
        for number in range(peers):
            self.membership.on_alive(
                Alive(
                    incarnation=1,
                    node=f"p{number}",
                    ip=address(number + 2).ip,
                    port=7946,
                    meta=b"",
                    versions=bytes(versions),
                ),
                0.0,
            )
        self.prober = Prober(self.membership, self.awareness, LAN, rng, 0.0)

    def ping(self, now: float) -> tuple[Ping, Send]:
        (output,) = self.prober.tick(now)
        assert isinstance(output, Send)
        message = output.messages[0]
        assert isinstance(message, Ping)
        return message, output

    def first_ping(self) -> tuple[Ping, float]:
        """The wrap of the ring may cost a turn; the ping and when it went out."""
        for turn in range(3):
            outputs = self.prober.tick(float(turn))
            if outputs:
                assert isinstance(outputs[0], Send)
                message = outputs[0].messages[0]
                assert isinstance(message, Ping)
                return message, float(turn)
        raise AssertionError("nobody was probed")


def test_a_member_alone_probes_nobody() -> None:
    bench = Bench(0)
    for turn in range(5):
        assert bench.prober.tick(float(turn)) == []


def test_every_member_is_probed_once_in_a_round() -> None:
    bench = Bench(5)
    probed = []
    for turn in range(12):
        for output in bench.prober.tick(float(turn)):
            assert isinstance(output, Send)
            message = output.messages[0]
            assert isinstance(message, Ping)
            probed.append(message.node)
            assert isinstance(bench.prober.on_ack(Ack(sequence=message.sequence), turn + 0.01), Acked)
    assert len(probed) == 12
    assert set(probed[:6]) == set(probed[5:11]) == {f"p{number}" for number in range(5)}


def test_an_ack_gives_the_round_trip_and_the_coordinate() -> None:
    bench = Bench(1)
    ping, at = bench.first_ping()
    bench.awareness.adjust(2)
    acked = bench.prober.on_ack(Ack(sequence=ping.sequence, payload=b"xyz"), at + 0.25)
    assert isinstance(acked, Acked)
    assert (acked.node.name, acked.payload, acked.round_trip_s) == ("p0", b"xyz", 0.25)
    assert bench.awareness.score == 1
    with stale():
        bench.prober.on_ack(Ack(sequence=ping.sequence), at + 0.3)


def test_without_an_ack_others_are_asked_and_tcp_is_tried() -> None:
    bench = Bench(5)
    ping, at = bench.first_ping()
    assert bench.prober.deadline == at + 0.5
    outputs = bench.prober.tick(at + 0.5)
    requests = [output for output in outputs if isinstance(output, Send)]
    assert len(requests) == 3
    for request in requests:
        message = request.messages[0]
        assert isinstance(message, IndirectPing)
        assert (message.sequence, message.node, message.nack) == (ping.sequence, ping.node, True)
        assert Address(message.target_ip, message.target_port) != request.address
    streams = [output for output in outputs if isinstance(output, PingStream)]
    assert [(stream.node.name, stream.ping.sequence) for stream in streams] == [(ping.node, ping.sequence)]


@pytest.mark.parametrize(("pmax", "nack", "streams"), [(5, True, 1), (4, True, 1), (3, False, 1), (2, False, 0)])
def test_old_peers_are_spared_what_they_do_not_know(pmax: int, nack: bool, streams: int) -> None:
    bench = Bench(2, Versions(1, pmax, 2, 2, 5, 4))
    _, at = bench.first_ping()
    outputs = bench.prober.tick(at + 0.5)
    asked = [output.messages[0] for output in outputs if isinstance(output, Send)]
    assert [message.nack for message in asked if isinstance(message, IndirectPing)] == [nack]
    assert len(outputs) - len(asked) == streams


def test_who_does_not_answer_in_the_interval_is_suspected_and_the_next_is_probed() -> None:
    bench = Bench(5)
    ping, at = bench.first_ping()
    bench.prober.tick(at + 0.5)
    assert bench.membership.nodes[ping.node].state is NodeState.ALIVE
    next_ping, _ = bench.ping(at + 1.0)
    assert bench.membership.nodes[ping.node].state is NodeState.SUSPECT
    assert next_ping.node != ping.node


def test_an_ack_by_way_of_others_is_as_good_though_late() -> None:
    bench = Bench(5)
    ping, at = bench.first_ping()
    bench.prober.tick(at + 0.5)
    assert isinstance(bench.prober.on_ack(Ack(sequence=ping.sequence), at + 0.9), Acked)
    bench.prober.tick(at + 1.0)
    assert bench.membership.nodes[ping.node].state is NodeState.ALIVE


def test_an_answer_over_tcp_alone_is_life_too() -> None:
    bench = Bench(5)
    ping, at = bench.first_ping()
    bench.prober.tick(at + 0.5)
    bench.prober.on_stream_ack(ping.sequence)
    bench.prober.tick(at + 1.0)
    assert bench.membership.nodes[ping.node].state is NodeState.ALIVE
    assert bench.awareness.score == 0


@pytest.mark.parametrize(("nacks", "score"), [(0, 3), (1, 2), (3, 0), (9, 0)])
def test_missing_nacks_speak_against_ourselves(nacks: int, score: int) -> None:
    bench = Bench(5)
    ping, at = bench.first_ping()
    bench.prober.tick(at + 0.5)
    for _ in range(nacks):
        bench.prober.on_nack(Nack(sequence=ping.sequence))
    with stale():
        bench.prober.on_nack(Nack(sequence=ping.sequence + 1))
    bench.prober.tick(at + 1.0)
    assert bench.awareness.score == score


def test_who_had_nobody_to_ask_doubts_itself() -> None:
    bench = Bench(1)
    _, at = bench.first_ping()
    bench.prober.tick(at + 0.5)
    bench.prober.tick(at + 1.0)
    assert bench.awareness.score == 1


def test_poor_health_gives_others_more_time() -> None:
    bench = Bench(5)
    bench.awareness.adjust(3)
    ping, at = bench.first_ping()
    bench.prober.tick(at + 0.5)
    bench.prober.tick(at + 3.9)
    assert bench.membership.nodes[ping.node].state is NodeState.ALIVE
    bench.prober.tick(at + 4.0)
    assert bench.membership.nodes[ping.node].state is NodeState.SUSPECT


def test_a_suspect_is_told_of_the_suspicion_with_the_probe() -> None:
    bench = Bench(1)
    bench.membership.on_suspect(Suspect(incarnation=1, node="p0", accuser="x"), 0.0)
    outputs = [output for turn in range(3) for output in bench.prober.tick(float(turn)) if isinstance(output, Send)]
    assert outputs[0].messages[1] == Suspect(incarnation=1, node="p0", accuser="me")


class TestForOthers:
    def request(self, *, nack: bool = True, node: str = "p0") -> IndirectPing:
        return IndirectPing(
            sequence=77, node=node, target_ip=address(2).ip, target_port=7946, nack=nack, source_ip=address(5).ip, source_port=7000
        )

    def test_an_ack_is_relayed_with_their_number_and_without_payload(self) -> None:
        bench = Bench(1)
        sent = bench.prober.on_indirect_ping(self.request(), SOURCE, 10.0)
        ping = sent.messages[0]
        assert isinstance(ping, Ping)
        assert (sent.address, ping.node) == (address(2), "p0")
        assert bench.prober.on_ack(Ack(sequence=ping.sequence, payload=b"c"), 10.1) == Send(
            Address(address(5).ip, 7000), (Ack(sequence=77),)
        )
        with stale():
            bench.prober.on_ack(Ack(sequence=ping.sequence), 10.2)

    @pytest.mark.parametrize("nack", [True, False])
    def test_silence_is_reported_only_if_wanted(self, nack: bool) -> None:
        bench = Bench(0)
        bench.prober.on_indirect_ping(self.request(nack=nack), SOURCE, 10.0)
        bench.prober.tick(10.4)
        outputs = bench.prober.tick(10.5)
        assert outputs == ([Send(Address(address(5).ip, 7000), (Nack(sequence=77),))] if nack else [])

    def test_who_gives_no_address_is_answered_where_it_came_from(self) -> None:
        bench = Bench(0)
        bench.prober.on_indirect_ping(IndirectPing(sequence=1, node="x", target_ip=address(2).ip, target_port=1, nack=True), SOURCE, 10.0)
        assert bench.prober.tick(10.5) == [Send(SOURCE, (Nack(sequence=1),))]

    def test_there_is_a_limit_to_how_many_are_served_at_once(self) -> None:
        bench = Bench(0)
        for _ in range(1024):
            bench.prober.on_indirect_ping(self.request(), SOURCE, 10.0)
        with pytest.raises(WireError):
            bench.prober.on_indirect_ping(self.request(), SOURCE, 10.0)
        bench.prober.tick(11.0)
        bench.prober.on_indirect_ping(self.request(), SOURCE, 11.0)
