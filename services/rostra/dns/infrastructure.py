"""Answers about the zone itself: its apex, its name servers, names that are only above others, and what is not ours to answer."""

from __future__ import annotations

import re
from typing import Final

from rostra.dns.answer import Answer, ErrorCode, ExtendedError, Question
from rostra.dns.choices import Choice, distinct
from rostra.dns.names import Apex, EmptyName, NameServer, UnknownName
from rostra.dns.parts import address_bodies, empty_name, no_data, no_name, own, zone_of
from rostra.dns.records import Record, name_record
from rostra.dns.wire import CLASS_ANY, CLASS_IN, META_TYPES, Rcode, RRType
from rostra.model.catalog import CONSUL_SERVICE, Node, ServiceInstance
from rostra.model.topics import Topic, TopicKind

MAX_NAME_SERVERS: Final = 3
_HOST_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.IGNORECASE)


def answer_class(question: Question) -> Answer | None:
    """Only the Internet class is served."""
    if question.request.qclass in (CLASS_IN, CLASS_ANY) or question.settings.compat.lenient_questions:
        return None
    return Answer(Rcode.REFUSED, authoritative=False, error=ExtendedError(ErrorCode.NOT_SUPPORTED, "only class IN is served"))


def answer_meta(question: Question) -> Answer | None:
    """Zone transfers are refused; other questions about questions are not implemented (RFC 6895 section 3.1)."""
    if question.qtype in (RRType.AXFR, RRType.IXFR):
        return Answer(Rcode.REFUSED, authoritative=False, error=ExtendedError(ErrorCode.PROHIBITED, "zone transfers are not served"))
    if question.qtype in META_TYPES or question.qtype == RRType.OPT:
        return Answer(Rcode.NOTIMP, authoritative=False)
    return None


def answer_outside(question: Question) -> Answer | None:
    """Names of other domains: for a recursor, or refused."""
    if question.zone is not None:
        return None
    error = ExtendedError(ErrorCode.NOT_AUTHORITATIVE, "outside of the domains served here")
    return Answer(Rcode.REFUSED, authoritative=False, error=error, outside=question.labels)


def answer_apex(question: Question) -> Answer | None:
    """SOA and NS of the zone, with the addresses of the name servers."""
    everywhere = question.settings.compat.apex_records_everywhere and question.qtype in (RRType.SOA, RRType.NS)
    if not isinstance(question.form, Apex) and not everywhere:
        return None
    zone = zone_of(question)
    soa = zone.soa(question.glance.serial())
    match question.qtype:
        case RRType.SOA:
            servers, glue = _name_servers(question, soa.owner)
            return Answer(answer=(soa,), authority=servers, additional=glue, lasting=False)
        case RRType.NS:
            servers, glue = _name_servers(question, soa.owner)
            return Answer(answer=servers, additional=glue, lasting=False) if servers else no_data(question)
        case RRType.ANY if not question.settings.compat.empty_names_nxdomain:
            servers, glue = _name_servers(question, soa.owner)
            return Answer(answer=(soa, *servers), additional=glue, lasting=False)
        case _:
            return empty_name(question)


def answer_name_server(question: Question) -> Answer | None:
    """``ns``, whom the SOA names: the addresses of the servers."""
    if not isinstance(question.form, NameServer):
        return None
    zone = zone_of(question)
    bodies = [body for node in _servers(question) for body in address_bodies(zone.node(node).addresses, question.qtype)]
    if not bodies or question.settings.compat.empty_names_nxdomain:
        return empty_name(question)
    return Answer(choices=distinct(Choice(body) for body in bodies))


def answer_empty_name(question: Question) -> Answer | None:
    """Names that only have names under them."""
    return empty_name(question) if isinstance(question.form, EmptyName) else None


def answer_unknown(question: Question) -> Answer | None:
    """Names that nothing here could have."""
    return no_name(question, question.form.reason) if isinstance(question.form, UnknownName) else None


def _servers(question: Question) -> list[Node]:
    view = question.glance.view(Topic(TopicKind.SERVICE, CONSUL_SERVICE))
    return [instance.node for instance in view.values() if isinstance(instance, ServiceInstance)]


def _name_servers(question: Question, owner: bytes) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """NS records of at most three servers, drawn anew each time, and their addresses. Names that are no host names are left out."""
    zone = zone_of(question)
    named = [node for node in _servers(question) if _HOST_LABEL.fullmatch(node.name) and zone.node_name(node.name)]
    chosen = question.world.source.sample(named, min(MAX_NAME_SERVERS, len(named)))
    servers = tuple(name_record(RRType.NS, owner, zone.node_name(node.name), question.settings.node_ttl_s) for node in chosen)
    glue = (own(zone.node(node).addresses.bodies, zone.node_name(node.name)) for node in chosen)
    return servers, tuple(record for records in glue for record in records)
