"""One reading of the views for one answer: what it asked for that is not here, and what the answer was made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from rostra.model.topics import SERVICES, Entry, Topic
from rostra.views.view import View

Look: TypeAlias = Callable[[Topic], View | None]
"""The view of a topic as it is, or None while it has no snapshot."""


LARGE: Final = 500
"""Entries that are rendered in one go: some milliseconds at most."""


class Lacking(Exception):
    """The answer needs views that are not here, or of which ``render`` has much to do: get them, have it done, and ask again."""

    def __init__(self, topics: Sequence[Topic], render: Callable[[Entry], object] | None = None) -> None:
        super().__init__(topics)
        self.topics = tuple(topics)
        self.render = render


@dataclass(frozen=True, slots=True)
class WholeView:
    """The answer was made from all of a topic, as its view was after that load at that index. (Of the view itself nothing is kept: it
    may be let go.)"""

    topic: Topic
    loads: int
    index: int

    def stands(self, look: Look) -> bool:
        view = look(self.topic)
        return view is not None and view.loads == self.loads and view.index == self.index


@dataclass(frozen=True, slots=True)
class OneEntry:
    """The answer was made from one entry of a topic, or from its absence."""

    topic: Topic
    key: str
    entry: Entry | None

    def stands(self, look: Look) -> bool:
        view = look(self.topic)
        return view is not None and view.get(self.key) is self.entry


Ground: TypeAlias = WholeView | OneEntry


class Glance:
    """Reads views and remembers on what ground the answer stands."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.grounds: list[Ground] = []

    def view(self, topic: Topic) -> View:
        """All of a topic; raises ``Lacking`` when it is not here."""
        view = self._get(topic)
        self.grounds.append(WholeView(topic, view.loads, view.index))
        return view

    def rendered(self, topic: Topic, render: Callable[[Entry], object]) -> View:
        """As ``view``; raises ``Lacking`` too when it would take long to render."""
        view = self.view(topic)
        if view.missing(render) > LARGE:
            raise Lacking((topic,), render)
        return view

    def views(self, topics: Sequence[Topic]) -> list[View]:
        """All of several topics; what is not here is asked for at once."""
        lacking = [topic for topic in topics if self._look(topic) is None]
        if lacking:
            raise Lacking(lacking)
        return [self.view(topic) for topic in topics]

    def entry(self, topic: Topic, key: str) -> Entry | None:
        """One entry of a topic; raises ``Lacking`` when the topic is not here."""
        entry = self._get(topic).get(key)
        self.grounds.append(OneEntry(topic, key, entry))
        return entry

    def knows(self, topic: Topic, key: str) -> bool:
        """Whether a topic has an entry, where the answer will stand on other ground."""
        return key in self._get(topic)

    def serial(self) -> int:
        """The number of the zone's version: the log index at which the list of services last changed. No ground: a negative
        answer is as good with the serial of a moment ago."""
        return max(1, self._get(SERVICES).index)

    def _get(self, topic: Topic) -> View:
        view = self._look(topic)
        if view is None:
            raise Lacking((topic,))
        return view
