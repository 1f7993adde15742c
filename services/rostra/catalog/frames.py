"""Records as ``StateFrame`` messages, length-prefixed: what a catalog's snapshots, its backups and the pieces of a restore are made of.

Nodes come first, then services, then checks, each in order of key: so each record finds what it stands on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from google.protobuf.message import DecodeError

from rostra.catalog.store import Store, fold
from rostra.errors import Conflict
from rostra.model.catalog import Check, Node, Service
from rostra.model.proto import (
    check_from_proto,
    check_to_proto,
    node_from_proto,
    node_to_proto,
    service_from_proto,
    service_to_proto,
)
from rostra.v1 import command_pb2

PIECE_SIZE: Final = 16 * 1024
FRAMES_PER_PIECE: Final = 64
"""A piece ends at whichever comes first: about a millisecond's work."""
MAX_FRAME_SIZE: Final = 4 * 1024 * 1024
"""A record is what one command brought, at most 1 MiB, and a check has its service's tags besides."""
RECORDS: Final = ("node", "service", "check")
"""The kinds of records, in their order."""
CONTENT: Final = (*RECORDS, "autopilot")
"""All that a backup is of: the records, and how the servers are kept where that was ever written."""

LENGTH: Final = struct.Struct(">I")

Record = tuple[str, Node | Service | Check]
"""The folded name of its node, and the record."""


class RecordCapture:
    """A store as it was when this was made; it may go on while this is encoded."""

    def __init__(self, store: Store) -> None:
        self.nodes = store.nodes.capture()
        self._services = store.services.capture()
        self._checks = store.checks.capture()

    def frames(self) -> Iterator[command_pb2.StateFrame]:
        """Every record, in order."""
        names, nodes = self.nodes
        for name in names:
            yield command_pb2.StateFrame(node=node_to_proto(nodes[name]))
        keys, services = self._services
        for key in keys:
            record = command_pb2.ServiceRecord(node=nodes[key[0]].name, service=service_to_proto(services[key]))
            yield command_pb2.StateFrame(service=record)
        keys, checks = self._checks
        for key in keys:
            yield command_pb2.StateFrame(check=check_to_proto(checks[key]))


def encode_frame(frame: command_pb2.StateFrame) -> bytes:
    """With its length before it."""
    data = frame.SerializeToString(deterministic=True)
    return LENGTH.pack(len(data)) + data


def pieces(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Encoded frames, joined to small pieces."""
    held: list[bytes] = []
    size = 0
    for frame in frames:
        held.append(frame)
        size += len(frame)
        if size >= PIECE_SIZE or len(held) >= FRAMES_PER_PIECE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


class FrameReader:
    """Takes bytes as they come and gives whole frames. Raises ``Conflict`` for what is none."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether every byte has been given out."""
        return not self._buffer

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def take(self, limit: int) -> list[bytes]:
        """The next frames that are whole, ``limit`` at most, each without its length."""
        frames: list[bytes] = []
        offset = 0
        while len(frames) < limit and len(self._buffer) - offset >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer, offset)
            if length > MAX_FRAME_SIZE:
                raise Conflict(f"the catalog's snapshot has a frame of {length} bytes")
            end = offset + LENGTH.size + length
            if end > len(self._buffer):
                break
            frames.append(bytes(self._buffer[offset + LENGTH.size : end]))
            offset = end
        del self._buffer[:offset]
        return frames


def decode_frame(data: bytes) -> command_pb2.StateFrame:
    """Raises ``Conflict`` for bytes that are no frame."""
    try:
        return command_pb2.StateFrame.FromString(data)
    except DecodeError:
        raise Conflict("the catalog's snapshot has a frame that is none") from None


def record_of(frame: command_pb2.StateFrame, nodes: Iterable[str] | Store) -> Record:
    """The record that a frame of one of ``RECORDS`` holds. Raises ``Conflict`` for one whose node has not come before it."""
    known = nodes.nodes if isinstance(nodes, Store) else nodes
    match frame.WhichOneof("content"):
        case "node":
            node = node_from_proto(frame.node)
            return fold(node.name), node
        case "service":
            name = fold(frame.service.node)
            require(name in known, "a service without its node")
            return name, service_from_proto(frame.service.service)
        case "check":
            check = check_from_proto(frame.check)
            require(fold(check.node) in known, "a check without its node")
            return fold(check.node), check
        case kind:
            raise Conflict(f"the catalog's snapshot has a frame out of place: {kind or 'of an unknown kind'}")


def put_record(store: Store, record: Record) -> None:
    """Puts it where it belongs."""
    name, value = record
    match value:
        case Node():
            store.set_node(name, value)
        case Service():
            store.set_service((name, fold(value.id)), value)
        case Check():
            store.set_check((name, fold(value.check_id)), value)
    store.commit()


def require(holds: bool, problem: str) -> None:
    """Raises ``Conflict`` unless it holds."""
    if not holds:
        raise Conflict(f"the catalog's snapshot has {problem}")
