"""What the catalog lacks of what this node offers, and the commands that bring it closer.

After https://developer.hashicorp.com/consul/docs/architecture/anti-entropy: what changes here is told at once, and now and then all of
it is compared. Pure. It remembers what the catalog is known to have; a command that failed leaves behind that this is *not* known, so
that it is told again, whatever has happened since: nothing is lost by a leader that was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Final

from msgspec.structs import replace

from rostra.local.core import LocalState
from rostra.local.rules import MAX_TOLD_BYTES, told_bytes
from rostra.model.catalog import NO_DEFINITION, SERF_HEALTH, Check, Deregistration, Node, Registration, Service
from rostra.model.topics import NODE_ENTRY_KEY, SEPARATOR, Value, node_check_key, node_service_key

CHECKS_AT_ONCE: Final = 32
"""Checks that go with their service in one command, at most."""

Entry = Node | Service | Check


@dataclass(frozen=True, slots=True)
class Step:
    """One command, what it is about in an operator's words, and what the catalog has of each key once it is done (None: nothing)."""

    command: Registration | Deregistration
    action: str
    leaves: Mapping[str, Entry | None]


class AntiEntropy:
    """Follows ``state``. A change of nothing but a check's output is held back for ``check_update_interval_s``."""

    def __init__(self, state: LocalState, *, check_update_interval_s: float = 300.0) -> None:
        self._state = state
        self._check_update_interval_s = check_update_interval_s
        self._there: dict[str, Entry | None] = {}
        """What the catalog has, by key; None: perhaps something."""
        self._differing: dict[str, None] = {}
        self._output_due: dict[str, float] = {}
        """When outputs that were held back are to be told, soonest first: each waits for the same time."""

    @property
    def deadline(self) -> float | None:
        """When an output that was held back is to be told."""
        return next(iter(self._output_due.values()), None)

    @property
    def is_even(self) -> bool:
        """Whether there is nothing to tell."""
        return not self._differing

    def note(self, keys: Iterable[str], now: float) -> None:
        """These have changed here."""
        for key in keys:
            self._judge(key, now)

    def compare(self, values: Iterable[Value], now: float) -> None:
        """``values`` is all that the catalog has of this node (the topic ``node:NAME``). What is not known of stays so until it is told
        again: a command whose fate was not learned may yet take effect."""
        unknown = dict.fromkeys(key for key, value in self._there.items() if value is None)
        self._there = {}
        for value in values:
            match value:
                case Node():
                    self._there[NODE_ENTRY_KEY] = value
                case Service():
                    self._there[node_service_key(value.id)] = value
                    self._state.override_tags(value.id, value.tags)
                case Check() if value.check_id != SERF_HEALTH:
                    self._there[node_check_key(value.check_id)] = value
        self._there |= unknown
        keys = [NODE_ENTRY_KEY, *map(node_service_key, (*self._state.own_services(), *self._state.services()))]
        keys += map(node_check_key, self._state.checks())
        for key in dict.fromkeys((*keys, *self._there)):
            self._judge(key, now)

    def steps(self, now: float) -> list[Step]:
        """What to tell the catalog, the node first. A service goes with those of its checks that differ, and they go with it."""
        for key in list(takewhile(lambda key: self._output_due[key] <= now, self._output_due)):
            self._judge(key, now)
        steps: list[Step] = []
        covered: set[str] = set()
        for key in sorted(self._differing, key=lambda key: (key != NODE_ENTRY_KEY, not key.startswith("service"))):
            if key not in covered:
                step = self._step(key)
                steps.append(step)
                covered |= step.leaves.keys()
        return steps

    def done(self, step: Step, now: float) -> None:
        """The catalog has taken it."""
        for key, value in step.leaves.items():
            if value is None:
                self._there.pop(key, None)
            else:
                self._there[key] = value
            self._judge(key, now)

    def failed(self, step: Step, now: float) -> None:
        """It may have taken it, or not."""
        for key in step.leaves:
            self._there[key] = None
            self._judge(key, now)

    def _judge(self, key: str, now: float) -> None:
        """Whether the catalog must be told of ``key``: now, later because only an output differs, or not at all."""
        here, there = self._here(key), self._there.get(key)
        self._differing.pop(key, None)
        if here is None:
            self._output_due.pop(key, None)
            if key in self._there:
                self._differing[key] = None
        elif there is None or not same(there, here):
            self._output_due.pop(key, None)
            self._differing[key] = None
        elif isinstance(here, Check) and isinstance(there, Check) and here.output != there.output:
            if self._output_due.setdefault(key, now + self._check_update_interval_s) <= now:
                self._differing[key] = None
        else:
            self._output_due.pop(key, None)

    def _here(self, key: str) -> Entry | None:
        kind, _, name = key.partition(SEPARATOR)
        if kind == "service":
            return self._state.service(name)
        return self._state.check(name) if kind == "check" else self._state.node

    def _step(self, key: str) -> Step:
        node, name, here = self._state.node, key.partition(SEPARATOR)[2], self._here(key)
        match here:
            case Node():
                return Step(Registration(node), "node info", {key: node})
            case Service():
                differing = (check for check in self._state.checks_of(name) if node_check_key(check.check_id) in self._differing)
                checks = [_told(check) for check in _as_many_as_fit(differing, MAX_TOLD_BYTES - told_bytes(here))]
                command = Registration(node, skip_node_update=True, service=here, checks=tuple(checks))
                return Step(command, f"service '{name}'", {key: here, **{node_check_key(check.check_id): check for check in checks}})
            case Check():
                told = _told(here)
                return Step(Registration(node, skip_node_update=True, checks=(told,)), f"check '{name}'", {key: told})
        if key == node_service_key(name):
            gone = {each: None for each, value in self._there.items() if isinstance(value, Check) and value.service_id == name}
            return Step(Deregistration(node.name, service_id=name), f"removal of service '{name}'", {key: None, **gone})
        return Step(Deregistration(node.name, check_id=name), f"removal of check '{name}'", {key: None})


def _as_many_as_fit(checks: Iterable[Check], room: int) -> Iterator[Check]:
    """The others are told by commands of their own."""
    for check in islice(checks, CHECKS_AT_ONCE):
        room -= told_bytes(check)
        if room < 0:
            return
        yield check


def _told(check: Check) -> Check:
    """How it is run stays here, as with Consul: it is of no use to others, and its headers may be secret. The tags of its service the
    catalog has from the service: once for each of many checks they would make a command too large."""
    return replace(check, definition=NO_DEFINITION, service_tags=())


def same(there: Entry, here: Entry) -> bool:
    """Whether the catalog has what this node says, outputs and what the catalog itself fills in aside."""
    match there, here:
        case Node(), Node():
            return _node_facts(there) == _node_facts(here)
        case Service(), Service():
            return replace(there, create_index=0, modify_index=0) == replace(here, create_index=0, modify_index=0)
        case Check(), Check():
            return _check_facts(there) == _check_facts(here)
    return False


def _node_facts(node: Node) -> tuple[object, ...]:
    return node.name.lower(), node.id, node.address, dict(node.tagged_addresses), dict(node.meta)


def _check_facts(check: Check) -> tuple[object, ...]:
    return check.status, check.name, check.notes, check.service_id, check.service_name, check.type
