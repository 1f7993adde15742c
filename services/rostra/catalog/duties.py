"""The leader's duties: while this server leads, its catalog is kept true to the member list (docs/architecture.md, "A member fails").

On taking office, every minute and when gossip has told a whole list, everything is compared; a single change at once. Each
command is fenced by the term in which it was decided: a leader that no longer is one changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from rostra.catalog import metrics
from rostra.catalog.driver import CatalogDriver
from rostra.catalog.leadership import LeadershipWatch
from rostra.catalog.member_list import MemberList
from rostra.catalog.reads import Reads
from rostra.catalog.reconcile import Duty, reconcile, too_many_removals
from rostra.catalog.writes import Writes
from rostra.errors import BadRequest, Conflict, RostraError
from rostra.model.consistency import Consistency
from rostra.model.identity import Identity
from rostra.model.members import Member

log = logging.getLogger("rostra.catalog")

RECONCILE_S: Final = 60.0
TRY_AGAIN_S: Final = 1.0
"""Pause after a duty that could not be done."""
MAX_AT_ONCE: Final = 64
"""Duties under way at a time: enough to fill a batch, and not the queue."""
FIRST_LIST_S: Final = 1.0
"""How long a new leader waits for the first list of members: without one there is nothing to do."""
SLICE: Final = 64
"""Members compared in one turn of the loop."""


class _OutOfOffice(Exception):
    """This server no longer leads in the term that it took office in."""


class Duties:
    """Runs on the primary catalog of every server; does something on the leader's only."""

    def __init__(
        self,
        identity: Identity,
        members: MemberList,
        leadership: LeadershipWatch,
        driver: CatalogDriver,
        reads: Reads,
        writes: Writes,
        *,
        reconcile_s: float = RECONCILE_S,
    ) -> None:
        self._identity = identity
        self._members = members
        self._leadership = leadership
        self._driver = driver
        self._reads = reads
        self._writes = writes
        self._reconcile_s = reconcile_s
        self._changed = asyncio.Event()
        self.refused: dict[str, str] = {}

    async def run(self) -> None:
        """For ever."""
        forget = self._leadership.listen(self._changed.set)
        try:
            while True:
                if self._leadership.current.is_leader:
                    await self._hold_office(self._leadership.current.term)
                else:
                    await self._changed.wait()
                    self._changed.clear()
        finally:
            forget()

    async def _hold_office(self, term: int) -> None:
        """Returns when this server no longer leads in that term, or when something must be tried again."""
        try:
            await self._reads.be_fresh(Consistency.DEFAULT)
            await self._members.first_told(FIRST_LIST_S)
            self._check_office(term)
            log.info("cluster leadership acquired", extra={"term": term})
            log.info("New leader elected: %s", self._identity.name, extra={"term": term})
            while True:
                await self._reconcile(term, None)
                await self._follow_changes(term)
        except _OutOfOffice:
            log.info("cluster leadership lost", extra={"term": term})
        except RostraError as error:
            log.debug("leader duties interrupted", extra={"term": term, "reason": str(error)})
            await asyncio.sleep(TRY_AGAIN_S)

    async def _follow_changes(self, term: int) -> None:
        """Each change at once, until everything is due to be compared again."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._reconcile_s
        forget = self._leadership.listen(self._members.changed.set)
        try:
            while loop.time() < due:
                try:
                    async with asyncio.timeout_at(due):
                        await self._members.changed.wait()
                except TimeoutError:
                    return
                names, whole = self._members.take_changes()
                self._check_office(term)
                if whole:
                    return
                await self._reconcile(term, names)
                if self.refused:  # what another member held may be free now
                    await self._reconcile(term, tuple(self.refused))
        finally:
            forget()

    async def _reconcile(self, term: int, names: Iterable[str] | None) -> None:
        """Compares the members of these names, or all when None."""
        if names is None:
            self._members.take_changes()
            duties = await self._compare(list(self._members.members.values()), dict(self._members.reaped))
            stopped = too_many_removals(self._driver.state.store, duties)
            if stopped:
                log.error(
                    "removing over a third of the nodes at once is refused; deregister by hand what is gone", extra={"nodes": stopped}
                )
                duties = [duty for duty in duties if not duty.kind.removes]
        else:
            members, reaped = self._members.members, self._members.reaped
            changed = [members[name] for name in names if name in members]
            duties = await self._compare(changed, {name: reaped[name] for name in names if name in reaped})
        for first in range(0, len(duties), MAX_AT_ONCE):
            await self._do(term, duties[first : first + MAX_AT_ONCE])

    async def _compare(self, members: Sequence[Member], reaped: dict[str, Member]) -> list[Duty]:
        duties: list[Duty] = []
        for first in range(0, max(1, len(members)), SLICE):
            duties += reconcile(
                self._driver.state.store,
                members[first : first + SLICE],
                reaped if first == 0 else {},
                datacenter=self._identity.datacenter,
                own_name=self._identity.name,
                settled=self._members.settled,
            )
            await asyncio.sleep(0)
        return duties

    async def _do(self, term: int, duties: Sequence[Duty]) -> None:
        self._check_office(term)
        for error in await asyncio.gather(*(self._propose(term, duty) for duty in duties), return_exceptions=True):
            if isinstance(error, BaseException):
                raise error

    async def _propose(self, term: int, duty: Duty) -> None:
        try:
            await self._writes.write(duty.command, only_in_term=term)
        except (Conflict, BadRequest) as error:
            if self.refused.get(duty.member) != str(error):
                log.warning("a member is not taken into the catalog", extra={"member": duty.member, "reason": str(error)})
            self.refused[duty.member] = str(error)
        else:
            log.info(f"member '%s' {duty.kind.value}", duty.member, extra={"member": duty.member})
            self.refused.pop(duty.member, None)
            metrics.DUTIES.labels(duty.kind.name.lower()).inc()

    def _check_office(self, term: int) -> None:
        current = self._leadership.current
        if not current.is_leader or current.term != term:
            raise _OutOfOffice
