"""A backup as a file: a gzip-compressed tar archive (RFC 1952, POSIX ustar) that says what it is and checks itself.

Members, in this order: ``meta.json`` (``Meta``), the state in ``state/000000``, ``state/000001``, … of at most a MiB each, ``summary.json``
(``Summary``), and ``SHA256SUMS`` with the digest of every member before it. So it is written and read as a stream, and standard tools
show what is in it (``tar tzf FILE``). What the state holds is the catalog's business.

Pure: bytes in, bytes out, in small steps. Whatever is wrong with a file is a ``BadSnapshot`` that says so.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from rostra.errors import BadRequest

FORMAT: Final = "rostra-snapshot"
VERSION: Final = 1
META: Final = "meta.json"
STATE: Final = "state/"
SUMMARY: Final = "summary.json"
SUMS: Final = "SHA256SUMS"
MEMBER_BYTES: Final = 1 << 20
"""Most that one member of the state holds."""
INFLATED_AT_ONCE: Final = 64 * 1024
"""Bytes that reading goes on by in one step, whatever a file would expand to."""
SMALL_BYTES: Final = 4 << 20
"""Most that a member that is not of the state may hold: the digests of 40,000 members."""

GZIP_MAGIC: Final = b"\x1f\x8b"

_BLOCK: Final = tarfile.BLOCKSIZE
_GZIP: Final = 16 + zlib.MAX_WBITS
_LEVEL: Final = 6

T = TypeVar("T", bound=msgspec.Struct)


class BadSnapshot(BadRequest):
    """The file is none, or none of ours, or not as it was written."""

    def __init__(self, message: str) -> None:
        super().__init__(message, field="body")


class Meta(msgspec.Struct, rename="pascal", kw_only=True, frozen=True):
    """What the file is of. ``id`` tells two snapshots apart, ``cluster`` is the ID of the cluster, ``time`` as in RFC 3339."""

    format: str = FORMAT
    version: int = VERSION
    id: str = msgspec.field(name="ID")
    cluster: str
    datacenter: str
    index: int
    term: int
    time: str
    software: str


class Kind(msgspec.Struct, rename="pascal", frozen=True):
    """How many records of one kind there are, and their bytes."""

    count: int = 0
    size: int = 0


class Summary(msgspec.Struct, rename="pascal", kw_only=True, frozen=True):
    """What the state came to. ``size`` in bytes, before compression; ``records`` by kind."""

    size: int
    records: Mapping[str, Kind]


class ArchiveWriter:
    """Each method returns the next bytes of the file, often none."""

    def __init__(self, meta: Meta) -> None:
        self._meta = meta
        self._time = int(datetime.fromisoformat(meta.time).timestamp())
        self._zipper = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._sums: dict[str, str] = {}
        self._held = bytearray()
        self._members = 0

    def begin(self) -> bytes:
        """Called first."""
        return self._member(META, msgspec.json.encode(self._meta) + b"\n")

    def add(self, state: bytes) -> bytes:
        """More of the state."""
        self._held += state
        out = b""
        while len(self._held) >= MEMBER_BYTES:
            out += self._state_member(MEMBER_BYTES)
        return out

    def finish(self, summary: Summary) -> bytes:
        """Called last."""
        out = self._state_member(len(self._held)) if self._held else b""
        out += self._member(SUMMARY, msgspec.json.encode(summary) + b"\n")
        out += self._member(SUMS, "".join(f"{digest}  {name}\n" for name, digest in self._sums.items()).encode())
        return out + self._zipper.compress(bytes(2 * _BLOCK)) + self._zipper.flush()

    def _state_member(self, size: int) -> bytes:
        data = bytes(self._held[:size])
        del self._held[:size]
        self._members += 1
        return self._member(f"{STATE}{self._members - 1:06}", data)

    def _member(self, name: str, data: bytes) -> bytes:
        self._sums[name] = hashlib.sha256(data).hexdigest()
        head = tarfile.TarInfo(name)
        head.size, head.mode, head.mtime = len(data), 0o600, self._time
        padding = bytes(-len(data) % _BLOCK)
        return self._zipper.compress(head.tobuf(tarfile.USTAR_FORMAT) + data + padding)


class _Member:
    """What is being read: ``left`` bytes of data and ``padding`` are still to come."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.left = size
        self.padding = -size % _BLOCK
        self.digest = hashlib.sha256()
        self.held = bytearray()

    @property
    def is_state(self) -> bool:
        return self.name.startswith(STATE)


class ArchiveReader:
    """Reads a file as it comes. What ``feed`` gives is not known to be whole before ``finish`` has said so."""

    def __init__(self) -> None:
        self.meta: Meta | None = None
        self._summary: Summary | None = None
        self._inflater = zlib.decompressobj(_GZIP)
        self._buffer = bytearray()
        self._member: _Member | None = None
        self._sums: dict[str, str] = {}
        self._is_checked = False
        self._size = 0
        self._head = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The parts of the state that ``data`` brings, in small pieces; to be iterated to its end."""
        self._head = (self._head + data[:2])[:2]
        while data:
            if self._inflater.eof:
                raise BadSnapshot("the snapshot has bytes after its end")
            try:
                self._buffer += self._inflater.decompress(data, INFLATED_AT_ONCE)
            except zlib.error:
                if self._head == GZIP_MAGIC:
                    raise BadSnapshot("the snapshot is damaged: it cannot be decompressed") from None
                raise BadSnapshot("the file is no snapshot: it is not compressed by gzip") from None
            data = self._inflater.unconsumed_tail or self._inflater.unused_data
            yield from self._parse()

    def finish(self) -> Summary:
        """At the end of the file: everything is there, and as it was written."""
        if not self._inflater.eof or self._member is not None or not self._is_checked or self._summary is None:
            raise BadSnapshot("the snapshot is cut off" if self._head else "the snapshot is empty")
        if self._summary.size != self._size:
            raise BadSnapshot(f"the snapshot is damaged: its state has {self._size} bytes, not {self._summary.size}")
        return self._summary

    def _parse(self) -> Iterator[bytes]:
        while True:
            if self._member is None:
                if len(self._buffer) < _BLOCK:
                    return
                self._open(bytes(self._buffer[:_BLOCK]))
                del self._buffer[:_BLOCK]
                continue
            if self._member.left:
                if not self._buffer:
                    return
                piece = bytes(self._buffer[: self._member.left])
                del self._buffer[: len(piece)]
                yield from self._take(self._member, piece)
            elif len(self._buffer) < self._member.padding:
                return
            else:
                del self._buffer[: self._member.padding]
                self._close(self._member)
                self._member = None

    def _open(self, block: bytes) -> None:
        if not any(block):
            if self._is_checked:
                return  # the two empty blocks at the end, and what tar fills up with
            raise BadSnapshot("the snapshot is cut off")
        try:
            head = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.TarError, UnicodeError):
            raise BadSnapshot("the snapshot is damaged, or no snapshot: what is compressed in it is no tar archive") from None
        self._check_place(head.name)
        limit = MEMBER_BYTES if head.name.startswith(STATE) else SMALL_BYTES
        if not head.isfile() or head.size > limit:
            raise BadSnapshot(f"the snapshot is damaged: {head.name} is no file of at most {limit} bytes")
        self._member = _Member(head.name, head.size)

    def _check_place(self, name: str) -> None:
        if self._is_checked:
            raise BadSnapshot(f"the snapshot is damaged: {name} comes after the end")
        if self.meta is None and name != META:
            raise BadSnapshot(f"the file is no snapshot: it begins with {name}, not with {META}")
        states = sum(known.startswith(STATE) for known in self._sums)
        wanted = {META} if self.meta is None else {SUMS} if self._summary is not None else {SUMMARY, f"{STATE}{states:06}"}
        if name not in wanted:
            raise BadSnapshot(f"the snapshot is damaged: {name} comes where {' or '.join(sorted(wanted))} should")

    def _take(self, member: _Member, piece: bytes) -> Iterator[bytes]:
        member.left -= len(piece)
        member.digest.update(piece)
        if member.is_state:
            self._size += len(piece)
            yield piece
        else:
            member.held += piece

    def _close(self, member: _Member) -> None:
        match member.name:
            case "meta.json":
                self.meta = _meta(bytes(member.held))
            case "summary.json":
                self._summary = _decoded(bytes(member.held), Summary, SUMMARY)
            case "SHA256SUMS":
                self._check_sums(bytes(member.held))
        self._sums[member.name] = member.digest.hexdigest()

    def _check_sums(self, text: bytes) -> None:
        try:
            written = {name: digest for digest, _, name in (line.partition("  ") for line in text.decode().splitlines())}
        except UnicodeDecodeError:
            written = {}
        for name, digest in self._sums.items():
            if written.get(name) != digest:
                raise BadSnapshot(f"the snapshot is damaged: {name} is not what it was (its SHA-256 differs)")
        if written.keys() != self._sums.keys():
            raise BadSnapshot(f"the snapshot is damaged: {SUMS} names other files")
        self._is_checked = True


def _meta(data: bytes) -> Meta:
    """Only after it is known to be ours is it looked at as ours."""
    claims = _decoded(data, _Claims, META)
    if not claims.format:
        raise BadSnapshot(f"the file is a snapshot of another program, perhaps of Consul: its {META} names no Format {FORMAT}")
    if claims.format != FORMAT:
        raise BadSnapshot(f"the file is a snapshot of another program: its Format is {claims.format}, not {FORMAT}")
    if claims.version != VERSION:
        raise BadSnapshot(f"the snapshot has format version {claims.version}; this version of rostra reads {VERSION}")
    return _decoded(data, Meta, META)


class _Claims(msgspec.Struct, rename="pascal", frozen=True):
    format: str = ""
    version: Any = 0


def _decoded(data: bytes, kind: type[T], name: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadSnapshot(f"the snapshot is damaged: {name}: {error}") from None
