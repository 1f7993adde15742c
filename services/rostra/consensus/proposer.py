"""Proposals on their way into the log: bounded, gathered for a turn, put there as one, and answered when decided."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rostra.consensus.core import Core, Role
from rostra.consensus.limits import Limits
from rostra.consensus.metrics import RAFT
from rostra.consensus.proposals import Batch, Outcome, PendingProposals
from rostra.errors import BadRequest, Busy, NotLeader, NotReady, RostraError

GATHER_PART: Final = 0.5
"""The part of a sync for which those who were just answered are waited for,"""
GATHER_S: Final = 0.002
"""and the most of it."""


@dataclass(slots=True)
class _Waiting:
    commands: Sequence[bytes]
    size: int
    only_in_term: int
    level: int
    future: asyncio.Future[list[Outcome]]


class Proposer:
    """Between the callers of ``Consensus.propose`` and the core."""

    def __init__(self, core: Core, limits: Limits) -> None:
        self._core = core
        self._limits = limits
        self._waiting: list[_Waiting] = []
        self._waiting_count = 0
        self._waiting_size = 0
        self._answered_count = 0
        self._answered_at = -math.inf
        self._pending = PendingProposals()
        self._seen_commit = core.commit_index
        self._seen_term = 0

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to put into the log."""
        return bool(self._waiting)

    @property
    def queued(self) -> int:
        """Proposals that are not decided yet."""
        return self._waiting_count + self._pending.count

    def check(self, commands: Sequence[bytes]) -> int:
        """The size of the commands, if there is room for them."""
        lengths = [len(command) for command in commands]
        if not lengths or max(lengths) > self._limits.max_command_bytes:
            raise BadRequest(f"a command may have up to {self._limits.max_command_bytes} bytes", field="data")
        size = sum(lengths)
        if self.queued + len(lengths) > self._limits.max_pending_proposals:
            raise Busy("too many proposals are waiting")
        if self._pending.size + self._waiting_size + size > self._limits.max_pending_bytes:
            raise Busy("too many bytes of proposals are waiting")
        return size

    def add(self, commands: Sequence[bytes], size: int, only_in_term: int, level: int = 1) -> asyncio.Future[list[Outcome]]:
        """Joins the next turn."""
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(commands, size, only_in_term, level, future))
        self._waiting_count += len(commands)
        self._waiting_size += size
        return future

    def follow(self, index: int, now: float) -> asyncio.Future[list[Outcome]]:
        """Waits for the fate of one entry that is in the log already."""
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._pending.add(Batch(index, 1, self._core.term, 0, future, now))
        return future

    def gathers_until(self, sync_s: float) -> float:
        """When what waits is to be put into the log; minus infinity: now.

        Whoever was just answered is likely to ask again at once, so for a moment the rest of them is waited for: one sync then serves
        all, where the first to come would have started one for itself and kept the others waiting for its end. The moment is short
        beside that sync, and who is alone never waits.
        """
        if self._waiting_count >= self._answered_count:
            return -math.inf
        return self._answered_at + min(sync_s * GATHER_PART, GATHER_S)

    def put_into_log(self, wall_ns: int, now: float) -> None:
        """Everything that came until this turn, as one."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        self._waiting_count = self._waiting_size = self._answered_count = 0
        core = self._core
        accepted: list[_Waiting] = []
        for one in waiting:
            if one.only_in_term and one.only_in_term != core.term:
                _fail(one.future, NotLeader("" if core.leader is None else core.leader.node_id))
            elif not one.future.done() and self._is_understood(one, wall_ns, now):
                accepted.append(one)
        if not accepted:
            return
        try:
            first = core.propose([command for one in accepted for command in one.commands], wall_ns)
        except RostraError as error:
            for one in accepted:
                _fail(one.future, error)
            return
        for one in accepted:
            self._pending.add(Batch(first, len(one.commands), core.term, one.size, one.future, now))
            first += len(one.commands)
        count = sum([len(one.commands) for one in accepted])
        RAFT.count("raft.apply", count)
        RAFT.set("raft.leader.dispatchNumLogs", count)

    def _is_understood(self, one: _Waiting, wall_ns: int, now: float) -> bool:
        """Whether every server can apply it; refused if not."""
        if one.level <= self._core.configuration.level:
            return True
        try:
            self._core.require_level(one.level, wall_ns, now)
        except RostraError as error:
            _fail(one.future, error)
            return False
        return True

    def settle(self, now: float) -> None:
        """Tells proposers what the commit index now says."""
        core, before = self._core, self._pending.count
        in_office = core.role is Role.LEADER
        if not in_office or core.term != self._seen_term:
            self._pending.leave_office()
            self._seen_term = core.term
        if core.commit_index != self._seen_commit:
            RAFT.set("raft.commitNumLogs", core.commit_index - self._seen_commit)
            self._seen_commit = core.commit_index
            if in_office:
                oldest = self._pending.oldest_put_at
                self._pending.committed_in_office(core.commit_index)
                if oldest is not None and self._pending.count < before:
                    RAFT.observe("raft.commitTime", now - oldest)
            if self._pending.has_former:
                self._pending.committed(core.commit_index, core.log.term)
        if self._pending.count < before:
            self._answered_count += before - self._pending.count
            self._answered_at = now

    def give_up(self) -> None:
        """The server stops."""
        for waiting in self._waiting:
            _fail(waiting.future, NotReady("this server is stopping"))
        self._waiting.clear()
        self._pending.give_up()


def _fail(future: asyncio.Future[list[Outcome]], error: RostraError) -> None:
    if not future.done():
        future.set_exception(error)
