"""Readers that wait for a view to change: one wake-up each, when what they asked about changed, and no polling.

All who wait for the same topics are a group, which listens once and looks at the views once for all of them. A view calls
its listeners within its change; those only queue the group, and its readers' questions are asked a little later, in slices,
so that thousands of them do not hold up the loop. Several changes in one turn are looked at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rostra.errors import NotReady, RostraError
from rostra.model.topics import Topic
from rostra.views import metrics
from rostra.views.reader import Reading
from rostra.views.subscriptions import Subscription

SLICE_S: Final = 0.001

_DEPTH: Final = metrics.QUEUE_DEPTH.labels("waits")

Topics = tuple[Topic, ...]
Look = Callable[[Topics], tuple[Reading | None, Sequence[Subscription]]]
"""The views asked for (None while one never had a snapshot), and the subscriptions whose change may change that."""


@dataclass(slots=True, eq=False)
class _Waiter:
    """One reader; ``future`` is done when what it waits for has come, or its time is up (with None)."""

    changed: Callable[[Reading], bool]
    future: asyncio.Future[Reading | None]


@dataclass(slots=True, eq=False)
class _Group:
    """The readers of the same topics. ``changed_again``: since their questions began to be asked."""

    topics: Topics
    waiters: dict[_Waiter, None] = field(default_factory=dict)
    sources: Sequence[Subscription] = ()
    stops: Sequence[Callable[[], None]] = ()
    changed_again: bool = False


class Waiting:
    """All readers of a hub that wait."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._groups: dict[Topics, _Group] = {}
        self._due: dict[_Group, deque[_Waiter]] = {}
        self._count = 0

    async def wait(self, topics: Topics, changed: Callable[[Reading], bool], timeout_s: float) -> Reading:
        """The reading as soon as ``changed`` says so, or as it is when the time is up; what ``changed`` raises is raised here.
        Raises ``NotReady`` when there is nothing to read by then."""
        reading, _ = self._look(topics)
        if reading is not None and changed(reading):
            return reading
        loop = asyncio.get_running_loop()
        waiter = _Waiter(changed, loop.create_future())
        group = self._join(topics, waiter)
        timer = loop.call_later(timeout_s, _expire, waiter)
        try:
            reading = await waiter.future
        finally:
            timer.cancel()
            self._leave(group, waiter)
        reading = reading or self._look(topics)[0]
        if reading is None:
            raise NotReady("no catalog has answered yet")
        return reading

    def refuse(self, error: RostraError) -> None:
        """Ends every wait with this error."""
        for group in self._groups.values():
            for waiter in group.waiters:
                if not waiter.future.done():
                    waiter.future.set_exception(error)

    def _join(self, topics: Topics, waiter: _Waiter) -> _Group:
        group = self._groups.get(topics)
        if group is None:
            group = _Group(topics)
            self._look_for(group)
            self._groups[topics] = group
        group.waiters[waiter] = None
        self._count += 1
        _DEPTH.set(self._count)
        return group

    def _leave(self, group: _Group, waiter: _Waiter) -> None:
        del group.waiters[waiter]
        self._count -= 1
        _DEPTH.set(self._count)
        if not group.waiters:
            del self._groups[group.topics]
            self._due.pop(group, None)
            self._listen(group, ())

    def _look_for(self, group: _Group) -> Reading | None:
        reading, sources = self._look(group.topics)
        if sources != group.sources:
            self._listen(group, sources)
        return reading

    def _listen(self, group: _Group, sources: Sequence[Subscription]) -> None:
        """Listens to these instead of those before, and keeps them from being let go."""
        for source in sources:
            source.pins += 1
        stops = [source.view.listen(lambda: self._changed(group)) for source in sources]
        for source in group.sources:
            source.pins -= 1
        for stop in group.stops:
            stop()
        group.sources, group.stops = sources, stops

    def _changed(self, group: _Group) -> None:
        if group in self._due:
            group.changed_again = True
            return
        if not self._due:
            asyncio.get_running_loop().call_soon(self._ask)
        self._due[group] = deque(group.waiters)

    def _ask(self) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + SLICE_S
        while self._due and clock() < end:
            group, waiters = next(iter(self._due.items()))
            try:
                reading = self._look_for(group)
            except RostraError as error:  # no room for a name that appeared
                while waiters:
                    _fail(waiters.popleft(), error)
                reading = None
            if reading is None:
                waiters.clear()
            while reading is not None and waiters and clock() < end:
                _ask_one(waiters.popleft(), reading)
            if not waiters:
                del self._due[group]
                if group.changed_again:
                    group.changed_again = False
                    self._due[group] = deque(group.waiters)
        if self._due:
            asyncio.get_running_loop().call_soon(self._ask)


def _ask_one(waiter: _Waiter, reading: Reading) -> None:
    if waiter.future.done():
        return
    try:
        if waiter.changed(reading):
            waiter.future.set_result(reading)
    except Exception as error:  # the reader's own question failed: the answer is the reader's
        waiter.future.set_exception(error)


def _expire(waiter: _Waiter) -> None:
    if not waiter.future.done():
        waiter.future.set_result(None)


def _fail(waiter: _Waiter, error: RostraError) -> None:
    if not waiter.future.done():
        waiter.future.set_exception(error)
