"""Cores with one promise broken each, and the world in which that shows soonest. The net must catch every one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from rostra.consensus import messages
from rostra.consensus.configuration import Configuration
from rostra.consensus.core import Core, Role
from rostra.consensus.lease import SendTimes
from rostra.consensus.model import ChangeAction, Member, ReadMode, SnapshotMeta

from .moments import Moments
from .world import OPTIONS, Profile, World

ROUGH = Profile(voters=3, spares=0, crash_s=2.0, partition_s=2.0, heal_s=1.5, crash_leaders=0.5, cut_leaders=0.5, change_s=0, transfer_s=0)
LEASES = replace(ROUGH, crash_s=0, read_s=0.08, write_s=0.15, partition_s=3.0, heal_s=3.0, snapshot_s=0, cut_leaders=1.0, wipe=0)
CHANGES = Profile(
    voters=4, spares=1, crash_s=3.0, partition_s=1.5, heal_s=1.5, change_s=0.3, transfer_s=3.0, crash_leaders=0.7, cut_leaders=0.7, wipe=0
)
OVERLAPS = replace(CHANGES, change_s=0.1)
RESTARTS = replace(LEASES, shapes=("pair",), write_s=1.0, moments=Moments(asked_to_vote=0.5))
OLD_TERMS = replace(
    ROUGH, snapshot_s=0, options=replace(OPTIONS, max_append_entries=1, max_inflight=1), moments=Moments(office=0.5, commit=0.3)
)
"""Thesis figure 3.7 again and again: logs part while leaders come and go, and what an old leader left arrives entry by entry."""
LATE_ANSWERS = replace(LEASES, lease_reads=False, moments=Moments(round_answered=0.05))
EARLY_CHANGES = replace(
    CHANGES,
    spares=0,
    delay_s=0.06,
    heal_s=5.0,
    crash_s=0,
    partition_s=0,
    transfer_s=0,
    write_s=0.6,
    read_s=1.0,
    moments=Moments(office_change=1.0, change=0.7, commit=0.3),
)
"""Two leaders in turn take a voter out of four, the first on its own, the second with one other: their quorums need not meet."""
WILD_CLOCKS = replace(LEASES, clock_rates=(0.5, 1.5), transfer_s=6.0, shapes=("one",))


class NeverStepsDown(Core):
    """Keeps office without a quorum's answers. That breaks no promise about reads: leases and rounds alone must keep those."""

    def quorum_contact_at(self) -> float:
        return math.inf


class VotesTwice(Core):
    """Votes for whoever asks, as often as asked."""

    def _handle_vote_request(self, request: messages.VoteRequest, now: float) -> None:
        self.vote = None
        super()._handle_vote_request(request, now)


class IgnoresTheLease(NeverStepsDown):
    """Answers from its state as long as it thinks that it leads."""

    def lease_holds(self, now: float) -> bool:
        return self.role is Role.LEADER


class _Now(SendTimes):
    def __init__(self, now: float) -> None:
        super().__init__(0.0)
        self._now = now

    def sent_at(self, round_: int) -> float | None:
        return self._now


class LeaseFromAcknowledgement(NeverStepsDown):
    """Counts a promise from when it heard of it."""

    def _handle_append_response(self, response: messages.AppendResponse, now: float) -> None:
        times, self._send_times = self._send_times, _Now(now)
        super()._handle_append_response(response, now)
        self._send_times = times


class KeepsLeaseOverTransfer(NeverStepsDown):
    """Relies on promises that it has itself asked others to break."""

    def lease_holds(self, now: float) -> bool:
        transfer, given_up = self._transfer, self._lease_given_up
        self._transfer, self._lease_given_up = None, False
        holds = super().lease_holds(now)
        self._transfer, self._lease_given_up = transfer, given_up
        return holds


class ChangesOverlap(Core):
    """Changes the membership while an earlier change is not committed."""

    def change_membership(self, action: ChangeAction, member: Member, wall_ns: int, now: float, *, only_at_index: int = 0) -> int:
        commit, self.commit_index = self.commit_index, max(self.commit_index, self.log.last_index)
        try:
            return super().change_membership(action, member, wall_ns, now, only_at_index=only_at_index)
        finally:
            self.commit_index = commit


class SnapshotsWithoutConfiguration(Core):
    """Takes a snapshot of the commands only."""

    def describe_snapshot(self, index: int, snapshot_id: str) -> SnapshotMeta:
        meta = super().describe_snapshot(index, snapshot_id)
        empty = Configuration(self.cluster_id).encode()
        return SnapshotMeta(snapshot_id, meta.cluster_id, meta.index, meta.term, meta.time_ns, empty, meta.configuration_index)


class AcknowledgesAtOnce(Core):
    """Says that it has entries as soon as they are in memory."""

    def _handle_append(self, request: messages.AppendRequest, now: float) -> None:
        super()._handle_append(request, now)
        if self._acknowledgement is not None:
            self._outbox.append(self._acknowledgement)
            self._acknowledgement = None


class TrustsAnyAppend(Core):
    """Takes entries without looking whether the one before them matches."""

    def _reject_append(self, request: messages.AppendRequest, promise_s: float) -> None:
        if request.entries and request.previous_index <= self.log.last_index:
            self._take_entries(request.entries, 0.0)
        super()._reject_append(request, promise_s)


class VotesForShortLogs(Core):
    """Does not compare logs when it votes."""

    def _is_up_to_date(self, request: messages.VoteRequest) -> bool:
        return True


class VotesAfterRestart(Core):
    """Forgets in a restart that it promised not to vote."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._promised_until = self._no_vote_until = -math.inf


class CommitsOldTerms(Core):
    """Commits entries of older terms by counting."""

    def _advance_commit(self, now: float) -> None:
        start, self._term_start_index = self._term_start_index, 0
        super()._advance_commit(now)
        self._term_start_index = start


class JoinsASentRound(NeverStepsDown):
    """Lets a read be confirmed by a round that was sent before it came."""

    def _read(self, context: Any, mode: ReadMode, now: float) -> None:
        if self.term_confirmed and self._reads._sent:
            self._reads._sent[-1][1].append((context, self.commit_index))
        else:
            super()._read(context, mode, now)


class ChangesBeforeOwnTerm(Core):
    """Changes the membership before an entry of its term is committed (the fault that Ongaro corrected in 2015)."""

    @property
    def term_confirmed(self) -> bool:
        return self.role is Role.LEADER


@dataclass(frozen=True)
class Mutant:
    """What is broken, and where it shows."""

    core: type[Core]
    profile: Profile
    synced_disks: bool = True
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.core.__name__

    def world(self, seed: int) -> World:
        """A world of such cores."""
        return World(seed, self.profile, self.core, synced_disks=self.synced_disks)


MUTANTS = [
    Mutant(VotesTwice, ROUGH),
    Mutant(VotesForShortLogs, ROUGH),
    Mutant(AcknowledgesAtOnce, replace(ROUGH, fsync_s=0.05)),
    Mutant(TrustsAnyAppend, ROUGH),
    Mutant(IgnoresTheLease, LEASES),
    Mutant(LeaseFromAcknowledgement, replace(LEASES, long_delay=0.1, shapes=("one",))),
    Mutant(KeepsLeaseOverTransfer, replace(LEASES, transfer_s=1.0)),
    Mutant(ChangesOverlap, OVERLAPS),
    Mutant(SnapshotsWithoutConfiguration, Profile()),
    Mutant(Core, replace(ROUGH, snapshot_s=0), synced_disks=False, name="SkipsFsync"),
    Mutant(Core, replace(ROUGH, wipe=0.5, wiped_id_returns=True), name="ReusesWipedId"),
    Mutant(VotesAfterRestart, RESTARTS),
    Mutant(CommitsOldTerms, OLD_TERMS),
    Mutant(JoinsASentRound, LATE_ANSWERS),
    Mutant(ChangesBeforeOwnTerm, EARLY_CHANGES),
    Mutant(NeverStepsDown, WILD_CLOCKS, name="ClocksBeyondTheLeaseBound"),
]

CONTROLS = [
    Mutant(NeverStepsDown, LEASES),
    Mutant(NeverStepsDown, replace(LEASES, long_delay=0.1, shapes=("one",))),
    Mutant(NeverStepsDown, replace(LEASES, transfer_s=1.0)),
    Mutant(NeverStepsDown, replace(WILD_CLOCKS, lease_reads=False), name="WildClocksWithQuorumReads"),
    Mutant(Core, ROUGH),
    Mutant(Core, OVERLAPS),
    Mutant(NeverStepsDown, RESTARTS),
    Mutant(Core, OLD_TERMS),
    Mutant(NeverStepsDown, LATE_ANSWERS),
    Mutant(Core, EARLY_CHANGES),
]
"""The same worlds without the fault: what catches the mutants must not cry wolf."""
