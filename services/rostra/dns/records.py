"""Resource records, packed by dnslib once where they are made, so that any number of answers can share the bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

import dnslib
from dnslib.label import DNSBuffer, DNSLabel

from rostra.dns.settings import SoaSettings
from rostra.dns.wire import CLASS_IN, RRType

_HEAD: Final = struct.Struct("!HHIH")
_TTL: Final = slice(4, 8)
"""Where the TTL stands in a body."""
_MAX_TTL: Final = 2**31 - 1
_MAX_STRING: Final = 255
_MAX_TEXT: Final = 32_768
PLAIN_VALUE_PREFIX: Final = "rfc1035-"
"""Node metadata under such a key is given as its value alone, not as ``key=value`` (RFC 1464)."""


class Record(NamedTuple):
    """``owner`` is a packed name, empty for the name that was asked; ``body`` is everything after it.

    ``target`` is the name at the end of ``body``, where there is one: later owners that are the same may point to it. Names
    within bodies are not compressed: RFC 2782 forbids it for SRV, and so a body does not depend on where it stands.
    """

    owner: bytes
    body: bytes
    target: bytes = b""


def make_body(rrtype: RRType, ttl_s: float, rdata: bytes) -> bytes:
    """Type, class, TTL and data."""
    return _HEAD.pack(rrtype, CLASS_IN, min(int(ttl_s), _MAX_TTL), len(rdata)) + rdata


def with_ttl_of(body: bytes, other: bytes) -> bytes:
    """``body`` with the TTL of another record's."""
    return body[: _TTL.start] + other[_TTL] + body[_TTL.stop :]


def address_body(address: IPv4Address | IPv6Address, ttl_s: float) -> bytes:
    """A or AAAA, by the address's family."""
    if address.version == 4:
        return make_body(RRType.A, ttl_s, _packed(dnslib.A(str(address))))
    return make_body(RRType.AAAA, ttl_s, _packed(dnslib.AAAA(tuple(address.packed))))


def name_record(rrtype: RRType, owner: bytes, target: bytes, ttl_s: float) -> Record:
    """CNAME, NS or PTR."""
    return Record(owner, make_body(rrtype, ttl_s, target), target)


def srv_body(target: bytes, *, port: int, weight: int, ttl_s: float) -> bytes:
    """Priority is always 1, as Consul gives it."""
    return make_body(RRType.SRV, ttl_s, _packed(dnslib.SRV(1, weight, port, _label(target))))


def soa_record(owner: bytes, serial: int, timers: SoaSettings) -> Record:
    """The primary is ``ns`` and the mailbox ``hostmaster`` of the zone."""
    zone = _label(owner).label
    counters = (serial & 0xFFFFFFFF, timers.refresh_s, timers.retry_s, timers.expire_s, timers.min_ttl_s)
    rdata = dnslib.SOA(DNSLabel((b"ns", *zone)), DNSLabel((b"hostmaster", *zone)), counters)
    return Record(owner, make_body(RRType.SOA, timers.min_ttl_s, _packed(rdata)))


def txt_bodies(meta: Mapping[str, str], ttl_s: float) -> tuple[bytes, ...]:
    """One record for each entry; a text over 255 bytes becomes several strings of one record, what is over 32 KiB is left out."""
    return tuple(make_body(RRType.TXT, ttl_s, _packed(dnslib.TXT(list(_strings(key, value))))) for key, value in meta.items())


def _strings(key: str, value: str) -> Iterator[bytes]:
    text = (value if key.lower().startswith(PLAIN_VALUE_PREFIX) else f"{key}={value}").encode()[:_MAX_TEXT]
    for start in range(0, max(len(text), 1), _MAX_STRING):
        yield text[start : start + _MAX_STRING]


def _packed(rdata: dnslib.RD) -> bytes:
    """In a buffer of its own, so that names point nowhere, except within the data itself: see ``_Whole``."""
    buffer = _Whole()
    rdata.pack(buffer)
    return bytes(buffer.data)


class _Whole(DNSBuffer):  # type: ignore[misc]
    """Writes every name whole."""

    def encode_name(self, name: DNSLabel) -> None:
        self.encode_name_nocompress(name)


def _label(packed: bytes) -> DNSLabel:
    """A packed name as dnslib's."""
    labels, start = [], 0
    while size := packed[start]:
        labels.append(packed[start + 1 : start + 1 + size])
        start += 1 + size
    return DNSLabel(tuple(labels))


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The IP address that ``text`` is, or None where it is a host name. An IPv6 zone (``%eth0``) is no part of a record."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None
