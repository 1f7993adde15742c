"""From a question to its RRsets: small answerers, tried in the order of ``ANSWERERS``; each answers or passes on.

Each reads the views through a ``Glance``, which raises ``Lacking`` for a view that is not here yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from rostra.dns.answer import Answer, Question, World
from rostra.dns.infrastructure import (
    answer_apex,
    answer_class,
    answer_empty_name,
    answer_meta,
    answer_name_server,
    answer_outside,
    answer_unknown,
)
from rostra.dns.names import ServiceName, UnknownName, read_form
from rostra.dns.node_answers import answer_address, answer_node, answer_reverse
from rostra.dns.records import Record, with_ttl_of
from rostra.dns.service_answers import answer_service
from rostra.dns.wire import Request, RRType, pack_name
from rostra.dns.zone import find_zone

MAX_ALIASES: Final = 8
"""CNAMEs followed within our domains before the rest of the chain is left to the resolver."""

MAX_TARGETS: Final = 16
"""SRV targets in our domains under other names than those of their nodes whose addresses are added."""

ANSWERERS: Final[tuple[Callable[[Question], Answer | None], ...]] = (
    answer_class,
    answer_meta,
    answer_reverse,
    answer_outside,
    answer_apex,
    answer_name_server,
    answer_empty_name,
    answer_address,
    answer_node,
    answer_service,
    answer_unknown,
)

_OUTSIDE: Final = UnknownName("outside of the domains served here")


def answer_request(request: Request, world: World) -> Answer:
    """The answer to a well-formed request. Raises ``Lacking``."""
    return _answer(request, request.labels, world, 0)


def _answer(request: Request, labels: tuple[bytes, ...], world: World, aliases: int) -> Answer:
    zone = find_zone(world.zones, labels)
    form = read_form(labels[: len(labels) - len(zone.labels)], world.settings.datacenter) if zone else _OUTSIDE
    question = Question(request, labels, zone, form, world)
    answer = next(answer for answerer in ANSWERERS if (answer := answerer(question)) is not None)
    if answer.targets:
        return _with_targets(question, answer)
    if answer.alias is None or request.qtype == RRType.CNAME or (request.qtype == RRType.ANY and not _gives_addresses(world)):
        return answer
    return _follow(question, answer, answer.alias, aliases + 1)


def _follow(question: Question, answer: Answer, alias: tuple[bytes, ...], aliases: int) -> Answer:
    """A CNAME and what it leads to (RFC 1034 section 4.3.2, 3a); the response code is the last name's (RFC 6604)."""
    world = question.world
    if find_zone(world.zones, alias) is None:
        return replace(answer, outside=alias)
    if aliases > MAX_ALIASES:
        return answer
    asks_all = _gives_addresses(world)
    rest = _answer(_asking(question.request, RRType.A) if asks_all else question.request, alias, world, aliases)
    if world.settings.compat.alias_ttl and isinstance(question.form, ServiceName):
        rest = _with_ttl_of(rest, answer.answer[-1].body)
    owner = pack_name(alias)
    return replace(
        rest,
        answer=answer.answer + _owned(rest.answer, owner),
        owner=rest.owner or owner,
        authority=() if asks_all else rest.authority,
        additional=_owned(rest.additional, owner),
        lasting=answer.lasting and rest.lasting,
    )


def _with_targets(question: Question, answer: Answer) -> Answer:
    """The addresses of SRV targets in our domains (RFC 2782, "Additional Data")."""
    world = question.world
    additional: list[Record] = []
    for labels in [labels for labels in answer.targets if find_zone(world.zones, labels)][:MAX_TARGETS]:
        owner = pack_name(labels)
        for qtype in (RRType.A, RRType.AAAA):
            rest = _answer(_asking(question.request, qtype), labels, world, MAX_ALIASES)
            if world.settings.compat.alias_ttl:
                rest = _with_ttl_of(rest, next(iter(answer.choices)).body)
            additional += (Record(owner, choice.body) for choice in rest.choices)
            additional += (record for record in _owned(rest.answer, owner) if record.owner == owner)
    return replace(answer, additional=answer.additional + tuple(additional))


def _asking(request: Request, qtype: RRType) -> Request:
    return replace(request, qtype=qtype)


def _gives_addresses(world: World) -> bool:
    return world.settings.compat.alias_addresses


def _with_ttl_of(rest: Answer, body: bytes) -> Answer:
    answer = tuple(record._replace(body=with_ttl_of(record.body, body)) for record in rest.answer)
    return replace(rest, answer=answer, choices=rest.choices.with_ttl_of(body))


def _owned(records: tuple[Record, ...], owner: bytes) -> tuple[Record, ...]:
    """What belonged to the name asked belongs to the alias's target now."""
    return tuple(record if record.owner else record._replace(owner=owner) for record in records)
