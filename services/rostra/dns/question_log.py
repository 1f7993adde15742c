"""Questions in the log at level debug, each with what came of it, as Consul's agent writes them."""

from __future__ import annotations

import logging

from dnslib import QTYPE, RCODE, DNSError, DNSRecord

from rostra.dns.wire import Transport

log = logging.getLogger("rostra.dns")


def is_kept() -> bool:
    """Whether anybody wants to see questions now."""
    return log.isEnabledFor(logging.DEBUG)


def answered(response: bytes, transport: Transport, client: str) -> None:
    """This answer goes out; it repeats its question (RFC 1035 section 4.1.2), unless that was none."""
    try:
        said = DNSRecord.parse(response)
    except DNSError:
        return
    question = said.questions[0] if said.questions else None
    about = {
        "question": "" if question is None else str(question.qname),
        "type": "" if question is None else QTYPE.get(question.qtype),
        "rcode": RCODE.get(said.header.rcode),
        "answers": len(said.rr),
        "from": client,
        "network": transport.value,
    }
    log.debug("question answered", extra=about)
