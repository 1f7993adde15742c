"""Where every transport brings its messages: answered at once where the views are here, and else in a task of the role's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Final

from rostra.dns import metrics, question_log
from rostra.dns.answer import ErrorCode, ExtendedError
from rostra.dns.choices import Distance
from rostra.dns.core import Core, Elsewhere, Outcome, Outside
from rostra.dns.freshness import Freshness
from rostra.dns.glance import Lacking, Look
from rostra.dns.rate_limit import RateLimit
from rostra.dns.recursion import Recursion
from rostra.dns.wire import Transport
from rostra.errors import Busy, NotReady, RostraError
from rostra.model.consistency import Consistency
from rostra.model.topics import Entry, Topic
from rostra.views.reader import Reader
from rostra.views.view import View

REPORT_INTERVAL_S: Final = 60.0
MAX_ROUNDS: Final = 12
"""Times that an answer may turn out to need more views; a chain of aliases needs one each."""

SLICE_S: Final = 0.001
LOOK_EVERY: Final = 16
"""Instances rendered between two looks at the clock."""

_log = logging.getLogger("rostra.dns")


class Desk:
    """Answers messages. ``tasks`` is set by the role while it runs; without it, what cannot be answered at once is dropped."""

    def __init__(self, core: Core, reader: Reader, recursion: Recursion, elsewhere: Callable[[str], Desk] | None = None) -> None:
        """``elsewhere`` gives the desk of another datacenter; raises ``NoPath``."""
        self._elsewhere = elsewhere
        self.tasks: asyncio.TaskGroup | None = None
        self.pending = 0
        self.freshness = Freshness(reader, time.monotonic)
        self._reader = reader
        self._distance: Distance | None = None
        self._last_report = -REPORT_INTERVAL_S
        self.configure(core, recursion)

    def configure(self, core: Core, recursion: Recursion) -> None:
        """Takes other settings, from the next message on."""
        self.core = core
        self.prefer_near(self._distance)
        self.settings = core.settings
        self._recursion = recursion
        self.rate_limit = RateLimit(core.settings.response_rate_limit) if core.settings.response_rate_limit else None
        self.freshness.configure(self.settings)

    def prefer_near(self, distance: Distance | None) -> None:
        """Takes distances, which are used where the settings say so."""
        self._distance = distance
        self.core.prefer_near(distance if self.core.settings.nearest_first else None)

    def at_once(self, message: bytes, transport: Transport, client: str, *, alone: bool = True) -> Outcome:
        """The answer, None where none is due, or what it takes to have one. ``freshness.look`` comes before, in the same turn of
        the loop; ``alone`` as in ``Core.respond``."""
        if self.freshness.answers_at_once:
            outcome = self._respond(message, transport, self._look, client, epoch=self.freshness.epoch, alone=alone)
        else:
            outcome = self._respond(message, transport, _nothing, client)
        _note(outcome, transport, client)
        return outcome

    async def answer(self, message: bytes, transport: Transport, client: str) -> bytes | None:
        """The answer, however long it takes within the limits."""
        self.freshness.look()
        outcome = self.at_once(message, transport, client)
        if outcome is None or isinstance(outcome, bytes):
            return outcome
        return await self.finish(outcome, message, transport, client)

    def defer(self, work: Coroutine[object, object, None], done: Callable[[], None] | None = None) -> bool:
        """Runs ``work`` as a task; False, and counted, when too many wait already."""
        if self.tasks is None or self.pending >= self.settings.max_pending:
            metrics.BUSY.inc()
            work.close()
            return False
        self.pending += 1
        metrics.PENDING.set(self.pending)
        task = self.tasks.create_task(work, name="dns question")
        task.add_done_callback(lambda _: self._done(done))
        return True

    def _done(self, done: Callable[[], None] | None) -> None:
        self.pending -= 1
        metrics.PENDING.set(self.pending)
        if done is not None:
            done()

    async def finish(self, outcome: Lacking | Outside | Elsewhere, message: bytes, transport: Transport, client: str) -> bytes | None:
        """Gets what is lacking until there is an answer."""
        try:
            response = await self._finish(outcome, message, transport, client)
        except Exception:
            response = self._broken(message, transport, client)
        _note(response, transport, client)
        return response

    async def _finish(self, outcome: Outcome, message: bytes, transport: Transport, client: str) -> bytes | None:
        here: dict[Topic, View] = {}
        for _ in range(MAX_ROUNDS):
            match outcome:
                case Lacking():
                    try:
                        views = await self.read(outcome.topics)
                        if outcome.render is not None:
                            await _render(views, outcome.render)
                        here.update(zip(outcome.topics, views, strict=True))
                    except RostraError as error:
                        return self._fail(message, transport, _reason(error), client)
                    outcome = self._respond(message, transport, self._with(here), client)
                case Elsewhere():
                    return await self._hand_on(outcome.datacenter, message, transport, client)
                case Outside():
                    answer = await self._recursion.complete(outcome)
                    return self.core.complete(outcome, answer, transport)
                case _:
                    return outcome
        reason = ExtendedError(ErrorCode.NOT_READY, "the catalog changes faster than it can be read")
        return self._fail(message, transport, reason, client)

    async def _hand_on(self, datacenter: str, message: bytes, transport: Transport, client: str) -> bytes | None:
        assert self._elsewhere is not None, "a core that knows other datacenters needs their desks"
        try:
            desk = self._elsewhere(datacenter)
        except RostraError as error:
            return self._fail(message, transport, _reason(error), client)
        desk.freshness.look()
        outcome = desk._respond(message, transport, desk._look if desk.freshness.answers_at_once else _nothing, client)
        return await desk._finish(outcome, message, transport, client)

    def _respond(self, message: bytes, transport: Transport, look: Look, client: str, *, epoch: int = 0, alone: bool = True) -> Outcome:
        try:
            recursion, cut_off = self._recursion.serves(client), self.freshness.cut_off
            return self.core.respond(message, transport, look, recursion=recursion, cut_off=cut_off, epoch=epoch, alone=alone)
        except Exception:
            return self._broken(message, transport, client)

    def _fail(self, message: bytes, transport: Transport, reason: ExtendedError, client: str) -> bytes | None:
        return self.core.fail(message, transport, reason, recursion=self._recursion.serves(client))

    def _broken(self, message: bytes, transport: Transport, client: str) -> bytes | None:
        """Whatever a message or a record makes go wrong is that question's failure, and no more than one log line a minute."""
        metrics.ERRORS.inc()
        now = asyncio.get_running_loop().time()
        if now - self._last_report >= REPORT_INTERVAL_S:
            self._last_report = now
            _log.exception("dns question failed")
        return self._fail(message, transport, ExtendedError(ErrorCode.OTHER, "internal error"), client)

    async def read(self, topics: Sequence[Topic]) -> Sequence[View]:
        """Views that will do: fresh ones until the catalog has caught up once, so that nothing is denied out of ignorance. Raises
        ``RostraError`` when there are none in time."""
        self.freshness.look()
        consistency = Consistency.STALE if self.freshness.answers_at_once else Consistency.DEFAULT
        try:
            reading = await self._reader.read(topics, consistency, timeout_s=self.settings.view_timeout_s)
        except RostraError:
            if self.freshness.caught_up:
                raise
            raise NotReady("the catalog has not caught up since it started") from None
        self.freshness.caught_up = True
        return reading.views

    def _look(self, topic: Topic) -> View | None:
        try:
            reading = self._reader.peek((topic,))
        except Busy:
            return None
        return None if reading is None else reading.views[0]

    def _with(self, here: Mapping[Topic, View]) -> Look:
        """What was just read, and where old views will do, all others too."""
        if not self.freshness.may_be_stale:
            return here.get
        return lambda topic: here[topic] if topic in here else self._look(topic)


def _note(outcome: Outcome, transport: Transport, client: str) -> None:
    """What is an answer is counted, and shown to who wants to see questions."""
    if type(outcome) is bytes:
        metrics.ANSWERS[transport][outcome[3] & 0xF] += 1
        if question_log.is_kept():
            question_log.answered(outcome, transport, client)
    elif outcome is None:
        metrics.NO_QUESTION.inc()


async def _render(views: Sequence[View], render: Callable[[Entry], object]) -> None:
    """What of these views was not yet, a millisecond at a time."""
    clock = asyncio.get_running_loop().time
    end = clock() + SLICE_S
    for view in views:
        for number, _ in enumerate(view.frozen().rendered(render)):
            if number % LOOK_EVERY == 0 and clock() >= end:
                await asyncio.sleep(0)
                end = clock() + SLICE_S


def _nothing(topic: Topic) -> View | None:
    return None


def _reason(error: RostraError) -> ExtendedError:
    if isinstance(error, NotReady):
        return ExtendedError(ErrorCode.NOT_READY, str(error))
    return ExtendedError(ErrorCode.NO_REACHABLE_AUTHORITY, str(error))
