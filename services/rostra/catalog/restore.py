"""A restore as the log brings it: pieces of another state, gathered beside the present one until the last has come.

Part of the state machine, so total and the same on every catalog. What is decided here (docs/design/backup.md):

- A record keeps the index at which this cluster first knew it, and is changed at the index of the entry that brings it: indexes of the
  backup are of another log, or of this one's past, and indexes here never go back.
- How the servers are kept becomes what the backup says, and stays where it says nothing: it was never written there.
- Whether a member is alive is for gossip to say, not for a backup: a node's ``serfHealth`` stays what it is here, and is critical on a
  node that is not here (with this ID), until the leader's catalog hears of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final, TypeVar

from msgspec.structs import replace

from rostra.catalog.frames import CONTENT, MAX_FRAME_SIZE, FrameReader, Record, decode_frame, put_record, record_of, require
from rostra.catalog.store import Store, fold
from rostra.catalog.tables import Table
from rostra.errors import Conflict
from rostra.model.autopilot import AutopilotConfiguration
from rostra.model.catalog import SERF_HEALTH, Check, HealthStatus, Node, RestorePart, Service
from rostra.model.proto import autopilot_from_proto

PATIENCE_NS: Final = 60 * 10**9
"""A restore without a next piece for so long is over."""
NOT_SEEN: Final = "Restored from a backup: gossip has not seen this node yet"

_FRAMES_AT_ONCE: Final = 1 << 20

K = TypeVar("K")
R = TypeVar("R", Node, Service, Check)


class Staging:
    """``store`` and ``autopilot`` are what has come so far. After an error it is of no more use."""

    def __init__(self, restore_id: bytes, first_index: int) -> None:
        self.restore_id = restore_id
        self.first_index = first_index
        self.next_number = 0
        self.time_ns = 0
        self.store = Store()
        self.autopilot: AutopilotConfiguration | None = None

    def is_over(self, time_ns: int) -> bool:
        """Whether nobody goes on with it."""
        return time_ns - self.time_ns > PATIENCE_NS

    def add(self, part: RestorePart, index: int, time_ns: int, present: Store) -> None:
        """Takes the next piece, which entry ``index`` brought. Raises ``Conflict``."""
        if part.restore_id != self.restore_id or part.number != self.next_number:
            raise Conflict("another restore has begun" if part.restore_id != self.restore_id else "a piece of the restore is missing")
        reader = FrameReader()
        reader.feed(_inflated(part.frames))
        for data in reader.take(_FRAMES_AT_ONCE):
            frame = decode_frame(data)
            kind = frame.WhichOneof("content")
            require(kind in CONTENT, "a frame out of place")
            if kind == "autopilot":
                self.autopilot = autopilot_from_proto(frame.autopilot)
            else:
                put_record(self.store, self._here(record_of(frame, self.store), index, present))
        require(reader.is_empty, "half a frame at the end of a piece")
        self.next_number += 1
        self.time_ns = time_ns

    def finish(self, index: int, present: Store) -> Store:
        """The restored state, which takes effect at ``index``: what was changed here meanwhile changes once more, and not back."""
        store = self.store
        self._restamp(present.nodes, store.nodes, store.set_node, index)
        self._restamp(present.services, store.services, store.set_service, index)
        self._restamp(present.checks, store.checks, store.set_check, index)
        store.commit()
        return store

    def _restamp(self, present: Table[K, R], mine: Table[K, R], put: Callable[[K, R | None], None], index: int) -> None:
        for key, record in present.items():
            if record.modify_index > self.first_index and (staged := mine.get(key)) is not None:
                put(key, replace(staged, modify_index=index))

    def _here(self, record: Record, index: int, present: Store) -> Record:
        """The record as it stands in this cluster."""
        name, value = record
        match value:
            case Node():
                return name, _stamped(value, present.nodes.get(name), index)
            case Service():
                return name, _stamped(value, present.services.get((name, fold(value.id))), index)
            case Check():
                old = present.checks.get((name, fold(value.check_id)))
                if fold(value.check_id) == fold(SERF_HEALTH):
                    value = self._as_gossip_said(name, value, old, present)
                return name, _stamped(value, old, index)

    def _as_gossip_said(self, name: str, check: Check, known: Check | None, present: Store) -> Check:
        here, restored = present.nodes.get(name), self.store.nodes.get(name)
        if known is None or here is None or restored is None or fold(here.id) != fold(restored.id):
            return replace(check, status=HealthStatus.CRITICAL, output=NOT_SEEN)
        return replace(check, status=known.status, output=known.output)


def _stamped(record: R, old: R | None, index: int) -> R:
    return replace(record, create_index=index if old is None else old.create_index, modify_index=index)


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        frames = inflater.decompress(data, 2 * MAX_FRAME_SIZE)
    except zlib.error:
        raise Conflict("the catalog's snapshot has a piece that cannot be decompressed") from None
    require(inflater.eof and not inflater.unused_data, "a piece of the wrong size")
    return frames
