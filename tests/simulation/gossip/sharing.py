"""One copy of what all members of a large pool know, where ten thousand cores with ten thousand records each would not fit.

Members of a settled pool know the same. So each core's tables are a shared one, which nobody changes, and over it the core's own changes.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, TypeVar, overload

from rostra.gossip.core import Core, push_pull_scale

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")

_COPIED_MEMBERS_MAX = 500
"""So few members have tables of their own, which are faster."""

_RINGS = 64
"""So many orders of probing are shuffled; each core gets one of them, turned by a random number of places."""


class Overlay(dict[K, V]):
    """A dict over a shared one. The dict itself holds what was set here; ``_hidden`` are the shared keys that are set or deleted here."""

    def __init__(self, shared: Mapping[K, V]) -> None:
        super().__init__()
        self._shared = shared
        self._hidden: set[K] = set()

    def __missing__(self, key: K) -> V:
        if key in self._hidden:
            raise KeyError(key)
        return self._shared[key]

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or (key in self._shared and key not in self._hidden)

    @overload
    def get(self, key: K, default: None = None, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V, /) -> V: ...
    @overload
    def get(self, key: K, default: D, /) -> V | D: ...
    def get(self, key: K, default: Any = None, /) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def __setitem__(self, key: K, value: V) -> None:
        if key in self._shared:
            self._hidden.add(key)
        super().__setitem__(key, value)

    def __delitem__(self, key: K) -> None:
        if super().__contains__(key):
            super().__delitem__(key)
        elif key in self:
            self._hidden.add(key)
        else:
            raise KeyError(key)

    @overload
    def pop(self, key: K, /) -> V: ...
    @overload
    def pop(self, key: K, default: V, /) -> V: ...
    @overload
    def pop(self, key: K, default: D, /) -> V | D: ...
    def pop(self, key: K, *default: Any) -> Any:
        if key not in self and default:
            return default[0]
        value = self[key]
        del self[key]
        return value

    def __len__(self) -> int:
        return len(self._shared) - len(self._hidden) + super().__len__()

    def __iter__(self) -> Iterator[K]:
        hidden = self._hidden
        shared = (key for key in self._shared if key not in hidden) if hidden else iter(self._shared)
        return itertools.chain(shared, super().__iter__())

    def keys(self) -> Any:
        return KeysView(self)

    def values(self) -> Any:
        return ValuesView(self)

    def items(self) -> Any:
        return ItemsView(self)


def acquaint(cores: list[Core], rng: random.Random) -> None:
    """Let all of them know what the first one knows, which is all of them."""
    first = cores[0]
    names = list(first.membership.nodes)
    rings = [rng.sample(names, len(names)) for _ in range(min(_RINGS, len(cores)))]
    nodes, rows = first.membership._nodes, first.membership._rows
    records, status_ltimes = first.serf.members._records, first.serf.members._status_ltimes
    table: Callable[[Mapping[Any, Any]], dict[Any, Any]] = dict if len(cores) <= _COPIED_MEMBERS_MAX else Overlay
    for core in cores:
        membership, members = core.membership, core.serf.members
        membership._nodes, membership._rows = table(nodes), table(rows)
        members._records, members._status_ltimes = table(records), table(status_ltimes)
        membership._living_versions = first.membership._living_versions.copy()
        ring, turn = rng.choice(rings), rng.randrange(len(names))
        membership._ring = ring[turn:] + ring[:turn]
        # Settled: nobody's first push-pull, which comes sooner than the next ones, is still due.
        core._push_pull_at += core.config.timing.push_pull_interval_s * rng.randrange(push_pull_scale(len(names)))
