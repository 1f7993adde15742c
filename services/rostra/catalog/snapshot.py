"""A catalog's snapshot: length-prefixed ``StateFrame`` messages in a fixed order, equal bytes for equal states.

Both directions go in small steps, so that the loop is never held: ``Saver`` captures the tables once and yields pieces
of about a millisecond's work; ``Loader`` takes bytes as they come and a bounded number of frames a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rostra.catalog.frames import (
    CONTENT,
    RECORDS,
    FrameReader,
    RecordCapture,
    decode_frame,
    encode_frame,
    pieces,
    put_record,
    record_of,
    require,
)
from rostra.catalog.restore import Staging
from rostra.catalog.results import Outcome
from rostra.catalog.state import CatalogState
from rostra.catalog.store import Store, fold
from rostra.errors import Conflict
from rostra.model.catalog import HealthStatus
from rostra.model.proto import autopilot_from_proto, autopilot_to_proto
from rostra.model.topics import ANY_CHECKS, NODES, SERVICES, Topic, TopicKind
from rostra.rpc.status import detail_from_error, error_from_detail
from rostra.v1 import command_pb2

FORMAT_VERSION: Final = 1
FRAMES_PER_STEP: Final = 64

_LISTS: Final = (NODES, SERVICES, ANY_CHECKS, *(Topic(TopicKind.CHECKS, status.value) for status in HealthStatus))
_ORDER: Final = ("preamble", *RECORDS, "topic_index", "autopilot", "result", "staged", *CONTENT, "trailer")
"""What comes after ``staged`` is of a restore that is under way."""
_STAGED: Final = _ORDER.index("staged")


class Saver:
    """Captures a state when it is made; the state may go on while it is encoded."""

    def __init__(self, state: CatalogState) -> None:
        self.last_index = state.applied_index
        self.last_term = state.applied_term
        self.time_ns = state.time_ns
        self._floor = state.topics.floor
        self._records = RecordCapture(state.store)
        self._service_names = list(state.store.name_uses)
        self._live, self._gone = state.topics.capture()
        self._autopilot = state.autopilot
        self._results = state.results.capture()
        self._staged, self._staged_records = _capture_staging(state.staging)
        self._staged_autopilot = state.staging.autopilot if state.staging is not None else None

    def pieces(self) -> Iterator[bytes]:
        """The snapshot in order, in small pieces."""
        return pieces(self._encoded())

    def _encoded(self) -> Iterator[bytes]:
        count = 0
        for count, frame in enumerate(self._frames(), 1):  # noqa: B007 (the last is the sum)
            yield encode_frame(frame)
        yield encode_frame(command_pb2.StateFrame(trailer=command_pb2.StateTrailer(frames=count)))

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
        yield from self._records.frames()
        for topic in self._live_topics(self._records.nodes[0]):
            if topic in self._live:  # else the floor says it: nothing of it changed since a restore
                yield _topic_frame(topic, self._live[topic])
        for topic, index in self._gone.items():
            yield _topic_frame(topic, index)
        if self._autopilot is not None:
            yield command_pb2.StateFrame(autopilot=autopilot_to_proto(self._autopilot))
        for request_id, outcome in self._results.items():
            yield command_pb2.StateFrame(
                result=command_pb2.RememberedResult(request_id=request_id, result=outcome_to_proto(outcome)),
            )
        if self._staged is not None:
            yield command_pb2.StateFrame(staged=self._staged)
            yield from self._staged_records.frames()
            if self._staged_autopilot is not None:
                yield command_pb2.StateFrame(autopilot=autopilot_to_proto(self._staged_autopilot))

    def _live_topics(self, nodes: Iterable[str]) -> Iterator[Topic]:
        """In a fixed order that needs no sorting of everything at once. Lists that never changed have no note."""
        yield from _LISTS
        yield from (Topic(TopicKind.SERVICE, name) for name in sorted({fold(name) for name in self._service_names}))
        yield from (Topic(TopicKind.NODE, name) for name in nodes)


def _topic_frame(topic: Topic, index: int) -> command_pb2.StateFrame:
    return command_pb2.StateFrame(topic_index=command_pb2.TopicIndex(kind=topic.kind.value, name=topic.name, index=index))


def _capture_staging(staging: Staging | None) -> tuple[command_pb2.StagedRestore | None, RecordCapture]:
    if staging is None:
        return None, RecordCapture(Store())
    head = command_pb2.StagedRestore(
        restore_id=staging.restore_id, next_number=staging.next_number, first_index=staging.first_index, time_ns=staging.time_ns
    )
    return head, RecordCapture(staging.store)


class Loader:
    """Rebuilds a state from the bytes of a snapshot. Raises ``Conflict`` for what is not one, whole and of this version."""

    def __init__(self) -> None:
        self._state = CatalogState()
        self._store = self._state.store
        self._reader = FrameReader()
        self._frames = 0
        self._place = 0
        self._floor = 0
        self._notes: list[tuple[Topic, int]] = []
        self._results: list[tuple[bytes, Outcome]] = []
        self._complete = False

    def feed(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._reader.feed(data)

    def step(self) -> bool:
        """Loads up to ``FRAMES_PER_STEP`` frames of what is here. Whether there may be more to load."""
        frames = self._reader.take(FRAMES_PER_STEP)
        for data in frames:
            self._load(data)
        return len(frames) == FRAMES_PER_STEP

    def finish(self) -> CatalogState:
        """The state, once everything was fed and loaded."""
        if not self._complete or not self._reader.is_empty:
            raise Conflict("the catalog's snapshot is cut off" if not self._complete else "the catalog's snapshot has bytes after its end")
        self._state.topics.load(self._floor, self._notes)
        self._state.results.load(self._results)
        return self._state

    def _load(self, data: bytes) -> None:
        frame = decode_frame(data)
        kind = frame.WhichOneof("content") or ""
        place = _place(kind, self._place)
        if place < 0 or self._complete or (place == 0) is not (self._frames == 0):
            raise Conflict(f"the catalog's snapshot has a frame out of place: {kind or 'of an unknown kind'}")
        self._place = place
        self._take(kind, frame)
        self._frames += 1

    def _take(self, kind: str, frame: command_pb2.StateFrame) -> None:
        match kind:
            case "preamble":
                self._take_preamble(frame.preamble)
            case "topic_index":
                note = frame.topic_index
                require(note.kind in {kind.value for kind in TopicKind}, "a topic of an unknown kind")
                self._notes.append((Topic(TopicKind(note.kind), note.name), note.index))
            case "autopilot":
                holder = self._state if self._state.staging is None else self._state.staging
                holder.autopilot = autopilot_from_proto(frame.autopilot)
            case "result":
                self._results.append((frame.result.request_id, outcome_from_proto(frame.result.result)))
            case "staged":
                self._take_staging(frame.staged)
            case "trailer":
                require(frame.trailer.frames == self._frames, f"{self._frames} frames and not {frame.trailer.frames}")
                self._complete = True
            case _:
                put_record(self._store, record_of(frame, self._store))

    def _take_preamble(self, preamble: command_pb2.StatePreamble) -> None:
        require(preamble.format_version == FORMAT_VERSION, f"format {preamble.format_version}, this version reads {FORMAT_VERSION}")
        self._state.applied_index = preamble.applied_index
        self._state.applied_term = preamble.applied_term
        self._state.time_ns = preamble.time_ns
        self._floor = preamble.forgotten_floor

    def _take_staging(self, head: command_pb2.StagedRestore) -> None:
        staging = self._state.staging = Staging(head.restore_id, head.first_index)
        staging.next_number, staging.time_ns = head.next_number, head.time_ns
        self._store = staging.store


def _place(kind: str, after: int) -> int:
    """The place in the order, not before ``after``; -1 where there is none."""
    return next((place for place in range(after, len(_ORDER)) if _ORDER[place] == kind and not _skips(kind, after, place)), -1)


def _skips(kind: str, after: int, place: int) -> bool:
    """What a restore brings stands behind ``staged`` only if ``staged`` has come."""
    return kind in CONTENT and after < _STAGED < place


def outcome_to_proto(outcome: Outcome) -> command_pb2.CommandResult:
    error = detail_from_error(outcome.error) if outcome.error is not None else None
    return command_pb2.CommandResult(index=outcome.index, error=error)


def outcome_from_proto(message: command_pb2.CommandResult) -> Outcome:
    return Outcome(message.index, error_from_detail(message.error) if message.HasField("error") else None)
