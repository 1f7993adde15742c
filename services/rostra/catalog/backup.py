"""A catalog as a backup file, and a backup file as the pieces that a restore proposes: both as streams, in steps of a millisecond.

A backup holds the records and how the servers are kept, and nothing else: results of requests, indexes and what gossip knows are of
this cluster and this log.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from rostra.backup.archive import ArchiveReader, ArchiveWriter, BadSnapshot, Kind, Meta, Summary
from rostra.catalog.frames import CONTENT, LENGTH, RECORDS, FrameReader, RecordCapture, decode_frame, encode_frame, pieces, record_of
from rostra.catalog.state import CatalogState
from rostra.catalog.store import fold
from rostra.errors import BadRequest, Conflict, RostraError
from rostra.model.catalog import Check, Node, Registration, RestorePart, Service
from rostra.model.proto import autopilot_to_proto
from rostra.model.rules import check_registration
from rostra.v1 import command_pb2
from rostra.version import VERSION

PART_BYTES: Final = 32 * 1024
PART_FRAMES: Final = 128
"""A piece of a restore ends at whichever comes first: a few milliseconds' work for who applies it."""
FRAMES_AT_ONCE: Final = 64

NAMES: Final = dict(zip(CONTENT, ("nodes", "services", "checks", "autopilot"), strict=True))


class Backup:
    """Captures a state when it is made; the state may go on."""

    def __init__(self, state: CatalogState, cluster_id: str, datacenter: str) -> None:
        self.index = state.applied_index
        moment = datetime.fromtimestamp(state.time_ns / 1e9, UTC)
        self._meta = Meta(
            id=f"{state.applied_term}-{state.applied_index}-{state.time_ns // 10**6}",
            cluster=cluster_id,
            datacenter=datacenter,
            index=state.applied_index,
            term=state.applied_term,
            time=moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            software=f"rostra {VERSION}",
        )
        self._records = RecordCapture(state.store)
        self._autopilot = state.autopilot
        self._counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])

    def file(self) -> Iterator[bytes]:
        """The bytes of the file; an empty piece is a step without any."""
        writer = ArchiveWriter(self._meta)
        yield writer.begin()
        size = 0
        for piece in pieces(self._frames()):
            size += len(piece)
            yield writer.add(piece)
        shown = [NAMES[kind] for kind in CONTENT if kind in RECORDS or NAMES[kind] in self._counts]
        records = {name: Kind(*self._counts[name]) for name in shown}
        yield writer.finish(Summary(size=size, records=records))

    def _frames(self) -> Iterator[bytes]:
        for frame in self._content():
            data = encode_frame(frame)
            count = self._counts[NAMES[frame.WhichOneof("content") or ""]]
            count[0], count[1] = count[0] + 1, count[1] + len(data)
            yield data

    def _content(self) -> Iterator[command_pb2.StateFrame]:
        yield from self._records.frames()
        if self._autopilot is not None:
            yield command_pb2.StateFrame(autopilot=autopilot_to_proto(self._autopilot))


class BackupReader:
    """Reads a file and checks all that can be known before it is proposed: the archive, each record by the rules of every door, and that
    each stands on what came before it. ``frames`` of what was fed are given out one by one; raises ``BadSnapshot``."""

    def __init__(self) -> None:
        self._archive = ArchiveReader()
        self._frames = FrameReader()
        self._nodes: set[str] = set()
        self._services: set[tuple[str, str]] = set()
        self._place = 0

    @property
    def meta(self) -> Meta | None:
        return self._archive.meta

    def frames(self, data: bytes) -> Iterator[list[bytes]]:
        """The frames that ``data`` completes, in steps; an empty step is a step too."""
        for piece in self._archive.feed(data):
            self._frames.feed(piece)
            while True:
                try:
                    taken = self._frames.take(FRAMES_AT_ONCE)
                except Conflict as error:
                    raise BadSnapshot(str(error)) from None
                for frame in taken:
                    self._check(frame)
                yield taken
                if len(taken) < FRAMES_AT_ONCE:
                    break

    def finish(self) -> Summary:
        """Once the file has ended."""
        summary = self._archive.finish()
        if not self._frames.is_empty:
            raise BadSnapshot("the catalog's snapshot ends within a frame")
        return summary

    def _check(self, data: bytes) -> None:
        try:
            frame = decode_frame(data)
            kind = frame.WhichOneof("content")
            if kind not in CONTENT or CONTENT.index(kind) < self._place:
                raise Conflict(f"the catalog's snapshot has a frame out of place: {kind or 'of an unknown kind'}")
            self._place = CONTENT.index(kind)
            if kind != "autopilot":
                self._check_record(*record_of(frame, self._nodes))
        except RostraError as error:
            raise BadSnapshot(str(error)) from None

    def _check_record(self, name: str, record: Node | Service | Check) -> None:
        match record:
            case Node():
                if name in self._nodes:
                    raise BadRequest(f"node {record.name} is there twice", field="Node")
                check_registration(Registration(record, skip_node_update=True))
                self._nodes.add(name)
            case Service():
                if not record.id:
                    raise BadRequest("Must provide service ID", field="Service.ID")
                check_registration(Registration(Node(name, ""), skip_node_update=True, service=record))
                self._services.add((name, fold(record.id)))
            case Check():
                if not record.check_id:
                    raise BadRequest(f"a check of node {record.node} has no ID", field="Check.CheckID")
                if record.service_id and (name, fold(record.service_id)) not in self._services:
                    raise BadRequest(f"check {record.check_id} of node {record.node} is of a service that is not there", field="Check")
                check_registration(Registration(Node(record.node, ""), skip_node_update=True, checks=(record,)))


class PartMaker:
    """Frames as the pieces of a restore, numbered from 0."""

    def __init__(self, restore_id: bytes) -> None:
        self._restore_id = restore_id
        self._held: list[bytes] = []
        self._size = 0
        self._number = 0

    def add(self, frames: Iterable[bytes]) -> Iterator[RestorePart]:
        """The pieces that these frames complete."""
        for data in frames:
            if self._held and (self._size + len(data) > PART_BYTES or len(self._held) >= 2 * PART_FRAMES):
                yield self._part(last=False)
            self._held += [LENGTH.pack(len(data)), data]
            self._size += len(data)

    def finish(self) -> RestorePart:
        """The last piece, perhaps an empty one."""
        return self._part(last=True)

    def _part(self, *, last: bool) -> RestorePart:
        part = RestorePart(self._restore_id, self._number, zlib.compress(b"".join(self._held), 1), last)
        self._held, self._size, self._number = [], 0, self._number + 1
        return part
