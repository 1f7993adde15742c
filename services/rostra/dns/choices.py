"""Many records of which each answer gives some, in an order drawn anew: how load is spread over instances.

The order is a weighted draw without replacement (Efraimidis and Spirakis, 2006): who has twice the weight comes first twice
as often. Weight 0 comes after all others.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from rostra.dns.records import with_ttl_of

Distance: TypeAlias = Callable[[str], float]
"""Seconds of round trip to a node, by its name; infinite where it is not known."""


class Choice(NamedTuple):
    """A record of the RRset: its ``body``, and the name at the end of that, if any. ``additional`` are bodies of records that the
    target owns and that go with it into the additional section."""

    body: bytes
    target: bytes = b""
    additional: tuple[bytes, ...] = ()
    weight: int = 1
    node: str = ""
    """Where it is, for who asks for the nearest first."""

    @property
    def additional_size(self) -> int:
        """With owners of two bytes."""
        return sum(map(len, self.additional)) + 2 * len(self.additional)


class Choices:
    """The whole RRset. ``size`` is what it takes with owners of two bytes, ``smallest`` what the shortest record takes so."""

    def __init__(self, choices: Sequence[Choice]) -> None:
        self._choices = tuple(choices)
        self._is_even = len({choice.weight for choice in choices}) <= 1
        self.size = sum(2 + len(choice.body) for choice in choices)
        self.smallest = min((2 + len(choice.body) for choice in choices), default=0)

    def __iter__(self) -> Iterator[Choice]:
        """In no particular order."""
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def with_ttl_of(self, body: bytes) -> Choices:
        """The same records with the TTL of another."""
        return Choices([choice._replace(body=with_ttl_of(choice.body, body)) for choice in self._choices])

    def draw(self, source: random.Random, count: int, distance: Distance | None = None) -> list[Choice]:
        """The first ``count`` of a fresh order; all of them when there are no more. With ``distance`` the nearest come first, and
        chance decides among those that are equally far."""
        if distance is not None:
            return sorted(self.draw(source, len(self._choices)), key=lambda choice: distance(choice.node))[:count]
        draw = source.random
        if not self._is_even:
            return heapq.nlargest(count, self._choices, key=lambda choice: draw() ** (1 / choice.weight) if choice.weight else -draw())
        if count < len(self._choices) // 2:
            return source.sample(self._choices, count)
        return sorted(self._choices, key=lambda _: draw())[:count]


NO_CHOICES: Final = Choices(())


def distinct(choices: Iterable[Choice]) -> Choices:
    """One choice for each record (RFC 2181 section 5: an RRset has no duplicates), with the weights of all that gave it."""
    merged: dict[bytes, Choice] = {}
    for choice in choices:
        held = merged.setdefault(choice.body, choice)
        if held is not choice:
            merged[choice.body] = held._replace(weight=held.weight + choice.weight)
    return Choices(tuple(merged.values()))
