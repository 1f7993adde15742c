"""A catalog's snapshot: length-prefixed ``StateFrame`` messages in a fixed order, equal bytes for equal states.

Both directions go in small steps, so that the loop is never held: ``Saver`` captures the tables once and yields pieces
of about a millisecond's work; ``Loader`` takes bytes as they come and a bounded number of frames a step.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from google.protobuf.message import DecodeError

from rostra.catalog.results import Outcome
from rostra.catalog.state import CatalogState
from rostra.catalog.store import fold
from rostra.errors import Conflict
from rostra.model.catalog import HealthStatus
from rostra.model.proto import (
    autopilot_from_proto,
    autopilot_to_proto,
    check_from_proto,
    check_to_proto,
    node_from_proto,
    node_to_proto,
    service_from_proto,
    service_to_proto,
)
from rostra.model.topics import ANY_CHECKS, NODES, SERVICES, Topic, TopicKind
from rostra.rpc.status import detail_from_error, error_from_detail
from rostra.v1 import command_pb2

FORMAT_VERSION: Final = 1
PIECE_SIZE: Final = 16 * 1024
FRAMES_PER_PIECE: Final = 64
"""A piece ends at whichever comes first: about a millisecond's work."""
MAX_FRAME_SIZE: Final = 1024 * 1024
FRAMES_PER_STEP: Final = 64

_LISTS: Final = (NODES, SERVICES, ANY_CHECKS, *(Topic(TopicKind.CHECKS, status.value) for status in HealthStatus))
_LENGTH: Final = struct.Struct(">I")
_ORDER: Final = ("preamble", "node", "service", "check", "topic_index", "autopilot", "result", "trailer")


class Saver:
    """Captures a state when it is made; the state may go on while it is encoded."""

    def __init__(self, state: CatalogState) -> None:
        self.last_index = state.applied_index
        self.last_term = state.applied_term
        self.time_ns = state.time_ns
        self._floor = state.topics.floor
        self._nodes = state.store.nodes.capture()
        self._services = state.store.services.capture()
        self._checks = state.store.checks.capture()
        self._service_names = list(state.store.name_uses)
        self._live, self._gone = state.topics.capture()
        self._autopilot = state.autopilot
        self._results = state.results.capture()

    def pieces(self) -> Iterator[bytes]:
        """The snapshot in order, in small pieces."""
        held, size, count = [], 0, 0
        for frame in self._frames():
            data = frame.SerializeToString(deterministic=True)
            held += [_LENGTH.pack(len(data)), data]
            size, count = size + _LENGTH.size + len(data), count + 1
            if size >= PIECE_SIZE or count % FRAMES_PER_PIECE == 0:
                yield b"".join(held)
                held, size = [], 0
        data = command_pb2.StateFrame(trailer=command_pb2.StateTrailer(frames=count)).SerializeToString()
        yield b"".join([*held, _LENGTH.pack(len(data)), data])

    def _frames(self) -> Iterator[command_pb2.StateFrame]:
        yield command_pb2.StateFrame(
            preamble=command_pb2.StatePreamble(
                format_version=FORMAT_VERSION,
                applied_index=self.last_index,
                applied_term=self.last_term,
                time_ns=self.time_ns,
                forgotten_floor=self._floor,
            )
        )
        names, nodes = self._nodes
        for name in names:
            yield command_pb2.StateFrame(node=node_to_proto(nodes[name]))
        keys, services = self._services
        for key in keys:
            record = command_pb2.ServiceRecord(node=nodes[key[0]].name, service=service_to_proto(services[key]))
            yield command_pb2.StateFrame(service=record)
        keys, checks = self._checks
        for key in keys:
            yield command_pb2.StateFrame(check=check_to_proto(checks[key]))
        for topic in self._live_topics(names):
            yield _topic_frame(topic, self._live[topic])
        for topic, index in self._gone.items():
            yield _topic_frame(topic, index)
        if self._autopilot is not None:
            yield command_pb2.StateFrame(autopilot=autopilot_to_proto(self._autopilot))
        for request_id, outcome in self._results.items():
            yield command_pb2.StateFrame(
                result=command_pb2.RememberedResult(request_id=request_id, result=outcome_to_proto(outcome)),
            )

    def _live_topics(self, nodes: Iterable[str]) -> Iterator[Topic]:
        """In a fixed order that needs no sorting of everything at once. Lists that never changed have no note."""
        yield from (topic for topic in _LISTS if topic in self._live)
        yield from (Topic(TopicKind.SERVICE, name) for name in sorted({fold(name) for name in self._service_names}))
        yield from (Topic(TopicKind.NODE, name) for name in nodes)


def _topic_frame(topic: Topic, index: int) -> command_pb2.StateFrame:
    return command_pb2.StateFrame(topic_index=command_pb2.TopicIndex(kind=topic.kind.value, name=topic.name, index=index))


class Loader:
    """Rebuilds a state from the bytes of a snapshot. Raises ``Conflict`` for what is not one, whole and of this version."""

    def __init__(self) -> None:
        self._state = CatalogState()
        self._buffer = bytearray()
        self._frames = 0
        self._place = 0
        self._floor = 0
        self._notes: list[tuple[Topic, int]] = []
        self._results: list[tuple[bytes, Outcome]] = []
        self._complete = False

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._buffer += data

    def step(self) -> bool:
        """Loads up to ``FRAMES_PER_STEP`` frames of what is here. Whether there may be more to load."""
        offset, loaded = 0, 0
        while loaded < FRAMES_PER_STEP and len(self._buffer) - offset >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, offset)
            if length > MAX_FRAME_SIZE:
                raise Conflict(f"the catalog's snapshot has a frame of {length} bytes")
            end = offset + _LENGTH.size + length
            if end > len(self._buffer):
                break
            self._load(bytes(self._buffer[offset + _LENGTH.size : end]))
            offset, loaded = end, loaded + 1
        del self._buffer[:offset]
        return loaded == FRAMES_PER_STEP

    def finish(self) -> CatalogState:
        """The state, once everything was fed and loaded."""
        if not self._complete or self._buffer:
            raise Conflict("the catalog's snapshot is cut off" if not self._complete else "the catalog's snapshot has bytes after its end")
        self._state.topics.load(self._floor, self._notes)
        self._state.results.load(self._results)
        return self._state

    def _load(self, data: bytes) -> None:
        try:
            frame = command_pb2.StateFrame.FromString(data)
        except DecodeError:
            raise Conflict("the catalog's snapshot has a frame that is none") from None
        kind = frame.WhichOneof("content")
        place = _ORDER.index(kind) if kind is not None else -1
        if place < self._place or self._complete or (place == 0) is not (self._frames == 0):
            raise Conflict(f"the catalog's snapshot has a frame out of place: {kind or 'of an unknown kind'}")
        self._place = place
        self._take(kind or "", frame)
        self._frames += 1

    def _take(self, kind: str, frame: command_pb2.StateFrame) -> None:
        store = self._state.store
        match kind:
            case "preamble":
                self._take_preamble(frame.preamble)
            case "node":
                node = node_from_proto(frame.node)
                store.set_node(fold(node.name), node)
            case "service":
                node_key = fold(frame.service.node)
                self._require(node_key in store.nodes, "a service without its node")
                service = service_from_proto(frame.service.service)
                store.set_service((node_key, fold(service.id)), service)
            case "check":
                check = check_from_proto(frame.check)
                node_key = fold(check.node)
                self._require(node_key in store.nodes, "a check without its node")
                store.set_check((node_key, fold(check.check_id)), check)
            case "topic_index":
                note = frame.topic_index
                self._require(note.kind in {kind.value for kind in TopicKind}, "a topic of an unknown kind")
                self._notes.append((Topic(TopicKind(note.kind), note.name), note.index))
            case "autopilot":
                self._state.autopilot = autopilot_from_proto(frame.autopilot)
            case "result":
                self._results.append((frame.result.request_id, outcome_from_proto(frame.result.result)))
            case "trailer":
                self._require(frame.trailer.frames == self._frames, f"{self._frames} frames and not {frame.trailer.frames}")
                self._complete = True
        store.commit()

    def _take_preamble(self, preamble: command_pb2.StatePreamble) -> None:
        self._require(preamble.format_version == FORMAT_VERSION, f"format {preamble.format_version}, this version reads {FORMAT_VERSION}")
        self._state.applied_index = preamble.applied_index
        self._state.applied_term = preamble.applied_term
        self._state.time_ns = preamble.time_ns
        self._floor = preamble.forgotten_floor

    def _require(self, holds: bool, problem: str) -> None:
        if not holds:
            raise Conflict(f"the catalog's snapshot has {problem}")


def outcome_to_proto(outcome: Outcome) -> command_pb2.CommandResult:
    error = detail_from_error(outcome.error) if outcome.error is not None else None
    return command_pb2.CommandResult(index=outcome.index, error=error)


def outcome_from_proto(message: command_pb2.CommandResult) -> Outcome:
    return Outcome(message.index, error_from_detail(message.error) if message.HasField("error") else None)
