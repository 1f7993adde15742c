"""Simulated members of a pool, on real sockets: each has an address of its own on 127.0.0.0/8 and answers what a member is asked.

They know all of each other from the start and find nobody dead; all that they say, they say to the one real member that is measured. So
one thread stands for a thousand of them, and its own speed hardly matters to what is measured.
"""

from __future__ import annotations

import heapq
import itertools
import random
import selectors
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress

from rostra.gossip.address import Address
from rostra.gossip.broadcasts import retransmit_limit
from rostra.gossip.coordinates import encode_coordinate
from rostra.gossip.timing import LAN
from rostra.gossip.versions import OURS
from rostra.gossip.wire.envelope import Envelope
from rostra.gossip.wire.errors import WireError
from rostra.gossip.wire.messages import (
    Ack,
    Alive,
    Dead,
    IndirectPing,
    MessageType,
    PacketMessage,
    Ping,
    PushPull,
    Row,
    RowState,
    StreamMessage,
    Suspect,
    decode_row,
    encode_message,
    encode_row,
)
from rostra.gossip.wire.packets import compress_message, decode_packet, encode_packet
from rostra.gossip.wire.serf_messages import SerfState, encode_serf_state
from rostra.gossip.wire.streams import StreamDecoder, encode_stream
from rostra.gossip.wire.tags import encode_tags
from rostra.model.coordinates import Coordinate

STREAM_TIMEOUT_S = 10.0
GOSSIP_PACKETS_S = LAN.gossip_nodes / LAN.gossip_interval_s
"""What every member sends at most beside its probes, and so what every member gets on average."""


class Peers:
    """``count`` members; ``target`` is the real one. Run by a thread of its own from ``start`` to ``stop``."""

    def __init__(
        self, count: int, port: int, target: Address, seed: int, envelope: Envelope | None = None, *, compress: bool = False
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.names = [f"peer-{number}" for number in range(count)]
        self.addresses = [Address(bytes((127, 20, number // 250, number % 250 + 1)), port) for number in range(count)]
        self._target = target
        self._to = (target.host, target.port)
        self._rng = random.Random(seed)
        self._compress = compress
        self._envelope = envelope or Envelope(entropy=random.randbytes)
        self._incarnations = [1] * count
        self._metas = [self._meta() for _ in range(count)]
        self._selector = selectors.DefaultSelector()
        self._packets: list[socket.socket] = []
        self._listeners: list[socket.socket] = []
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._stopping = threading.Event()
        self._news: list[bytes] = []
        self._sequences = itertools.count(1)
        self._coordinate = encode_coordinate(Coordinate())
        self.churn_s = 0.0
        self.flood_until = 0.0
        self._thread = threading.Thread(target=self._run, name="peers")

    # Life

    def start(self, listening: int | None = None) -> None:
        """Open the sockets, ``listening`` of them (all) for streams too."""
        for number, address in enumerate(self.addresses):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.setblocking(False)
            udp.bind((address.host, address.port))
            self._packets.append(udp)
            self._selector.register(udp, selectors.EVENT_READ, number)
            if listening is None or number < listening:
                tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tcp.bind((address.host, address.port))
                tcp.listen(8)
                self._listeners.append(tcp)
                self._selector.register(tcp, selectors.EVENT_READ, number)
        now = time.monotonic()
        self._at(now, self._probe)
        self._at(now, self._gossip)
        self._at(now, self._change)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._selector.close()
        for each in (*self._packets, *self._listeners):
            each.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                when, _, action = heapq.heappop(self._due)
                action(when)
            for key, _ in self._selector.select(min(0.1, max(0.0, self._due[0][0] - now))):
                if key.fileobj in self._listeners:
                    self._on_connection(key.data)
                else:
                    self._on_readable(key.data)

    def _at(self, when: float, action: Callable[[float], None]) -> None:
        heapq.heappush(self._due, (when, next(self._order), action))

    # What all of them together say to one member

    def introduce(self) -> list[Row]:
        """The first peer joins the member, and so the member learns of all of them. What the member answered."""
        return self.exchange(join=True)

    def exchange(self, *, join: bool = False) -> list[Row]:
        """A push-pull of the first peer with the member: what the member said."""
        with socket.create_connection(self._to, STREAM_TIMEOUT_S, (self.addresses[0].host, 0)) as stream:
            stream.sendall(self._sealed(self._state(join=join), dialled=True))
            answer = _receive(stream, StreamDecoder(self._envelope, dialled=False))
        assert isinstance(answer, PushPull), answer
        return [decode_row(row) for row in answer.rows]

    def _probe(self, when: float) -> None:
        """Each of n members probes this one every n intervals."""
        self._at(when + LAN.probe_interval_s, self._probe)
        number = self._rng.randrange(len(self.names))
        self._send(number, [encode_message(self._ping(number))])
        self.counters["pings"] += 1

    def _change(self, when: float) -> None:
        """Some member has new tags; the one that is measured hears of it as often as every other does."""
        if not self.churn_s:
            self._at(when + 0.1, self._change)
            return
        self._at(when + 1 / self.churn_s, self._change)
        number = self._rng.randrange(len(self.names))
        self._renew(number, self._incarnations[number] + 1)
        self.counters["changes"] += 1

    def _renew(self, number: int, incarnation: int) -> None:
        self._incarnations[number], self._metas[number] = incarnation, self._meta()
        news = encode_message(self._alive(number))
        copies = retransmit_limit(LAN.retransmit_mult, len(self.names) + 1)
        self._news += [news] * copies
        self._rng.shuffle(self._news)

    def _gossip(self, when: float) -> None:
        """A packet full of news."""
        self._at(when + 1 / GOSSIP_PACKETS_S, self._gossip)
        parts: list[bytes] = []
        while self._news and sum(len(part) + 2 for part in parts) + len(self._news[-1]) + 2 < LAN.packet_bytes:
            parts.append(self._news.pop())
        if parts:
            self._send(self._rng.randrange(len(self.names)), parts)
            self.counters["gossip packets"] += 1

    def flood(self, seconds: float, window: int = 32) -> tuple[int, float]:
        """So many peers ping without a pause, each again when it is answered. Acks, and how long it took."""
        began = time.monotonic()
        before = self.counters["flood acks"]
        self.flood_until = began + seconds
        for number in range(window):
            self._send(number, [encode_message(self._ping(number))])
        while time.monotonic() < self.flood_until:
            time.sleep(0.05)
        return self.counters["flood acks"] - before, time.monotonic() - began

    # What each of them answers

    def _on_readable(self, number: int) -> None:
        with suppress(BlockingIOError, ConnectionError):
            for _ in range(64):
                data, source = self._packets[number].recvfrom(65_535)
                self.counters["packets"] += 1
                self.counters["bytes"] += len(data)
                if time.monotonic() < self.flood_until and self._is_ack(data):
                    self.counters["flood acks"] += 1
                    self._send(number, [encode_message(self._ping(number))])
                    continue
                for message in decode_packet(self._envelope.open_packet(data)).messages:
                    self._on_message(number, message, Address.parse(*source))

    @staticmethod
    def _is_ack(data: bytes) -> bool:
        start = 5 if data[0] == MessageType.HAS_CRC else 0
        return data[start] in (MessageType.ACK, MessageType.COMPRESS)

    def _on_message(self, number: int, message: PacketMessage, source: Address) -> None:
        match message:
            case Ping(node=node, sequence=sequence):
                if node == self.names[number]:
                    self._send(number, [encode_message(Ack(sequence=sequence, payload=self._coordinate))])
                    self.counters["acks"] += 1
            case IndirectPing(sequence=sequence):  # every peer lives
                self._send(number, [encode_message(Ack(sequence=sequence))])
            case Suspect(node=node, incarnation=incarnation) | Dead(node=node, incarnation=incarnation) if node.startswith("peer-"):
                accused = int(node.removeprefix("peer-"))
                self.counters["accusations"] += 1
                if incarnation >= self._incarnations[accused]:
                    self._renew(accused, incarnation + 1)
            case _:
                pass

    def _on_connection(self, number: int) -> None:
        with suppress(OSError, WireError):
            stream, _ = self._listeners[number].accept()
            with stream:
                stream.settimeout(STREAM_TIMEOUT_S)
                match _receive(stream, StreamDecoder(self._envelope, dialled=True)):
                    case Ping(sequence=sequence):
                        self.counters["stream pings"] += 1
                        stream.sendall(self._sealed(Ack(sequence=sequence), dialled=False))
                    case PushPull():
                        self.counters["push-pulls"] += 1
                        stream.sendall(self._sealed(self._state(join=False), dialled=False))
                    case _:
                        pass

    # Messages

    def _meta(self) -> bytes:
        tags = {"role": "node", "dc": "dc1", "id": str(uuid.UUID(int=self._rng.getrandbits(128))), "vsn": "2", "build": "1.0.0"}
        return encode_tags(tags)

    def _alive(self, number: int) -> Alive:
        ip, port = self.addresses[number]
        name, meta = self.names[number], self._metas[number]
        return Alive(incarnation=self._incarnations[number], node=name, ip=ip, port=port, meta=meta, versions=bytes(OURS))

    def _ping(self, number: int) -> Ping:
        ip, port = self.addresses[number]
        return Ping(sequence=next(self._sequences) % 2**32, node="", source_ip=ip, source_port=port, source_node=self.names[number])

    def rows(self) -> Iterable[Row]:
        for number, name in enumerate(self.names):
            ip, port = self.addresses[number]
            yield Row(
                name=name,
                ip=ip,
                port=port,
                meta=self._metas[number],
                incarnation=self._incarnations[number],
                state=RowState.ALIVE,
                versions=bytes(OURS),
            )

    def _state(self, *, join: bool) -> PushPull:
        ltimes = dict.fromkeys(self.names, 1)
        state = SerfState(ltime=2, status_ltimes=ltimes, left_members=(), event_ltime=1, events=(), query_ltime=1)
        return PushPull(join=join, rows=tuple(map(encode_row, self.rows())), user_state=encode_serf_state(state))

    def _sealed(self, message: StreamMessage, *, dialled: bool) -> bytes:
        content = encode_stream(message, compress=False)
        return self._envelope.seal_stream(compress_message(content) if self._compress else content, dialled=dialled)

    def _send(self, number: int, parts: list[bytes]) -> None:
        data = self._envelope.seal_packet(encode_packet(parts, compress=False, checksum=True))
        with suppress(BlockingIOError, ConnectionError):
            self._packets[number].sendto(data, self._to)


def _receive(stream: socket.socket, decoder: StreamDecoder) -> StreamMessage | None:
    while data := stream.recv(65_536):
        if (message := decoder.feed(data)) is not None:
            return message
    return None
