"""Answers about a service: which of its instances may be given, and as what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from rostra.dns.answer import Answer, Question
from rostra.dns.choices import Choice, Choices, distinct
from rostra.dns.glance import Glance
from rostra.dns.names import ServiceName
from rostra.dns.parts import address_bodies, alias_to, empty_name, no_data, no_name, zone_of
from rostra.dns.wire import RRType
from rostra.dns.zone import InstanceRecords, Zone
from rostra.model.catalog import HealthStatus
from rostra.model.topics import SERVICES, Topic, TopicKind
from rostra.views.view import View

_GIVEN_TYPES: Final = (RRType.A, RRType.AAAA, RRType.ANY, RRType.SRV)


@dataclass(frozen=True, slots=True)
class Selection:
    """The instances that may be given of ``matching`` ones: never a critical one.

    ``hosts`` are those that are hosts elsewhere, if none of the others has an address: CNAME stands alone (RFC 1034 section 3.6.2).
    """

    matching: int
    usable: tuple[InstanceRecords, ...]
    hosts: tuple[InstanceRecords, ...]


def answer_service(question: Question) -> Answer | None:
    """``[TAG.]SERVICE.service`` and RFC 2782's form."""
    form = question.form
    if not isinstance(form, ServiceName):
        return None
    name = _find(question.glance, form.service)
    if name is None:
        return _no_service(question, form)
    zone = zone_of(question)
    view = question.glance.rendered(Topic(TopicKind.SERVICE, name), zone.instance)
    only_passing = question.settings.only_passing
    if form.tag and form.tag not in (tags := _tags(view, zone)):
        # With a tag "v1.2", the name "2.SERVICE.service" exists too (RFC 8020).
        is_above_tag = any(tag.endswith(f".{form.tag}") for tag in tags)
        return empty_name(question) if is_above_tag else no_name(question, "no instance of the service has that tag")
    selection = view.memo((zone, form.tag), lambda: _select(view, zone, form.tag, only_passing=only_passing))
    if not selection.matching:
        return no_name(question, "no such service")
    if not selection.usable:
        return _none_usable(question, selection)
    if question.qtype != RRType.SRV and selection.hosts:
        return _alias(question, selection.hosts, zone.service_ttl_s(name))
    qtype = RRType.ANY if question.qtype == RRType.TXT and question.settings.compat.txt_gives_addresses else question.qtype
    if qtype in _GIVEN_TYPES and (choices := view.memo((zone, form.tag, qtype), lambda: _choices(selection.usable, qtype))):
        answer = Answer(choices=choices, distance=question.world.distance)
        if qtype == RRType.SRV:
            return replace(answer, targets=view.memo((zone, form.tag, "targets"), lambda: _targets(selection.usable)))
        return replace(answer, limit=question.settings.a_record_limit)
    return no_data(question)


def _find(glance: Glance, asked: str) -> str | None:
    """The service's name as it is registered: names are asked in any case. An answer about a service that exists stands on that
    service's own view, which is another one once it does not."""
    if glance.knows(SERVICES, asked):
        return asked
    view = glance.view(SERVICES)
    return view.memo("dns: names by lower case", lambda: {entry.key.lower(): entry.key for entry in view.entries()}).get(asked)


def _no_service(question: Question, form: ServiceName) -> Answer:
    """``_TAG.service`` is above RFC 2782 names, so it exists (RFC 8020)."""
    if form.service.startswith("_") and not form.tag:
        return empty_name(question)
    return no_name(question, "no such service")


def _none_usable(question: Question, selection: Selection) -> Answer:
    """The name exists, so it is not denied: resolvers would remember that for all its types (RFC 2308)."""
    reason = "no instance is passing" if question.settings.only_passing else f"every instance is critical ({selection.matching})"
    if question.settings.compat.all_critical_nxdomain:
        return no_name(question, reason)
    return no_data(question, reason)


def _tags(view: View, zone: Zone) -> frozenset[str]:
    return view.memo((zone, "tags"), lambda: frozenset(tag for instance in view.fragments(zone.instance) for tag in instance.tags))


def _select(view: View, zone: Zone, tag: str, *, only_passing: bool) -> Selection:
    instances = view.fragments(zone.instance)
    matching = [instance for instance in instances if tag in instance.tags] if tag else instances
    worst = HealthStatus.PASSING if only_passing else HealthStatus.WARNING
    usable = tuple(instance for instance in matching if instance.status.severity <= worst.severity)
    has_addresses = any(instance.addresses.bodies for instance in usable)
    hosts = () if has_addresses else tuple(instance for instance in usable if instance.addresses.host)
    return Selection(len(matching), usable, hosts)


def _choices(usable: Sequence[InstanceRecords], qtype: int) -> Choices:
    if qtype == RRType.SRV:
        return distinct(instance.srv for instance in usable if instance.srv)
    return distinct(
        Choice(body, weight=instance.weight, node=instance.node)
        for instance in usable
        for body in address_bodies(instance.addresses, qtype)
    )


def _targets(usable: Sequence[InstanceRecords]) -> tuple[tuple[bytes, ...], ...]:
    return tuple(dict.fromkeys(instance.addresses.host_labels for instance in usable if instance.addresses.host))


def _alias(question: Question, hosts: Sequence[InstanceRecords], ttl_s: float) -> Answer:
    """One host, since a name has one CNAME (RFC 2181 section 10.1); drawn anew each time."""
    if question.world.distance is not None:
        distance = question.world.distance
        nearest_s = min(distance(instance.node) for instance in hosts)
        hosts = [instance for instance in hosts if distance(instance.node) == nearest_s]
    weights = [max(instance.weight, 1) for instance in hosts]
    (chosen,) = question.world.source.choices(hosts, weights)
    answer = alias_to(chosen.addresses, ttl_s)
    return answer if len(hosts) == 1 else replace(answer, lasting=False)
