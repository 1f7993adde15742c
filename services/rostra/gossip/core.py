"""One member of one pool, sans-I/O: packets, streams and the time come in; packets, streams and events come out.

The parts know nothing of each other: ``membership`` decides who is alive, ``probe`` finds out, ``serf`` gives it the names people
use, ``events`` and ``queries`` carry what applications say, ``dissemination`` packs it all. This file only carries between them.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from rostra.gossip.address import Address
from rostra.gossip.awareness import Awareness
from rostra.gossip.broadcasts import BroadcastQueue
from rostra.gossip.coordinates import CoordinateClient, decode_coordinate, encode_coordinate
from rostra.gossip.departure import Departure, LeaveStep
from rostra.gossip.dissemination import Dissemination, SerfQueues
from rostra.gossip.effects import ExchangeDone, ExchangeKind, OpenStream, Output
from rostra.gossip.membership import Admit, Membership, Node, NodeState, admit_all
from rostra.gossip.merging import merge, size
from rostra.gossip.probe import Acked, PingStream, ProbeOutput, Prober, Send, reply_address
from rostra.gossip.queries import Key, QueryRequest
from rostra.gossip.serf import SerfLayer
from rostra.gossip.steps import Steps, Turns
from rostra.gossip.timing import Timing
from rostra.gossip.versions import OURS, Versions
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.errors import Reason, WireError
from rostra.gossip.wire.messages import (
    Ack,
    Alive,
    Dead,
    Err,
    IndirectPing,
    Nack,
    PacketMessage,
    Ping,
    PushPull,
    StreamMessage,
    Suspect,
    User,
)
from rostra.gossip.wire.packets import decode_packet
from rostra.gossip.wire.streams import encode_stream
from rostra.gossip.wire.tags import encode_tags, same_id


@dataclass(frozen=True, slots=True)
class CoreConfig:
    """Who we are in this pool, and how it runs."""

    name: str
    address: Address
    tags: Mapping[str, str]
    timing: Timing
    versions: Versions = OURS
    compress: bool = True
    admit: Admit = admit_all
    votes_on_names: bool = False


@dataclass(frozen=True, slots=True)
class _Exchange:
    kind: ExchangeKind
    address: Address
    ignore_old_events: bool = False
    sequence: int = 0


class Core:
    """Inputs are ``receive_…``, ``on_…``, ``tick`` and the commands; after each, ``take`` gives what is to be done and ``deadline`` says
    when to tick at the latest. Nothing here raises for what a peer sends: it is counted in ``refused``."""

    def __init__(self, config: CoreConfig, envelope: Envelope, rng: random.Random, now: float) -> None:
        timing = config.timing
        self.config = config
        self.refused: Counter[Reason] = Counter()
        self.is_finished = False
        self.is_settled = False
        self._envelope = envelope
        self._rng = rng
        self._output = Output()
        self._exchanges: dict[int, _Exchange] = {}
        self._merges = Turns()
        self._last_exchange = 0
        self._departure: Departure | None = None

        local = Node(config.name, config.address, encode_tags(config.tags), config.versions, 1, NodeState.ALIVE, now)
        self.awareness = Awareness(timing.awareness_max_multiplier)
        self.coordinates = CoordinateClient(rng)
        self._node_queue = BroadcastQueue(timing.retransmit_mult)
        self._serf_queues = SerfQueues(timing)
        self.membership = Membership(
            local, timing=timing, awareness=self.awareness, broadcasts=self._node_queue, rng=rng, admit=config.admit, same_node=same_id
        )
        self.serf = SerfLayer(self.membership, self._serf_queues, envelope.keyring, timing, rng, votes_on_names=config.votes_on_names)
        self._prober = Prober(self.membership, self.awareness, timing, rng, now + rng.random() * timing.probe_interval_s)
        self._dissemination = Dissemination(
            self.membership, self._node_queue, self._serf_queues, envelope, timing, compress=config.compress
        )
        self._gossip_at = now + rng.random() * timing.gossip_interval_s
        self._push_pull_at = now + rng.random() * timing.push_pull_interval_s
        self._reap_at = now + timing.reap_interval_s
        self._reconnect_at = now + timing.reconnect_interval_s
        self._carry(now)

    @property
    def deadline(self) -> float:
        if self.is_finished:
            return math.inf
        departure = self._departure.deadline if self._departure else math.inf
        return min(
            self._prober.deadline,
            self.membership.deadline,
            self.serf.deadline,
            # Without news nobody wakes five times a second to find none; the first ones after a quiet time go out at once.
            math.inf if self._dissemination.is_idle else self._gossip_at,
            self._push_pull_at,
            self._reap_at,
            self._reconnect_at,
            self._merges.deadline,
            departure,
        )

    def take(self) -> Output:
        output, self._output = self._output, Output()
        return output

    @property
    def keys(self) -> tuple[bytes, ...]:
        return self._envelope.keyring.keys if self._envelope.keyring else ()

    def stats(self) -> dict[str, int]:
        """Gauges, for metrics and operators."""
        queues = self._serf_queues
        return {
            "members": len(self.serf.members),
            "health_score": self.awareness.score,
            "member_time": self.serf.members.clock.time,
            "event_time": self.serf.events.clock.time,
            "query_time": self.serf.queries.clock.time,
            "queued_nodes": len(self._node_queue),
            "queued_intents": len(queues.intents),
            "queued_queries": len(queues.queries),
            "queued_events": len(queues.events),
            "queued_push_pulls": len(self._merges),
        }

    def broadcast_queues(self) -> tuple[BroadcastQueue, ...]:
        return self._node_queue, *self._serf_queues.in_order

    # Packets

    def receive_packet(self, data: bytes, source: Address, now: float) -> None:
        if self.is_finished:
            return
        try:
            packet = decode_packet(self._envelope.open_packet(data))
        except WireError as error:
            self.refused[error.reason] += 1
            return
        self.refused.update(error.reason for error in packet.refused)
        for message in packet.messages:
            try:
                self._on_message(message, source, now)
            except WireError as error:
                self.refused[error.reason] += 1
            self._carry(now)

    def _on_message(self, message: PacketMessage, source: Address, now: float) -> None:
        match message:
            case Ping():
                self._on_ping(message, source, now)
            case IndirectPing():
                self._probe_output([self._prober.on_indirect_ping(message, source, now)], now)
            case Ack():
                self._on_ack(message, now)
            case Nack():
                self._prober.on_nack(message)
            case Alive():
                self.membership.on_alive(message, now)
            case Suspect():
                self.membership.on_suspect(message, now)
            case Dead():
                self.membership.on_dead(message, now)
            case User(payload=payload):
                self.serf.on_message(payload, now)
            case _:
                assert_never(message)

    def _on_ping(self, ping: Ping, source: Address, now: float) -> None:
        if ping.node not in ("", self.config.name):
            raise WireError(Reason.NOT_FOR_US)
        address = reply_address(ping, source)
        if not address.is_usable:
            raise WireError(Reason.BAD_ADDRESS)
        ack = Ack(sequence=ping.sequence, payload=encode_coordinate(self.coordinates.coordinate))
        self._probe_output([Send(address, (ack,))], now)

    def _on_ack(self, ack: Ack, now: float) -> None:
        match self._prober.on_ack(ack, now):
            case Send() as send:
                self._probe_output([send], now)
            case Acked(node=node, payload=payload, round_trip_s=round_trip_s) if payload:
                self.coordinates.observe(node.name, decode_coordinate(payload), round_trip_s)
            case _:
                pass

    # Streams

    def receive_stream(self, message: StreamMessage, now: float) -> bytes | None:
        """What to answer on the stream on which ``message`` came, if anything."""
        if self.is_finished:
            return None
        try:
            answer = self._on_request(message, now)
        except WireError as error:
            self.refused[error.reason] += 1
            answer = None
        self._carry(now)
        return None if answer is None else self._sealed(answer, dialled=False)

    def refuse_stream(self, error: WireError) -> bytes | None:
        """A stream could not be read: what to answer. Only its lack of encryption is worth telling a stranger."""
        self.refused[error.reason] += 1
        if error.reason in (Reason.ENCRYPTED, Reason.NOT_ENCRYPTED, Reason.WRONG_KEY):
            return self._sealed(Err(error=error.detail or "no key of this pool opens the stream"), dialled=False)
        return None

    def _on_request(self, message: StreamMessage, now: float) -> StreamMessage | None:
        match message:
            case Ping(node=node, sequence=sequence):
                if node not in ("", self.config.name):
                    raise WireError(Reason.NOT_FOR_US)
                return Ack(sequence=sequence)
            case PushPull():
                if not self._merges.has_room(size(message)):
                    raise WireError(Reason.QUEUE_FULL, "push-pulls")
                state = self._state(join=message.join)  # before the merge: what we knew without the peer
                self._begin(self._merge(message, ignore_old_events=False), size(message), now)
                return state
            case User(payload=payload):
                self.serf.on_message(payload, now)
                return None
            case Ack() | Err():
                raise WireError(Reason.UNKNOWN_TYPE, "not a request")
            case _:
                assert_never(message)

    def on_stream_answer(self, exchange: int, answer: StreamMessage, now: float) -> None:
        known = self._exchanges[exchange]
        match answer:
            case PushPull() if known.kind is not ExchangeKind.PING:
                if self._merges.has_room(size(answer)):
                    self._begin(self._merge_answer(exchange, answer), size(answer), now)
                    return
                self.refused[Reason.QUEUE_FULL] += 1
                error = "too many push-pulls at once"
            case Ack(sequence=known.sequence) if known.kind is ExchangeKind.PING:
                self._prober.on_stream_ack(known.sequence)
                error = ""
            case Err(error=text):
                error = f"refused: {text}"
            case _:
                error = "answered with something else"
        self.on_stream_failure(exchange, error)

    def on_stream_failure(self, exchange: int, error: str) -> None:
        known = self._exchanges.pop(exchange)
        self._output.events.append(ExchangeDone(exchange, known.kind, known.address, error))

    # Push-pulls

    def _begin(self, steps: Steps[object], size: int, now: float) -> None:
        """The first turn at once, so that what is little is done when the call returns; the others come with ``tick``."""
        self._merges.add(steps, size, now)
        self._merge_on(now)

    def _merge_on(self, now: float) -> None:
        self._merges.run(now)
        self._carry(now)

    def _merge(self, remote: PushPull, *, ignore_old_events: bool) -> Steps[str]:
        """What was wrong with it, or nothing."""
        try:
            yield from merge(remote, self.membership, self.serf, self.refused, ignore_old_events=ignore_old_events)
        except WireError as error:
            self.refused[error.reason] += 1
            return str(error)
        self.is_settled = True
        return ""

    def _merge_answer(self, exchange: int, answer: PushPull) -> Steps[None]:
        known = self._exchanges[exchange]
        error = yield from self._merge(answer, ignore_old_events=known.ignore_old_events)
        now = yield 0
        if known.kind is ExchangeKind.JOIN and not error:
            self.serf.announce_join(now)
        self._carry(now)  # the members are reported before the end of the exchange that brought them
        self.on_stream_failure(exchange, error)

    def _state(self, *, join: bool) -> PushPull:
        return PushPull(join=join, rows=self.membership.rows(), user_state=self.serf.state())

    def _open(self, exchange: _Exchange, message: StreamMessage, now: float) -> int:
        self._last_exchange += 1
        self._exchanges[self._last_exchange] = exchange
        data = self._sealed(message, dialled=True)
        deadline = now + self.config.timing.stream_timeout_s
        self._output.streams.append(OpenStream(self._last_exchange, exchange.kind, exchange.address, data, deadline))
        return self._last_exchange

    def _sealed(self, message: StreamMessage, *, dialled: bool) -> bytes:
        return self._envelope.seal_stream(encode_stream(message, compress=self.config.compress), dialled=dialled)

    # Time

    def tick(self, now: float) -> None:
        """Do what is due at ``now``. Harmless at any other time."""
        if self.is_finished:
            return
        self._probe_output(self._prober.tick(now), now)
        self.membership.expire(now)
        self.serf.tick(now)
        self._merge_on(now)
        timing = self.config.timing
        if self._gossip_at <= now and not self._dissemination.is_idle:
            self._gossip_at = now + timing.gossip_interval_s
            self._output.packets += self._dissemination.gossip(len(self.serf.members), now)
        if self._push_pull_at <= now:
            self._push_pull_at = now + timing.push_pull_interval_s * push_pull_scale(len(self.membership.nodes))
            own = self.config.name
            for node in self.membership.choose(1, lambda node: node.state is NodeState.ALIVE and node.name != own):
                self._open(_Exchange(ExchangeKind.PUSH_PULL, node.address), self._state(join=False), now)
        if self._reap_at <= now:
            self._reap_at = now + timing.reap_interval_s
            for name in self.serf.reap(now):
                self.coordinates.forget(name)
                self.membership.forget(name)
            self._carry(now)
        if self._reconnect_at <= now:
            self._reconnect_at = now + timing.reconnect_interval_s
            if (address := self.serf.members.choose_failed()) is not None:
                self.join(address, now)
        while self._departure is not None and (progress := self._departure.tick(now)) is not None:
            self._carry(now)
            self._output.events.append(progress)
            self.is_finished = progress.step is LeaveStep.DONE

    def _probe_output(self, outputs: Sequence[ProbeOutput], now: float) -> None:
        for output in outputs:
            match output:
                case Send(address=address, messages=messages, node=node):
                    self._output.packets.append(self._dissemination.packet(address, messages, len(self.serf.members), node))
                case PingStream(node=node, ping=ping):
                    self._open(_Exchange(ExchangeKind.PING, node.address, sequence=ping.sequence), ping, now)
                case _:
                    assert_never(output)

    # Commands

    def join(self, address: Address, now: float, *, ignore_old_events: bool = True) -> int:
        """Exchange everything with the member at ``address``. An ``ExchangeDone`` with the number returned will follow."""
        return self._open(_Exchange(ExchangeKind.JOIN, address, ignore_old_events), self._state(join=True), now)

    def leave(self, now: float) -> None:
        """Begin to leave; ``LeaveProgress`` tells how it goes. A second call changes nothing."""
        if self._departure is not None or self.is_finished:
            return
        self.serf.members.is_leaving = True
        own = self.config.name
        alone = not any(node.name != own and not node.state.is_gone for node in self.membership.nodes.values())

        self._departure = Departure(self.config.timing, self._serf_queues.intents, self._node_queue, self.membership.leave, alone)
        self._output.events.append(self._departure.begin(self.serf.announce_leave(own, now), now))
        self._carry(now)

    def force_leave(self, name: str, now: float, *, prune: bool) -> None:
        """Say on behalf of a member that it leaves. One that is alive will contradict: this one does so by saying nothing."""
        if name == self.config.name:
            return
        self.serf.announce_leave(name, now, prune=prune)
        self._carry(now)

    def set_tags(self, tags: Mapping[str, str], now: float) -> None:
        self.membership.set_meta(encode_tags(tags))
        self._carry(now)

    def user_event(self, name: str, payload: bytes, now: float, *, coalesce: bool) -> None:
        """Tell every member, this one included. Raises ``BadRequest`` when it is too long to travel."""
        self.serf.user_event(name, payload, coalesce=coalesce)
        self._carry(now)

    def ask(self, request: QueryRequest, now: float) -> Key:
        """Ask every member; ``QueryAcked``, ``QueryAnswered`` and at last ``QueryClosed`` follow, with the key returned."""
        key = self.serf.ask(request, now)
        self._carry(now)
        return key

    def respond(self, key: Key, payload: bytes, now: float) -> None:
        """Answer a ``QueryReceived``."""
        self.serf.respond(key, payload, now)
        self._carry(now)

    def _carry(self, now: float) -> None:
        """What memberlist's layer found out, to Serf's; what that makes of it, to the outside."""
        for event in self.membership.take_events():
            self.serf.on_node_event(event, now)
        self._output.events += self.serf.take_events()
        self._output.packets += [self._dissemination.alone(*direct) for direct in self.serf.take_direct()]


def push_pull_scale(members: int) -> int:
    """Large pools exchange everything less often."""
    return 1 if members <= 32 else math.ceil(math.log2(members) - math.log2(32)) + 1
