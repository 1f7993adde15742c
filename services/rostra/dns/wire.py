"""DNS messages as bytes: numbers, names, and how a question is read (RFC 1035 section 4, RFC 6891, RFC 7871).

Records are packed by dnslib (``rostra.dns.records``). A question is read here because it is all that a server must read, so that each
way in which it can be malformed is decided in one page, and no pointer is ever followed; dnslib takes 20 µs for it.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final

HEADER: Final = struct.Struct("!HHHHHH")
_TYPE_CLASS: Final = struct.Struct("!HH")
_RECORD_HEAD: Final = struct.Struct("!HHIH")
_OPTION_HEAD: Final = struct.Struct("!HH")

HEADER_SIZE: Final = HEADER.size
MAX_NAME: Final = 255
MAX_LABEL: Final = 63
UDP_SIZE: Final = 512
TCP_SIZE: Final = 65535

QR: Final = 0x8000
AA: Final = 0x0400
TC: Final = 0x0200
RD: Final = 0x0100
RA: Final = 0x0080
CD: Final = 0x0010
OPCODE_MASK: Final = 0x7800
DNSSEC_OK: Final = 0x8000

CLASS_IN: Final = 1
CLASS_ANY: Final = 255
OPTION_CLIENT_SUBNET: Final = 8
OPTION_EXTENDED_ERROR: Final = 15


class RRType(enum.IntEnum):
    """Types that mean something here; a question may carry any other number."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    IXFR = 251
    AXFR = 252
    ANY = 255


META_TYPES: Final = range(128, 255)
"""Types that are questions about questions (RFC 6895 section 3.1); ANY is 255."""


class Rcode(enum.IntEnum):
    """Response codes (RFC 6895 section 2.3)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class Transport(enum.Enum):
    """Whose size rules apply."""

    UDP = "udp"
    TCP = "tcp"


@dataclass(frozen=True, slots=True)
class Edns:
    """What the OPT record of a question said. ``client_subnet`` is the option's body, or empty."""

    payload_size: int
    version: int = 0
    dnssec_ok: bool = False
    client_subnet: bytes = b""


@dataclass(frozen=True, slots=True)
class Request:
    """A message that asks something. ``fault`` is the response code it deserves as it stands, NOERROR when it is well formed.

    ``labels`` are in lower case (ASCII only: RFC 4343), ``question`` the bytes as they came, to be sent back as they came.
    """

    id: int
    flags: int
    question: bytes = b""
    labels: tuple[bytes, ...] = ()
    qtype: int = 0
    qclass: int = 0
    edns: Edns | None = None
    fault: Rcode = Rcode.NOERROR

    @property
    def recursion_desired(self) -> bool:
        return bool(self.flags & RD)


class _MalformedError(Exception):
    pass


def parse_request(message: bytes) -> Request | None:
    """The question in ``message``; None when it deserves no answer: too short to have an ID, or itself an answer."""
    if len(message) < HEADER_SIZE:
        return None
    request_id, flags, questions, answers, authorities, additionals = HEADER.unpack_from(message)
    if flags & QR:
        return None
    if flags & OPCODE_MASK:
        return Request(request_id, flags, fault=Rcode.NOTIMP)
    if questions != 1 or answers or authorities:
        # RFC 9619: a query has exactly one question.
        return Request(request_id, flags, fault=Rcode.FORMERR)
    try:
        labels, end = _read_name(message, HEADER_SIZE)
        qtype, qclass = _unpack(_TYPE_CLASS, message, end)
        edns = _read_additionals(message, end + 4, additionals)
    except _MalformedError:
        return Request(request_id, flags, fault=Rcode.FORMERR)
    return Request(request_id, flags, message[HEADER_SIZE : end + 4], labels, qtype, qclass, edns)


def _unpack(layout: struct.Struct, message: bytes, offset: int) -> tuple[int, ...]:
    if offset + layout.size > len(message):
        raise _MalformedError
    return layout.unpack_from(message, offset)


def _read_name(message: bytes, offset: int) -> tuple[tuple[bytes, ...], int]:
    """Labels and where the name ends. There is nothing before a question that a pointer could mean: one is an error."""
    labels: list[bytes] = []
    start = offset
    while True:
        if offset >= len(message):
            raise _MalformedError
        size = message[offset]
        offset += 1
        if size == 0:
            return tuple(labels), offset
        if size > MAX_LABEL or offset + size >= len(message) or offset + size - start >= MAX_NAME:
            raise _MalformedError
        labels.append(message[offset : offset + size].lower())
        offset += size


def _read_additionals(message: bytes, offset: int, count: int) -> Edns | None:
    """The OPT record, if there is one; other records are passed over. Bytes after the last record are an error."""
    edns: Edns | None = None
    for _ in range(count):
        is_root = offset < len(message) and message[offset] == 0
        offset = _skip_name(message, offset)
        rrtype, rrclass, ttl, size = _unpack(_RECORD_HEAD, message, offset)
        offset += _RECORD_HEAD.size
        rdata = message[offset : offset + size]
        if len(rdata) != size:
            raise _MalformedError
        offset += size
        if rrtype == RRType.OPT:
            if edns is not None or not is_root:
                # RFC 6891 section 6.1.1: one at most, owned by the root.
                raise _MalformedError
            edns = Edns(rrclass, (ttl >> 16) & 0xFF, bool(ttl & DNSSEC_OK), _read_client_subnet(rdata))
    if offset != len(message):
        raise _MalformedError
    return edns


def _skip_name(message: bytes, offset: int) -> int:
    while True:
        (size,) = message[offset : offset + 1] or (64,)
        if size == 0:
            return offset + 1
        if size >= 0xC0:
            return offset + 2
        if size > MAX_LABEL:
            raise _MalformedError
        offset += 1 + size


def _read_client_subnet(options: bytes) -> bytes:
    """The body of the client subnet option, checked as RFC 7871 section 7.1.2 asks; empty when there is none."""
    offset = 0
    found = b""
    while offset < len(options):
        code, size = _unpack(_OPTION_HEAD, options, offset)
        offset += _OPTION_HEAD.size
        body = options[offset : offset + size]
        if len(body) != size:
            raise _MalformedError
        offset += size
        if code == OPTION_CLIENT_SUBNET:
            found = body
            _check_client_subnet(body)
    return found


def _check_client_subnet(body: bytes) -> None:
    if len(body) < 4:
        raise _MalformedError
    family, source, scope, address = int.from_bytes(body[:2], "big"), body[2], body[3], body[4:]
    bits = {1: 32, 2: 128}.get(family, 0)
    spare = -source % 8
    if scope or source > bits or len(address) != (source + 7) // 8 or (address and address[-1] & ((1 << spare) - 1)):
        raise _MalformedError


def pack_name(labels: tuple[bytes, ...]) -> bytes:
    """A name in wire format, not compressed. Empty when it cannot be one: a label or the whole is too long, or empty."""
    if any(not 0 < len(label) <= MAX_LABEL for label in labels):
        return b""
    packed = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return packed if len(packed) <= MAX_NAME else b""


def split_name(text: str) -> tuple[bytes, ...]:
    """The labels of a name as people write it; a dot at its end changes nothing."""
    return tuple(text.removesuffix(".").encode().split(b".")) if text.removesuffix(".") else ()
