"""What dns and gateway may ask: readings of the catalog, waiting for them to change, and writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from rostra.model.catalog import Command
from rostra.model.consistency import Consistency, Contact
from rostra.model.topics import Topic
from rostra.views.barriers import Barrier
from rostra.views.view import View


class Reading(NamedTuple):
    """Views that were, when it was made, at least as fresh as was asked; one for each topic asked, in that order.

    Views are live: read them before the next await. A view of a name that does not exist is empty, and its index is
    that of the list on which its absence was established.
    """

    views: tuple[View, ...]
    contact: Contact
    consistency: Consistency


class Reader(Protocol):
    """The read side of a hub."""

    @property
    def contact(self) -> Contact:
        """How fresh the catalog behind the views is, as it last said."""
        ...

    @property
    def changes(self) -> int:
        """Another number whenever a view has changed, come or gone: while it stays, so does whatever was made from views."""
        ...

    def peek(self, topics: Sequence[Topic]) -> Reading | None:
        """The views as they are, at once and never stale-checked; None while one of them has no snapshot yet."""
        ...

    async def read(self, topics: Sequence[Topic], consistency: Consistency, *, timeout_s: float | None = None) -> Reading:
        """The views, as fresh as asked. Default and consistent reads wait up to ``timeout_s`` (the hold time when None) for a
        leader, then raise ``NoLeader``; stale ones answer from what is here, or raise ``NotReady`` if nothing ever came."""
        ...

    async def wait(self, topics: Sequence[Topic], changed: Callable[[Reading], bool], *, timeout_s: float) -> Reading:
        """The views as soon as ``changed`` says so of them, or as they are after ``timeout_s``."""
        ...


class BarrierReader(Reader, Protocol):
    """A ``Reader`` whose default and consistent reads come in two halves, so that one callback answers all reads of a batch."""

    def barrier(self, consistency: Consistency) -> asyncio.Future[Barrier]:
        """The barrier that a default or consistent read arriving now waits for; all reads of a batch get the same future, so
        await it through ``asyncio.shield`` or add a callback, and never cancel it. Fails with ``NoLeader`` after the hold time,
        and raises it at once while there is known to be no leader."""
        ...

    def barrier_at_once(self, consistency: Consistency, requests: int) -> Barrier | None:
        """The barrier that so many reads that have come by now would get, if that takes neither another server nor a turn of the loop;
        else None, and ``barrier`` is the way."""
        ...

    def peek(self, topics: Sequence[Topic], barrier: Barrier | None = None) -> Reading | None:
        """With a barrier that was reached: the views if it covers them all, else None, and ``read`` is the way. Topics that
        are not subscribed yet are from here on."""
        ...


class Writer(Protocol):
    """The write side of a hub."""

    async def write(self, command: Command, *, request_id: bytes = b"", timeout_s: float | None = None) -> int:
        """Proposes ``command`` and returns its log index once it is applied and this process's views have reached it (or 50 ms
        later). Raises what the catalog refused it with (``BadRequest``, …), ``NoLeader``, ``Busy``, or ``UnknownOutcome``.
        An empty ``request_id`` is drawn at random."""
        ...

    async def caught_up(self, index: int, *, timeout_s: float) -> bool:
        """Whether the views reached ``index`` in time."""
        ...
