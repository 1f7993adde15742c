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

MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes of answers kept. Of the one made longest ago no more is kept then than tells whether it has changed."""

UNSEEN: Final = -1
"""No view has had that load."""


Variant: TypeAlias = tuple[bool, bool, bool, int]
"""What one answer may differ by: indented, compressed, cached, and how fresh it was asked (the value of a ``Consistency``)."""


Seen: TypeAlias = tuple[tuple[str, int, int], ...]
"""The cluster, index and load that each of some views had. A load is one view's alone; the view itself may be let go meanwhile."""


def as_seen(views: Sequence[View]) -> Seen:
    """What these views are now."""
    return tuple((view.cluster_id, view.index, view.loads) for view in views)


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

    __slots__ = (
        "_grew",
        "_pretty",
        "_print",
        "_render",
        "_seen",
        "body",
        "changed",
        "coming",
        "finished",
        "index",
        "packed",
        "views_index",
    )

    def __init__(self, render: Callable[[Sequence[View]], bytes], grew: Callable[[ResultSet], None] = lambda _: None) -> None:
        """``grew`` is told whenever there may be more bytes kept."""
        self._render = render
        self._grew = grew
        self._seen: Seen = ()
        self._print: tuple[int, int] | None = None
        """What is left of ``body`` once it was dropped: its length and hash."""
        self.body = b""
        self.changed = 0
        """Index at which ``body`` last changed."""
        self.index = 0
        """Index to give out: ``changed``, or a later one that is known to name the same answer."""
        self.views_index = 0
        self.finished: dict[Variant, Finished] = {}
        """Whole answers made of ``body`` and ``index``: emptied whenever one changes. ``keep`` adds to them."""
        self.packed: dict[bool, bytes] = {}
        """``body`` compressed, by whether it is indented. ``keep_packed`` adds to it."""
        self.coming: asyncio.Future[None] | None = None
        """Done when it was brought up to its views in slices, while that is under way."""
        self._pretty: bytes | None = None

    def refresh(self, views: Sequence[View]) -> ResultSet:
        """Brings body and index up to the views; costs next to nothing while they stay as they are."""
        return self if self.is_of(views) else self.take(as_seen(views), lambda: self._render(views))

    def take(self, seen: Seen, render: Callable[[], bytes]) -> ResultSet:
        """The answer of views that were ``seen`` so."""
        pairs = list(zip(seen, self._seen, strict=False))
        if any(now[0] == before[0] and now[1] < before[1] for now, before in pairs):
            return self  # these views were let go, or others have been seen since: an answer never goes back
        same_cluster = bool(pairs) and all(now[0] == before[0] for now, before in pairs)
        body = render()
        self._seen = seen
        self.views_index = max(1, *(index for _, index, _ in seen))
        is_same = same_cluster and (body == self.body if self._print is None else _print_of(body) == self._print)
        if not is_same or self._print is not None:
            self.body, self._pretty, self._print = body, None, None
            self.packed.clear()
            self._grew(self)
        if not is_same:
            self.changed = max(self.views_index, self.changed + 1) if same_cluster else self.views_index
            self._give_out(self.changed)
        return self

    def is_of(self, views: Sequence[View]) -> bool:
        """Whether it is the answer that these views give now."""
        for view, (_, index, loads) in zip(views, self._seen, strict=False):
            if view.loads != loads or view.index != index:
                return False
        return len(self._seen) == len(views)

    def was_made_of(self, views: Sequence[View]) -> bool:
        """Whether it is an earlier answer of these views, which have not begun anew since."""
        return [loads for _, _, loads in self._seen] == [view.loads for view in views]

    def is_as_new_as(self, wanted: Seen) -> bool:
        """Whether it is of those views as they were then, or later, and here."""
        if self._print is not None:
            return False
        pairs = zip(self._seen, wanted, strict=False)
        return len(self._seen) == len(wanted) and all(own[0] == other[0] and own[1] >= other[1] for own, other in pairs)

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
            self._grew(self)
        return self._pretty

    def keep(self, variant: Variant, finished: Finished) -> None:
        """A whole answer made of it."""
        self.finished[variant] = finished
        self._grew(self)

    def keep_packed(self, pretty: bool, packed: bytes) -> None:
        """``shown(pretty)``, compressed."""
        self.packed[pretty] = packed
        self._grew(self)

    @property
    def kept_bytes(self) -> int:
        """What is kept of it."""
        packed, finished = self.packed.values(), self.finished.values()
        return len(self.body) + len(self._pretty or b"") + sum(map(len, packed)) + sum(len(each.encoded) for each in finished)

    @property
    def is_condensed(self) -> bool:
        """Whether its bytes are gone, until the next ``refresh`` or ``take``."""
        return self._print is not None

    def condense(self) -> None:
        """Drops the bytes. Indexes stay exact: what is kept of them tells whether the answer changes."""
        if self._print is None:
            self._print = _print_of(self.body)
            self._seen = tuple((cluster_id, index, UNSEEN) for cluster_id, index, _ in self._seen)
            self.body, self._pretty = b"", None
            self.packed.clear()
            self.finished.clear()


def _print_of(body: bytes) -> tuple[int, int]:
    """Bytes are hashed with a key of this process's own, so nobody can make others with the same."""
    return len(body), hash(body)


class ResultSets:
    """The result sets in use, by what was asked. At most ``limit`` are known, and ``max_bytes`` of answers kept."""

    def __init__(self, limit: int = MAX_RESULT_SETS, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._limit = limit
        self._sets: OrderedDict[Hashable, ResultSet] = OrderedDict()
        self._kept: OrderedDict[ResultSet, int] = OrderedDict()
        """What each keeps, by when that last grew."""
        self._kept_bytes = 0

    def __len__(self) -> int:
        return len(self._sets)

    def get(self, key: Hashable, render: Callable[[Sequence[View]], bytes]) -> ResultSet:
        """The one of ``key``, made if need be."""
        found = self._sets.get(key)
        if found is None:
            found = self._sets[key] = ResultSet(render, self._grew)
            if len(self._sets) > self._limit:
                self._condense(self._sets.popitem(last=False)[1])
        else:
            self._sets.move_to_end(key)
        return found

    def _grew(self, results: ResultSet) -> None:
        size = results.kept_bytes
        self._kept_bytes += size - self._kept.pop(results, 0)
        self._kept[results] = size
        while self._kept_bytes > self.max_bytes and len(self._kept) > 1:
            self._condense(next(iter(self._kept)))

    def _condense(self, results: ResultSet) -> None:
        self._kept_bytes -= self._kept.pop(results, 0)
        results.condense()
