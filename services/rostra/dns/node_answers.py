"""Answers about one address: a node by its name, an address by itself, and whose an address is."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from rostra.dns.answer import Answer, Question
from rostra.dns.choices import Choice, distinct
from rostra.dns.names import AddressName, NodeName, read_reverse
from rostra.dns.parts import address_bodies, alias_to, empty_name, no_data, no_name, own, zone_of
from rostra.dns.records import address_body, make_body, parse_address
from rostra.dns.wire import Rcode, RRType
from rostra.dns.zone import Addresses
from rostra.model.catalog import Node, ServiceInstance, ServiceSummary
from rostra.model.topics import NODES, SERVICES, Topic, TopicKind, node_key
from rostra.views.view import View

MAX_REVERSE_SERVICES: Final = 256
"""Services that are searched for an address of nobody's node; where there are more, nodes only."""


def answer_address(question: Question) -> Answer | None:
    """``HEX.addr``: the address that the name spells."""
    if not isinstance(question.form, AddressName):
        return None
    body = address_body(question.form.address, question.settings.node_ttl_s)
    addresses = Addresses(a=(body,)) if question.form.address.version == 4 else Addresses(aaaa=(body,))
    quirk = question.settings.compat.address_of_any_type
    bodies = addresses.bodies if quirk else address_bodies(addresses, question.qtype)
    return Answer(answer=own(bodies)) if bodies else no_data(question)


def answer_node(question: Question) -> Answer | None:
    """``NODE.node``: its addresses, its metadata as TXT, or the host that it is elsewhere."""
    if not isinstance(question.form, NodeName):
        return None
    entry = question.glance.entry(NODES, node_key(question.form.node))
    if entry is None:
        return _no_node(question, question.form.node)
    assert isinstance(entry.value, Node)
    records = zone_of(question).node(entry.value)
    if records.addresses.host:
        return alias_to(records.addresses, question.settings.node_ttl_s)
    addresses = address_bodies(records.addresses, question.qtype)
    answer = own(addresses + (records.texts if question.qtype in (RRType.TXT, RRType.ANY) else ()))
    asked_address = question.qtype in (RRType.A, RRType.AAAA) and question.settings.enable_additional_node_meta_txt
    additional = own(records.texts) if asked_address else ()
    if answer:
        return Answer(answer=answer, additional=additional)
    if question.settings.compat.node_nodata_without_soa:
        return Answer(additional=additional)
    return no_data(question)


def _no_node(question: Question, name: str) -> Answer:
    """With a node ``a.b``, the name ``b`` exists too, with nothing of its own (RFC 8020)."""
    view = question.glance.view(NODES)
    dotted = view.memo("dns: node names with dots", lambda: [node_key(node.name) for node in _nodes(view) if "." in node.name])
    if any(other.endswith(f".{name}") for other in dotted):
        return empty_name(question)
    return no_name(question, "no such node")


def answer_reverse(question: Question) -> Answer | None:
    """``….in-addr.arpa`` and ``….ip6.arpa``: the node at that address, else the service; always in the first domain.

    TTL is 0, as Consul has it: a node that takes over an address is named at once.
    """
    address = None if question.zone else read_reverse(question.labels)
    is_asked = question.qtype in (RRType.PTR, RRType.ANY) or question.settings.compat.address_of_any_type
    if address is None or not is_asked:
        return None
    zone = question.world.zones[0]
    names = [zone.node_name(node) for node in _nodes_at(question, address)]
    names = names or [zone.service_name(service) for service in _services_at(question, address)]
    choices = distinct(Choice(make_body(RRType.PTR, 0, name), name) for name in names if name)
    if choices:
        return Answer(choices=choices)
    if question.settings.compat.unknown_reverse_servfail:
        return Answer(Rcode.SERVFAIL, authoritative=False, offers_recursion=True, outside=question.labels)
    return None


def _nodes(view: View) -> list[Node]:
    return [node for node in view.values() if isinstance(node, Node)]


def _nodes_at(question: Question, address: IPv4Address | IPv6Address) -> list[str]:
    view = question.glance.view(NODES)

    def by_address() -> dict[str, list[str]]:
        table: dict[str, list[str]] = {}
        for node in _nodes(view):
            table.setdefault(_canonical(node.address), []).append(node.name)
        return table

    return view.memo("dns: nodes by address", by_address).get(str(address), [])


def _services_at(question: Question, address: IPv4Address | IPv6Address) -> list[str]:
    summaries = question.glance.view(SERVICES)
    if len(summaries) > MAX_REVERSE_SERVICES:
        return []
    names = [summary.name for summary in summaries.values() if isinstance(summary, ServiceSummary)]
    views = question.glance.views([Topic(TopicKind.SERVICE, name) for name in names])
    return [name for name, view in zip(names, views, strict=True) if str(address) in _service_addresses(view)]


def _service_addresses(view: View) -> frozenset[str]:
    def collect() -> frozenset[str]:
        return frozenset(_canonical(value.service.address) for value in view.values() if isinstance(value, ServiceInstance))

    return view.memo("dns: addresses", collect)


def _canonical(address: str) -> str:
    """IPv6 has many spellings; IPv4 as it stands."""
    return str(parse_address(address)) if ":" in address else address
