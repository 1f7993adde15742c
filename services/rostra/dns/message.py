"""Fitting an answer into a message: what the transport and EDNS allow, names compressed, TC when something was cut.

This is the only place that knows sizes (RFC 1035 section 4.2, RFC 2181 section 9, RFC 6891).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final

from rostra.dns.answer import Answer, ErrorCode, ExtendedError
from rostra.dns.choices import Choice
from rostra.dns.records import Record
from rostra.dns.settings import DnsSettings
from rostra.dns.wire import (
    AA,
    CD,
    DNSSEC_OK,
    HEADER,
    HEADER_SIZE,
    OPCODE_MASK,
    OPTION_CLIENT_SUBNET,
    OPTION_EXTENDED_ERROR,
    QR,
    RA,
    RD,
    TC,
    TCP_SIZE,
    UDP_SIZE,
    Rcode,
    Request,
    RRType,
    Transport,
)

_QNAME_POINTER: Final = b"\xc0\x0c"
_MAX_POINTER: Final = 0x3FFF
_OPT: Final = struct.Struct("!BHHIH")
_OPTION: Final = struct.Struct("!HH")
_CUT: Final = ExtendedError(ErrorCode.OTHER, "cut to fit")


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much a request allows: bytes, and records of the RRset asked for (0: any number)."""

    size: int
    records: int = 0


def allowance_of(request: Request, transport: Transport, settings: DnsSettings) -> Allowance:
    """What the transport and the request's EDNS record allow."""
    if transport is Transport.TCP:
        return Allowance(TCP_SIZE)
    if request.edns is None:
        return Allowance(UDP_SIZE, settings.udp_answer_limit)
    return Allowance(max(UDP_SIZE, min(request.edns.payload_size, settings.edns_size_max)))


def fit(request: Request, answer: Answer, allowance: Allowance, settings: DnsSettings, source: random.Random, *, recursion: bool) -> bytes:
    """The message. An RRset that was asked for and does not fit is cut, with TC set; additional records that do not fit are
    left out without (RFC 2181 section 9). ``recursion``: whether the client may have it."""
    opt_room = _opt_room(request, answer.error)
    writer = Writer(request.question, request.labels, allowance.size - opt_room, compress=not settings.disable_compression)
    is_whole = writer.add_all(answer.answer)
    answers = writer.count
    chosen: list[Choice] = []
    if is_whole and answer.choices:
        chosen, is_whole = _write_choices(writer, answer, allowance, source)
        answers = writer.count
    is_whole = writer.add_all(answer.authority) and is_whole
    authorities = writer.count - answers
    if is_whole or chosen:
        for _, records in groupby(answer.additional, key=attrgetter("owner")):
            writer.add_whole(tuple(records))
        writer.add_additional(chosen, repeated=settings.compat.repeated_additional)
    additionals = writer.count - answers - authorities
    error = answer.error
    if not is_whole and error is None and writer.room >= _error_size(_CUT):
        error = _CUT
    opt = _pack_opt(request, error, answer.rcode, settings.edns_size_max)
    truncated = not is_whole and settings.enable_truncate
    flags = _response_flags(request, answer, truncated=truncated, recursion=recursion)
    counts = (1 if request.question else 0, answers, authorities, additionals + (1 if opt else 0))
    return HEADER.pack(request.id, flags, *counts) + bytes(writer.buffer[HEADER_SIZE:]) + opt


class Writer:
    """The sections of a message as they grow; a record that does not fit changes nothing."""

    def __init__(self, question: bytes, labels: tuple[bytes, ...], size: int, *, compress: bool) -> None:
        self.buffer = bytearray(HEADER_SIZE) + question
        self.count = 0
        self._size = size
        self._compress = compress
        self._offsets = _suffix_offsets(question, labels) if compress and question else {}
        self._qname = _QNAME_POINTER if compress else question[:-4]

    @property
    def room(self) -> int:
        return self._size - len(self.buffer)

    def owner(self, name: bytes) -> bytes:
        """How an owner is written where the message ends now: whole, or as a pointer to an earlier place."""
        if not name:
            return self._qname
        if not self._compress:
            return name
        offset = self._offsets.get(name)
        if offset is not None:
            return (0xC000 | offset).to_bytes(2, "big")
        return _shorten(name, self._offsets)

    def add(self, record: Record) -> bool:
        owner = self.owner(record.owner)
        start = len(self.buffer)
        end = start + len(owner) + len(record.body)
        if end > self._size:
            return False
        self.buffer += owner
        self.buffer += record.body
        self.count += 1
        if self._compress:
            if len(owner) > 2 and start <= _MAX_POINTER:
                self._offsets[record.owner] = start
            if record.target and end - len(record.target) <= _MAX_POINTER:
                self._offsets.setdefault(record.target, end - len(record.target))
        return True

    def add_all(self, records: Iterable[Record]) -> bool:
        """Until one does not fit; whether all did."""
        return all(self.add(record) for record in records)

    def add_whole(self, records: Sequence[Record]) -> None:
        """All of them or none."""
        if sum(len(self.owner(record.owner)) + len(record.body) for record in records) <= self.room:
            self.add_all(records)

    def add_choices(self, name: bytes, choices: Sequence[Choice]) -> None:
        """Records of one owner, known to fit. The hot loop of large answers: joined at once, not added one by one."""
        owner = self.owner(name)
        if self._compress and choices[0].target:
            self._note_targets(choices, len(owner))
        self.buffer += owner
        self.buffer += owner.join([choice.body for choice in choices])
        self.count += len(choices)

    def _note_targets(self, choices: Sequence[Choice], owner_size: int) -> None:
        note = self._offsets.setdefault
        position = len(self.buffer)
        for choice in choices:
            position += owner_size + len(choice.body)
            offset = position - len(choice.target)
            if offset > _MAX_POINTER:
                return
            note(choice.target, offset)

    def add_additional(self, choices: Sequence[Choice], *, repeated: bool) -> None:
        """What goes with ``choices``: an owner's records once, and all or none."""
        seen: set[bytes] = set()
        room = self.room
        parts: list[bytes] = []
        for choice in choices:
            bodies = choice.additional
            if not bodies or (choice.target in seen and not repeated):
                continue
            seen.add(choice.target)
            owner = self.owner(choice.target)
            written = owner + owner.join(bodies)
            if len(written) <= room:
                room -= len(written)
                parts.append(written)
                self.count += len(bodies)
        self.buffer += b"".join(parts)


def _suffix_offsets(question: bytes, labels: tuple[bytes, ...]) -> dict[bytes, int]:
    """Where the name asked and every name above it stand. Keys are in lower case, as all names that are looked up here."""
    name = question[:-4].lower()
    offsets: dict[bytes, int] = {}
    start = 0
    for label in labels:
        offsets[name[start:]] = HEADER_SIZE + start
        start += 1 + len(label)
    return offsets


def _shorten(name: bytes, offsets: dict[bytes, int]) -> bytes:
    """Whole labels up to the longest ending that stands in the message already (RFC 1035 section 4.1.4)."""
    start = 0
    while name[start]:
        offset = offsets.get(name[start:])
        if offset is not None:
            return name[:start] + (0xC000 | offset).to_bytes(2, "big")
        start += 1 + name[start]
    return name


def _write_choices(writer: Writer, answer: Answer, allowance: Allowance, source: random.Random) -> tuple[list[Choice], bool]:
    """Writes choices in a fresh order; which ones, and whether the transport let all be given that policy gives.

    What is cut keeps room for the records that go with the rest: a client that cannot come back over TCP can use those.
    """
    choices = answer.choices
    wanted = min(len(choices), answer.limit or len(choices))
    count = min(wanted, allowance.records or wanted)
    excess = len(writer.owner(answer.owner)) - 2
    if count == len(choices) and choices.size + excess * count <= writer.room:
        drawn = choices.draw(source, count, answer.distance)
    else:
        drawn = choices.draw(source, min(count, writer.room // (choices.smallest + excess) + 1), answer.distance)
        drawn = drawn[: _count_fitting(drawn, writer.room, excess)]
    if drawn:
        writer.add_choices(answer.owner, drawn)
    return drawn, len(drawn) == wanted


def _count_fitting(drawn: Sequence[Choice], room: int, excess: int) -> int:
    """How many fit together with what goes with them; one at least, if it fits alone."""
    rest = room
    for index, choice in enumerate(drawn):
        rest -= 2 + excess + len(choice.body) + choice.additional_size
        if rest < 0:
            return max(index, int(2 + excess + len(drawn[0].body) <= room))
    return len(drawn)


def _response_flags(request: Request, answer: Answer, *, truncated: bool, recursion: bool) -> int:
    flags = QR | request.flags & (OPCODE_MASK | RD | CD) | (answer.rcode & 0xF)
    if answer.authoritative:
        flags |= AA
    if truncated:
        flags |= TC
    if recursion or answer.offers_recursion:
        flags |= RA
    return flags


def _opt_room(request: Request, error: ExtendedError | None) -> int:
    """What the OPT record will take; a word about a cut only what is left (RFC 8914 section 3)."""
    if request.edns is None:
        return 0
    subnet = _OPTION.size + len(request.edns.client_subnet) if request.edns.client_subnet else 0
    return _OPT.size + subnet + (_error_size(error) if error else 0)


def _error_size(error: ExtendedError) -> int:
    return _OPTION.size + 2 + len(error.text.encode())


def _pack_opt(request: Request, error: ExtendedError | None, rcode: Rcode, size: int) -> bytes:
    """Only in answer to one (RFC 6891 section 7). The client subnet comes back with scope 0: the answer is for everyone (RFC 7871)."""
    if request.edns is None:
        return b""
    options = b""
    if request.edns.client_subnet:
        subnet = request.edns.client_subnet
        options += _OPTION.pack(OPTION_CLIENT_SUBNET, len(subnet)) + subnet[:3] + b"\0" + subnet[4:]
    if error is not None:
        text = error.text.encode()
        options += _OPTION.pack(OPTION_EXTENDED_ERROR, 2 + len(text)) + error.code.to_bytes(2, "big") + text
    ttl = (rcode >> 4) << 24 | (DNSSEC_OK if request.edns.dnssec_ok else 0)
    return _OPT.pack(0, RRType.OPT, size, ttl, len(options)) + options
