"""The answer to one read as it stands, and the index at which it last changed: what makes wake-ups exact.

The index is that of the *answer*, not of the topic it comes from (docs/architecture.md, "A blocking query"). It rests on one invariant:
**for one read, an index names one answer.** An answer first made here takes the index of its views, which last changed then, and keeps it
for as long as its bytes stay the same, whatever else changes in the views. So a client that holds the answer's index holds the answer,
and sleeps until the bytes change. An index that was not given out here for the present answer (by another gateway, or by this one before
it forgot) names an answer that is not known here: its client is answered at once. That may be once too often; no change is missed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Final, TypeAlias

from rostra.gateway.encoding import indent_json
from rostra.model.consistency import Contact
from rostra.views.view import View

MAX_RESULT_SETS: Final = 4096
"""Answers remembered; the one used longest ago is forgotten first, and starts anew at its views' index."""


Variant: TypeAlias = tuple[bool, bool, bool, int]
"""What one answer may differ by: indented, compressed, cached, and how fresh it was asked (the value of a ``Consistency``)."""


Seen: TypeAlias = tuple[tuple[View, str, int, int], ...]
"""Views, each with the cluster, index and number of loads that it had."""


def as_seen(views: Sequence[View]) -> Seen:
    """What these views are now."""
    return tuple((view, view.cluster_id, view.index, view.loads) for view in views)


class Finished:
    """A whole answer as it goes over the wire, with the date and freshness that it tells. ``moment`` is the last in which it was right."""

    __slots__ = ("_contact", "_date", "encoded", "moment")

    def __init__(self, encoded: bytes, date: bytes, contact: Contact) -> None:
        self.encoded = encoded
        self.moment: object = None
        self._date = date
        self._contact = contact

    def tells(self, date: bytes, contact: Contact) -> bool:
        """Whether that is what it says. ``date`` is compared as an object: there is one for each second."""
        own = self._contact
        return self._date is date and own.last_contact_ms == contact.last_contact_ms and own.known_leader is contact.known_leader


class ResultSet:
    """One read's answer. Only ``refresh`` changes it; between two awaits it is consistent."""

    __slots__ = ("_pretty", "_render", "_seen", "body", "changed", "coming", "finished", "index", "packed", "views_index")

    def __init__(self, render: Callable[[Sequence[View]], bytes]) -> None:
        self._render = render
        self._seen: Seen = ()
        self.body = b""
        self.changed = 0
        """Index at which ``body`` last changed."""
        self.index = 0
        """Index to give out: ``changed``, or a later one that is known to name the same answer."""
        self.views_index = 0
        self.finished: dict[Variant, Finished] = {}
        """Whole answers made of ``body`` and ``index``: emptied whenever one changes."""
        self.packed: dict[bool, bytes] = {}
        """``body`` compressed, by whether it is indented."""
        self.coming: asyncio.Future[None] | None = None
        """Done when it was brought up to its views in slices, while that is under way."""
        self._pretty: bytes | None = None

    def refresh(self, views: Sequence[View]) -> ResultSet:
        """Brings body and index up to the views; costs next to nothing while they stay as they are."""
        return self if self.is_of(views) else self.take(as_seen(views), lambda: self._render(views))

    def take(self, seen: Seen, render: Callable[[], bytes]) -> ResultSet:
        """The answer of views that were ``seen`` so."""
        pairs = list(zip(seen, self._seen, strict=False))
        if any(now[1] == before[1] and now[2] < before[2] for now, before in pairs):
            return self  # these views were let go, or others have been seen since: an answer never goes back
        same_cluster = bool(pairs) and all(now[1] == before[1] for now, before in pairs)
        body = render()
        self._seen = seen
        self.views_index = max(1, *(index for _, _, index, _ in seen))
        if not same_cluster or body != self.body:
            self.body, self._pretty = body, None
            self.packed.clear()
            self.changed = max(self.views_index, self.changed + 1) if same_cluster else self.views_index
            self._give_out(self.changed)
        return self

    def is_of(self, views: Sequence[View]) -> bool:
        """Whether it is the answer that these views give now."""
        for view, (old, _, index, _) in zip(views, self._seen, strict=False):
            if view is not old or view.index != index:
                return False
        return len(self._seen) == len(views)

    def was_made_of(self, views: Sequence[View]) -> bool:
        """Whether it is an earlier answer of these views, which have not begun anew since."""
        seen = [(view, loads) for view, _, _, loads in self._seen]
        return seen == [(view, view.loads) for view in views]

    def is_as_new_as(self, wanted: Seen) -> bool:
        """Whether it is of those views as they were then, or later."""
        pairs = zip(self._seen, wanted, strict=False)
        return len(self._seen) == len(wanted) and all(own[1] == other[1] and own[2] >= other[2] for own, other in pairs)

    def is_due(self, index: int) -> bool:
        """Whether a client that holds ``index`` is to be answered now; asked when it comes, and after each ``refresh`` while it waits.

        An index beyond the views' waits for them to come so far.
        """
        if index in (self.changed, self.index) or index > self.views_index:
            return False
        if index == self.views_index:
            self._give_out(index)
            return False
        if index > self.changed:
            self._give_out(self.views_index)
        return True

    def _give_out(self, index: int) -> None:
        self.index = index
        self.finished.clear()

    def shown(self, pretty: bool) -> bytes:
        """The body, or the body indented."""
        if not pretty:
            return self.body
        if self._pretty is None:
            self._pretty = indent_json(self.body)
        return self._pretty


class ResultSets:
    """The result sets in use, by what was asked."""

    def __init__(self, limit: int = MAX_RESULT_SETS) -> None:
        self._limit = limit
        self._sets: OrderedDict[Hashable, ResultSet] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sets)

    def get(self, key: Hashable, render: Callable[[Sequence[View]], bytes]) -> ResultSet:
        """The one of ``key``, made if need be."""
        found = self._sets.get(key)
        if found is None:
            found = self._sets[key] = ResultSet(render)
            if len(self._sets) > self._limit:
                self._sets.popitem(last=False)
        else:
            self._sets.move_to_end(key)
        return found
