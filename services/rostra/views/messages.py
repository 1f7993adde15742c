"""What goes over a hub's streams, as values: the cores' side of ``proto/rostra/v1/catalog_stream.proto``.

``rostra.clients.catalog_stream`` turns them into messages and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from rostra.errors import RostraError
from rostra.model.consistency import Consistency, Contact
from rostra.model.topics import Entry, Topic


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Watch ``topic``: on from ``resume_index`` of that cluster where the server can, else (and with 0) from a snapshot."""

    subscription: int
    topic: Topic
    resume_index: int = 0
    resume_cluster_id: str = ""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Watch it no longer; something about it may still be under way."""

    subscription: int


@dataclass(frozen=True, slots=True)
class BarrierRequest:
    """Say when everything up to now has been sent; numbers grow on a stream."""

    number: int
    consistency: Consistency
    timeout_s: float


WatchRequest: TypeAlias = Subscribe | Unsubscribe | BarrierRequest


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """A topic as it is, or a part of that when ``more`` follow."""

    subscription: int
    index: int
    entries: tuple[Entry, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """What one log entry changed in a topic."""

    subscription: int
    index: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Resumed:
    """The topic goes on where the watcher was; ``index`` is that of its last change."""

    subscription: int
    index: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes for a subscription."""

    subscription: int
    error: RostraError


@dataclass(frozen=True, slots=True)
class BarrierAnswer:
    """A barrier is reached, at ``index`` or beyond, unless there is an error. Number 0: of no barrier, but of a write of this process's."""

    number: int
    index: int
    error: RostraError | None = None


WatchEvent: TypeAlias = SnapshotPart | Delta | Resumed | Ended | BarrierAnswer | Contact


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The fate of one write: applied at ``index``, unless there is an error. ``watch_told``: the Watch stream named with the write is told,
    by an answer to no barrier, when everything up to ``index`` has been sent on it."""

    sequence: int
    index: int
    error: RostraError | None = None
    watch_told: bool = False
