"""For how long a finished answer may be kept, for caches that do not read DNS (RFC 8484 section 5.1)."""

from __future__ import annotations

import dnslib

from rostra.dns.wire import RRType


def lifetime_s(message: bytes) -> int:
    """The smallest TTL of the answer section of ``message``; for a negative answer that of its SOA record or the minimum in it,
    whichever is less (RFC 2308 section 5); 0 where there is neither."""
    try:
        record = dnslib.DNSRecord.parse(message)
    except dnslib.DNSError:
        return 0
    if record.rr:
        return min(int(answer.ttl) for answer in record.rr)
    negative = [min(int(found.ttl), int(found.rdata.times[-1])) for found in record.auth if found.rtype == RRType.SOA]
    return negative[0] if negative else 0
