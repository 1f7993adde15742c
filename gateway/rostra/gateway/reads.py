"""How a read is answered: as fresh as asked, blocking if asked, with Consul's headers (docs/architecture.md, "A read").

Everything here but ``answer`` is synchronous, so that an answer that is at hand costs a look-up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

from rostra.errors import Busy, RostraError
from rostra.gateway import metrics
from rostra.gateway.answer import Answer, Header, encode, error_answer, json_answer
from rostra.gateway.ask import ReadOptions
from rostra.gateway.compression import GZIP, LARGE_BYTES, MIN_BYTES, compress, compressed, is_worth_it
from rostra.gateway.encoding import indent_json
from rostra.gateway.lookups import Lookup, Match
from rostra.gateway.read import Read
from rostra.gateway.resultsets import Finished, ResultSet, ResultSets
from rostra.gateway.settings import GatewaySettings
from rostra.gateway.slices import Slices, is_quick
from rostra.model.consistency import Consistency, Contact
from rostra.model.coordinates import Coordinate
from rostra.model.nearness import distances_from
from rostra.views.barriers import Barrier
from rostra.views.reader import BarrierReader, Reading
from rostra.views.view import View

JITTER_FRACTION: Final = 1 / 16
"""A blocking query waits up to this part longer, so that those that began together do not end together."""

_CONSISTENCY: Final = {
    Consistency.DEFAULT: b"leader",
    Consistency.CONSISTENT: b"consistent",
    Consistency.STALE: b"stale",
}


Coordinates: TypeAlias = Callable[[], Awaitable[Mapping[str, Coordinate]]]
"""Where the nodes are, by name."""


def contact_headers(index: int, contact: Contact) -> tuple[Header, ...]:
    """Index and freshness, spelled as Consul's server writes them."""
    return (
        (b"X-Consul-Index", b"%d" % index),
        (b"X-Consul-Knownleader", b"true" if contact.known_leader else b"false"),
        (b"X-Consul-Lastcontact", b"%d" % contact.last_contact_ms),
    )


def read_answer(read: Read, body: bytes, contact: Contact) -> Answer:
    """The answer of a read that succeeded."""
    headers: list[Header] = []
    if read.is_cached:
        headers += [(b"X-Cache", b"HIT"), (b"Age", b"%d" % (contact.last_contact_ms // 1000))]
    headers.append((b"X-Consul-Effective-Consistency", _CONSISTENCY[read.options.consistency]))
    return json_answer(body, headers=(*headers, *contact_headers(read.results.index, contact)))


class Places:
    """Room for blocking queries: a context of one place, or ``take`` and ``give_back``."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def take(self) -> None:
        """Raises ``Busy`` when all are taken."""
        if self.taken >= self.limit:
            metrics.REFUSED.labels("blocked_queries").inc()
            raise Busy(f"Too many blocking queries (limit: {self.limit})", retry_after_s=1.0)
        self.taken += 1

    def give_back(self) -> None:
        self.taken -= 1

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        self.give_back()


class _Moment:
    """A time in which nothing changed: neither a view, nor what is told of the leader, nor the date."""

    __slots__ = ("changes", "contact", "date")

    def __init__(self, changes: int, contact: Contact, date: bytes) -> None:
        self.changes = changes
        self.contact = contact
        self.date = date


class Reads:
    """The read side of the gateway."""

    def __init__(self, reader: BarrierReader, coordinates: Coordinates, settings: GatewaySettings) -> None:
        self.reader = reader
        self.places = Places(settings.limits.blocked_queries)
        self._coordinates = coordinates
        self._settings = settings
        self.results = ResultSets(max_bytes=settings.limits.answer_bytes)
        self.slices = Slices()
        self._moment = _Moment(-1, Contact(), b"")

    def prepare(
        self,
        lookup: Lookup,
        options: ReadOptions,
        *,
        match: tuple[str, Match] | None = None,
        pretty: bool = False,
        cacheable: bool = False,
        near: str = "",
        gzip: bool = False,
    ) -> Read:
        """A read made ready; ``match`` is a filter expression and what it means."""
        text, predicate = match or ("", None)
        render: Callable[[Sequence[View]], bytes] = lambda views: lookup.render(views, predicate)  # noqa: E731
        results = self.results.get((lookup.topics, lookup.key, text), render)
        return Read(lookup, results, options, match=predicate, pretty=pretty, cacheable=cacheable, near=near, gzip=gzip)

    async def answer(self, read: Read, *, may_block: bool = True) -> Answer:
        """The answer, once it is due (or at once, when it may not block). Errors are answers too: they carry the same headers."""
        try:
            reading = await self.reader.read(read.topics, read.consistency)
            results = read.results
            await self.slices.refreshed(read, reading.views)
            if may_block and read.options.index and not results.is_due(read.options.index):
                reading = await self._block(read)
            return await self._finish(read, reading)
        except RostraError as error:
            return self.failed(error)

    def failed(self, error: RostraError) -> Answer:
        """A read that failed; index 1 makes a client start over."""
        refusal = error_answer(error)
        return Answer(refusal.status, (*refusal.headers, *contact_headers(1, Contact())), refusal.body)

    def now(self, read: Read, reading: Reading) -> Answer:
        """The answer that the views give now. Only one that ``is_at_hand`` is compressed if the client wants it so."""
        results = self._results_of(read, reading)
        body = results.shown(read.pretty)
        answer = read_answer(read, body, reading.contact)
        if not read.gzip or len(body) < MIN_BYTES:
            return answer
        packed = results.packed.get(read.pretty)
        if packed is None and len(body) < LARGE_BYTES:
            packed = compress(body)
            results.keep_packed(read.pretty, packed)
        return answer if packed is None else Answer(answer.status, (GZIP, *answer.headers), packed)

    def is_at_hand(self, read: Read, reading: Reading) -> bool:
        """Whether ``now`` gives the whole answer without holding up the loop."""
        if not is_quick(read, reading.views):
            return False
        results = read.results.refresh(reading.views)
        return not read.gzip or len(results.body) < LARGE_BYTES // 2 or read.pretty in results.packed

    async def at_length(self, read: Read, reading: Reading) -> Answer:
        """The answer, compressed in the thread."""
        while read.results.is_condensed:
            await self.slices.refreshed(read, reading.views)
        results = self._results_of(read, reading)
        body, answer = results.body, self.now(read, reading)
        if not read.gzip or not is_worth_it(answer.headers, answer.body):
            return answer
        answer = await compressed(answer)
        if results.body is body:
            results.keep_packed(read.pretty, answer.body)
        return answer

    def at_hand(self, read: Read, barrier: Barrier | None, date: bytes, extra: tuple[Header, ...]) -> bytes:
        """What ``finished`` gives, if that needs neither waiting nor a thread; else nothing. Of a stale read that was asked since
        anything changed, the look-up is all it costs."""
        moment = self._moment_of(date) if barrier is None else None
        if moment is not None:
            kept = read.results.finished.get(read.variant)
            if kept is not None and kept.moment is moment:
                return kept.encoded
        try:
            reading = self.reader.peek(read.topics, barrier)
        except RostraError:
            return b""  # the long way will be told the same, and tell it
        if reading is None or not self.is_at_hand(read, reading):
            return b""
        encoded = self.finished(read, reading, date, extra)
        read.results.finished[read.variant].moment = moment
        return encoded

    def _moment_of(self, date: bytes) -> _Moment:
        """The same object for as long as nothing changes that an answer is made of."""
        changes, contact, moment = self.reader.changes, self.reader.contact, self._moment
        if moment.changes != changes or moment.contact is not contact or moment.date is not date:
            moment = self._moment = _Moment(changes, contact, date)
        return moment

    def finished(self, read: Read, reading: Reading, date: bytes, extra: tuple[Header, ...]) -> bytes:
        """The same as bytes, for a connection that stays open. Those who ask the same get the same object, while nothing changed."""
        results, contact = self._results_of(read, reading), reading.contact
        kept = results.finished.get(read.variant)
        if kept is not None and kept.tells(date, contact):
            return kept.encoded
        answer = self.now(read, reading)
        encoded = encode(Answer(answer.status, (*answer.headers, *extra), answer.body), date)
        results.keep(read.variant, Finished(encoded, date, contact))
        return encoded

    def _results_of(self, read: Read, reading: Reading) -> ResultSet:
        """As the views have it; where that takes long, as it was when whoever comes this way had it ``refreshed``."""
        return read.results.refresh(reading.views) if is_quick(read, reading.views) else read.results

    def wait_s(self, read: Read) -> float:
        """How long this read may block."""
        return read.options.wait_s * (1 + random.random() * JITTER_FRACTION)

    async def _block(self, read: Read) -> Reading:
        """Waits until the answer is due; one that times out is made fresh once more."""
        index, results = read.options.index, read.results

        def may_be_due(seen: Reading) -> bool:
            return not is_quick(read, seen.views) or results.refresh(seen.views).is_due(index)

        until = asyncio.get_running_loop().time() + self.wait_s(read)
        with self.places:
            while (left_s := until - asyncio.get_running_loop().time()) > 0:
                reading = await self.reader.wait(read.topics, may_be_due, timeout_s=left_s)
                await self.slices.refreshed(read, reading.views)
                if results.is_due(index):
                    return reading
        reading = await self.reader.read(read.topics, read.consistency)
        await self.slices.refreshed(read, reading.views)
        return reading

    async def _finish(self, read: Read, reading: Reading) -> Answer:
        if not read.near:
            return await self.at_length(read, reading)
        distance = await self._distance(read.near)
        await self.slices.refreshed(read, reading.views)
        views = [view.frozen() for view in reading.views]
        body = read.lookup.put_together(views, await self.slices.rows(read, views), distance)
        answer = read_answer(read, indent_json(body) if read.pretty else body, reading.contact)
        return await compressed(answer) if read.gzip else answer

    async def _distance(self, near: str) -> Callable[[str], float] | None:
        """``_agent`` is this node. Without coordinates, or from a node that has none, lists keep their order, as in Consul."""
        origin = self._settings.node_name if near == "_agent" else near
        try:
            return distances_from(origin, await self._coordinates())
        except RostraError:
            return None
