"""What several answerers are made of: negative answers, answers with addresses, and aliases."""

from __future__ import annotations

from rostra.dns.answer import Answer, ErrorCode, ExtendedError, Question
from rostra.dns.records import Record, name_record
from rostra.dns.wire import Rcode, RRType
from rostra.dns.zone import Addresses, Zone


def zone_of(question: Question) -> Zone:
    """The zone of a question that is known to be in one."""
    assert question.zone is not None
    return question.zone


def no_data(question: Question, reason: str = "") -> Answer:
    """The name exists and has nothing of the type asked (RFC 2308 section 2.2)."""
    return _negative(question, Rcode.NOERROR, reason)


def no_name(question: Question, reason: str, code: ErrorCode = ErrorCode.OTHER) -> Answer:
    """The name does not exist, nor does any under it (RFC 2308 section 2.1, RFC 8020)."""
    return _negative(question, Rcode.NXDOMAIN, reason, code)


def empty_name(question: Question) -> Answer:
    """A name that only has names under it."""
    if question.settings.compat.empty_names_nxdomain:
        return no_name(question, "")
    return no_data(question)


def _negative(question: Question, rcode: Rcode, reason: str, code: ErrorCode = ErrorCode.OTHER) -> Answer:
    soa = zone_of(question).soa(question.glance.serial())
    return Answer(rcode, authority=(soa,), error=ExtendedError(code, reason) if reason else None)


def address_bodies(addresses: Addresses, qtype: int) -> tuple[bytes, ...]:
    """The bodies that a question of that type wants; ANY wants both families."""
    match qtype:
        case RRType.A:
            return addresses.a
        case RRType.AAAA:
            return addresses.aaaa
        case RRType.ANY:
            return addresses.bodies
        case _:
            return ()


def own(bodies: tuple[bytes, ...], owner: bytes = b"") -> tuple[Record, ...]:
    """Records of one owner."""
    return tuple(Record(owner, body) for body in bodies)


def alias_to(addresses: Addresses, ttl_s: float) -> Answer:
    """CNAME to the host that stands in place of an address."""
    record = name_record(RRType.CNAME, b"", addresses.host, ttl_s)
    return Answer(answer=(record,), alias=addresses.host_labels)
