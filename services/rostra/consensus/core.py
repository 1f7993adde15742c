"""Raft (Ongaro's thesis, 2014): every transition of the protocol, and nothing else.

The core is driven: messages, the clock, proposals and the completion of writes are method calls; what is to be done about
them is collected with ``ready()``. It reads no clock, touches no disk and draws no random number of its own, so that one
seed replays a whole cluster.

Three rules carry the safety of the protocol, and each has one place here:

- *Nothing is claimed before it is on disk.* Votes, vote requests and acknowledgements go through ``_send_when_durable``
  and leave when every write made before them has completed. What claims nothing durable (heartbeats and their answers,
  appends of a leader, pre-votes) leaves at once, so a slow fsync delays acknowledgements only.
- *A leader commits only entries of its own term by counting* (section 3.6.2): ``_advance_commit``.
- *A quorum's promise not to vote is what a lease is made of* (section 6.4.1): ``_is_bound_by_promise`` keeps it,
  ``lease_holds`` relies on it.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import assert_never

from rostra.consensus import events, messages
from rostra.consensus.configuration import Configuration, ConfigurationHistory, decode_configuration
from rostra.consensus.lease import SendTimes
from rostra.consensus.log import Log, LogReader, size_of
from rostra.consensus.messages import NO_ANSWER, Message
from rostra.consensus.model import (
    ChangeAction,
    Entry,
    EntryKind,
    HardState,
    Member,
    PeerId,
    ReadMode,
    ReadResult,
    Recovered,
    SnapshotMeta,
    Write,
)
from rostra.consensus.progress import PeerState, Progress
from rostra.consensus.quorum import majority, quorum_value
from rostra.consensus.read_index import ReadContext, ReadQueue
from rostra.consensus.ready import Options, Ready
from rostra.consensus.timing import READ_PATIENCE_S, Timing
from rostra.errors import Busy, Conflict, NotFound, NotLeader, Unsupported


class Role(enum.Enum):
    """The states of thesis figure 3.3, and the one of section 9.6."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(slots=True)
class _Transfer:
    """Leadership is being handed over; ``asked``: the target was told to stand."""

    target: PeerId
    until: float
    asked: bool = False


class Core:
    """One server. All times are seconds of one monotonic clock that goes on while the machine sleeps."""

    def __init__(
        self,
        *,
        recovered: Recovered,
        node_id: str,
        reader: LogReader,
        timing: Timing,
        random: Random,
        now: float,
        options: Options | None = None,
    ) -> None:
        self.id = PeerId(node_id, recovered.store_id)
        self.timing = timing
        self.options = options or Options()
        self._random = random
        state = recovered.hard_state
        self.term = state.term
        self.vote = state.vote
        self.cluster_id = state.cluster_id
        self.log = Log(reader, recovered, cached_bytes=self.options.cached_bytes)
        self.snapshot = recovered.snapshot
        covered = self.log.base_index if self.snapshot is None else self.snapshot.index
        self.commit_index = max(min(state.commit_index, self.log.last_index), covered)
        self.history = ConfigurationHistory()
        self._recover_configurations(recovered)
        self.configuration.require_level(self.options.command_level)

        self.role = Role.FOLLOWER
        self.leader: PeerId | None = None
        self.leader_contact_at = -math.inf
        self.dropped = 0
        """Messages for another cluster or store, counted and ignored."""

        # A restarted server does not remember whom it promised not to vote, so it keeps the longest promise it may
        # have made. It promises nothing new before that length is on disk.
        self._durable_promise_s = state.promise_s
        self._promise_goal_s = max(timing.heartbeat_timeout_s, state.promise_s)
        self._no_vote_until = now + self._promise_goal_s
        self._promised_until = self._no_vote_until
        self._promise_write: int | None = None

        self._votes: dict[PeerId, bool] = {}
        self._election_at = max(self._randomised(now, timing.heartbeat_timeout_s), self._no_vote_until)
        if self._is_alone_for_certain():
            self._election_at = now

        self._progress: dict[PeerId, Progress] = {}
        self._term_start_index = 0
        self._round = 0
        self._asked: Collection[PeerId] = ()
        self._asked_round = 0
        self._ask_all_at = math.inf
        self._send_times = SendTimes(timing.heartbeat_timeout_s * 2)
        self._heartbeat_at = math.inf
        self._cut_off_at = math.inf
        self._heartbeat_due = False
        self._reads = ReadQueue()
        self._forwarded_reads: set[int] = set()
        self._uncommitted: deque[tuple[int, int]] = deque()
        self._uncommitted_bytes = 0
        self._transfer: _Transfer | None = None
        self._lease_given_up = False

        self._writes_made = 0
        self.writes_completed = 0
        """Number of the last write that is on disk."""
        self._state_write = 0
        self._written_state = (state.term, state.vote, state.cluster_id, state.promise_s)
        self._pending_restore: SnapshotMeta | None = None
        self._pending_snapshot: SnapshotMeta | None = None
        self._pending_compaction = 0
        self._acknowledgement: messages.AppendResponse | None = None
        self._unheld: list[Message] = []
        self._held: deque[tuple[int, Message]] = deque()
        self._outbox: list[Message] = []
        self._heard_itself = False
        self._snapshots: list[tuple[PeerId, SnapshotMeta]] = []
        self._restored: SnapshotMeta | None = None
        self._delivered_index = -1
        self._read_results: list[ReadResult] = []
        self._events: list[events.Event] = []
        if self.history.latest_index:
            self._emit(events.ConfigurationFound(self.history.latest_index, self.configuration))
        self._emit(events.BecameFollower(self.term, None, "started"))

    # -- what a driver may ask ---------------------------------------------------------------------------------------

    @property
    def configuration(self) -> Configuration:
        """The latest in the log, committed or not: it is the one that counts (thesis section 4.1)."""
        return self.history.latest

    @property
    def deliverable_index(self) -> int:
        """Committed and on this server's own disk: the state machine never runs ahead of the log beside it."""
        return min(self.commit_index, self.log.stable_index)

    @property
    def deadline(self) -> float:
        """When ``tick`` has something to do; infinity if only input can change anything."""
        if self.role is not Role.LEADER:
            return self._election_at if self._may_campaign() else math.inf
        if not self._progress:
            return math.inf
        transfer_at = math.inf if self._transfer is None else self._transfer.until
        return min(self._heartbeat_at, self._ask_all_at, self._cut_off_at, transfer_at)

    @property
    def heartbeat_at(self) -> float:
        """When this leader's next heartbeat is due; infinity where none is."""
        return self._heartbeat_at if self._progress else math.inf

    @property
    def term_confirmed(self) -> bool:
        """Whether this leader has committed an entry of its own term, and so knows what is committed."""
        return self.role is Role.LEADER and self.commit_index >= self._term_start_index

    @property
    def transfer_target(self) -> PeerId | None:
        """Whom leadership is being handed to."""
        return None if self._transfer is None else self._transfer.target

    @property
    def progress(self) -> dict[PeerId, Progress]:
        """The leader's view of its peers; to be read only."""
        return self._progress

    def lease_holds(self, now: float) -> bool:
        """Whether no other server can have been elected by ``now``, as the promises of a quorum have it."""
        if self.role is not Role.LEADER or self._lease_given_up or self._transfer is not None:
            return False
        return quorum_value([self._lease_of(voter) for voter in self.configuration.voters]) > now

    def is_removed(self) -> bool:
        """Whether a committed configuration leaves this server out."""
        index, configuration = self.history.at(self.commit_index)
        return index > 0 and self.id not in configuration.by_id and self.id not in self.configuration.by_id

    # -- input: time -------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Time has passed. To be called at ``deadline``; earlier is harmless."""
        if now >= self._no_vote_until:
            self._promise_goal_s = self.timing.heartbeat_timeout_s
        if self.role is Role.LEADER:
            self._tick_leader(now)
        elif now >= self._election_at and self._may_campaign():
            if self.role is Role.FOLLOWER:
                self._emit(events.HeartbeatTimedOut(self.leader, self.term))
            self._campaign(now, pre_vote=self.configuration.voters != {self.id})

    def _tick_leader(self, now: float) -> None:
        if self._transfer is not None and now >= self._transfer.until:
            self._emit(events.TransferEnded(self._transfer.target, self.term, "the target did not take over in time"))
            self._transfer = None
        if not self._progress:
            return
        # Check-quorum (section 6.2): a leader cut off from its followers must let its clients go.
        if now >= self._cut_off_at and now >= self._renew_cut_off():
            self._become_follower(self.term, None, now, events.CUT_OFF)
        elif now >= min(self._heartbeat_at, self._ask_all_at):
            self._heartbeat_due = True

    # -- input: proposals, reads, membership -------------------------------------------------------------------------

    def propose(self, commands: Sequence[bytes], wall_ns: int) -> int:
        """Appends commands in order, in consecutive places, and returns the first index. Nothing is promised by that: the
        entry at an index is one's own only if it is committed with this term."""
        self._require_office()
        if self.log.unstable_bytes > self.options.max_unstable_bytes:
            raise Busy("too much waits for the disk")
        if self._uncommitted_bytes > self.options.max_uncommitted_bytes:
            raise Busy("too much waits for a quorum")
        assert commands
        time_ns, term, index = max(self.log.last_time_ns, wall_ns), self.term, self.log.last_index + 1
        kind = int(EntryKind.COMMAND)
        self._append([Entry(place, term, kind, time_ns, data) for place, data in enumerate(commands, index)])
        return index

    def require_level(self, level: int, wall_ns: int, now: float) -> None:
        """To be called before commands of that level are proposed. The first time, every member must be there and understand them:
        then the cluster level is raised, by an entry before them, and a version that does not understand it can no longer take part."""
        self._require_office()
        if level <= self.configuration.level:
            return
        if level > self.options.command_level:
            raise Unsupported(f"a command of level {level}: the leader understands level {self.options.command_level}")
        for peer, progress in self._progress.items():
            member = self.configuration.by_id.get(peer)
            name = peer.node_id if member is None else member.node_name or peer.node_id
            if now - progress.contact_at > self.timing.heartbeat_timeout_s or not progress.command_level:
                raise Unsupported(f"a command of level {level} is new here: server {name} has to be there when it is first used")
            if progress.command_level < level:
                raise Unsupported(f"a command of level {level}: server {name} understands level {progress.command_level}")
        try:
            self._require_settled()
        except Conflict as error:
            raise Busy(str(error)) from None  # in a moment it is settled
        self._append_configuration(self.configuration.with_level(level), wall_ns, now)

    def read_index(self, context: int, mode: ReadMode, now: float) -> None:
        """Asks for an index that no write acknowledged before this call exceeds (section 6.4). The answer comes as a
        ``ReadResult``; on a follower through its leader, and then it may never come if a message is lost."""
        if self.role is Role.LEADER:
            self._read((None, context), mode, now)
        elif self.leader is None:
            self._read_results.append(ReadResult(context, 0))
        else:
            self._forwarded_reads.add(context)
            quorum = mode is ReadMode.QUORUM
            self._outbox.append(messages.ReadIndexQuery(*self._header(self.leader), context=context, quorum=quorum))

    def read_at_once(self, mode: ReadMode, now: float) -> int:
        """The index that ``read_index`` would give, where it takes no message: on a leader whose lease holds, or that is the only
        voter. 0 elsewhere. It changes nothing, so it may be asked between turns: what has not been stepped yet can neither have
        committed an entry nor, while the lease holds, have made another leader."""
        if not self.term_confirmed:
            return 0
        if mode is ReadMode.LEASE and self.lease_holds(now):
            return self.commit_index
        return self.commit_index if self.configuration.voters == {self.id} else 0

    def forget_read(self, context: int) -> None:
        """Nobody waits for this answer any more."""
        self._forwarded_reads.discard(context)

    def change_membership(self, action: ChangeAction, member: Member, wall_ns: int, now: float, *, only_at_index: int = 0) -> int:
        """Appends the configuration after one single-server change, and returns its index (thesis section 4.1).

        Refused while an earlier change is not committed, and before an entry of this term is: else two leaders could
        each change what the other had changed, and their quorums need not meet (Ongaro's correction of 2015).
        """
        self._require_leadership()
        self._require_settled()
        if only_at_index and only_at_index != self.history.latest_index:
            raise Conflict(f"the configuration is of index {self.history.latest_index}, not {only_at_index}")
        configuration = self._changed(action, member, now)
        if configuration == self.configuration:
            return self.history.latest_index
        return self._append_configuration(configuration, wall_ns, now)

    def _require_settled(self) -> None:
        if not self.term_confirmed:
            raise Conflict("no entry of this term is committed yet")
        if self.history.latest_index > self.commit_index:
            raise Conflict("another membership change is not committed yet")

    def _append_configuration(self, configuration: Configuration, wall_ns: int, now: float) -> int:
        index = self.log.last_index + 1
        time_ns = max(self.log.last_time_ns, wall_ns)
        self._append([Entry(index, self.term, int(EntryKind.CONFIGURATION), time_ns, configuration.encode())])
        self._use_configuration(index, configuration)
        self._synchronise_progress(now)
        self._advance_commit(now)
        return index

    def _changed(self, action: ChangeAction, member: Member, now: float) -> Configuration:
        match action:
            case ChangeAction.ADD_LEARNER:
                return self.configuration.with_learner(member)
            case ChangeAction.REMOVE:
                return self.configuration.without(member.id)
            case ChangeAction.PROMOTE:
                changed = self.configuration.with_voter(member.id)
                progress = self._progress.get(member.id)
                if progress is not None and (
                    progress.state is not PeerState.REPLICATE or now - progress.contact_at > self.timing.heartbeat_timeout_s
                ):
                    raise Conflict(f"member {member.id.node_id} has not caught up, or does not answer")
                return changed
            case _:
                assert_never(action)

    def transfer(self, target: PeerId | None, now: float) -> PeerId:
        """Hands leadership to ``target``, or to the voter that is furthest on (section 3.10). Proposals are refused until it
        has it, or until an election timeout has passed. The lease ends now, before anyone is asked to stand."""
        self._require_leadership()
        others = [voter for voter in self.configuration.voters if voter != self.id]
        if target is None:
            if not others:
                raise Conflict("there is no other voter to hand leadership to")
            target = max(others, key=lambda voter: (self._progress[voter].match_index, self._progress[voter].contact_at, voter))
        elif target not in others:
            raise NotFound(f"{target.node_id} is not another voter of this cluster")
        if self._transfer is not None and self._transfer.target != target:
            raise Conflict(f"leadership is being handed to {self._transfer.target.node_id}")
        if self._transfer is None:
            self._transfer = _Transfer(target, now + self.timing.election_timeout_s)
            self._emit(events.TransferStarted(target, self.term))
        return target

    def bootstrap(self, configuration: Configuration) -> None:
        """Writes the first entry of a new cluster. Every server that is named must write the same one (section 4.4)."""
        if self.log.last_index or self.cluster_id or self.term:
            raise Conflict("this store is not empty: it cannot start a new cluster")
        assert configuration.cluster_id
        assert configuration.voters
        self.cluster_id = configuration.cluster_id
        self.term = 1
        entry = Entry(1, 1, int(EntryKind.CONFIGURATION), 0, configuration.encode())
        self.log.append([entry], size_of([entry]))
        self._use_configuration(1, configuration)
        if configuration.voters == {self.id}:
            self._election_at = -math.inf  # an empty store has promised nobody anything

    # -- input: snapshots --------------------------------------------------------------------------------------------

    def describe_snapshot(self, index: int, snapshot_id: str) -> SnapshotMeta:
        """The description of a snapshot that covers everything up to ``index``, a delivered entry that is still here."""
        assert index <= self.deliverable_index
        term = self.log.term(index)
        if term is None or (self.snapshot is not None and index < self.snapshot.index):
            raise Conflict(f"there is a newer snapshot than one of entry {index}")
        configuration_index, configuration = self.history.at(index)
        return SnapshotMeta(
            snapshot_id=snapshot_id,
            cluster_id=self.cluster_id,
            index=index,
            term=term,
            time_ns=self.log.time_ns(index),
            configuration=configuration.encode(),
            configuration_index=configuration_index,
        )

    def snapshot_saved(self, meta: SnapshotMeta) -> None:
        """A snapshot of the own state machine is on disk: the log behind it may go, but for the trailing entries."""
        if self.snapshot is not None and meta.index <= self.snapshot.index:
            return
        self.snapshot = self._pending_snapshot = meta
        to_index = min(meta.index - self.options.trailing_logs, self.log.stable_index)
        if to_index > self.log.base_index:
            self.log.compact(to_index)
            self.history.compact(to_index)
            self._pending_compaction = to_index

    def snapshot_sent(self, peer: PeerId, *, delivered: bool) -> None:
        """Sending a snapshot has ended: probe behind it, or from the start, at the peer's next sign of life."""
        progress = self._progress.get(peer)
        if progress is not None and progress.state is PeerState.SNAPSHOT:
            covered = progress.snapshot_index if delivered else progress.match_index
            progress.become_probe(covered + 1, self._round, wait=True)
            self._emit(events.PeerStateChanged(peer, progress.state.value, progress.next_index))

    def unreachable(self, peer: PeerId) -> None:
        """The connection to a peer broke: what was under way is taken for lost."""
        progress = self._progress.get(peer)
        if progress is not None and progress.state is PeerState.REPLICATE:
            progress.become_probe(progress.match_index + 1, self._round, wait=True)
            self._emit(events.PeerStateChanged(peer, progress.state.value, progress.next_index))

    # -- input: the disk ---------------------------------------------------------------------------------------------

    def persisted(self, number: int, now: float) -> None:
        """Every write up to ``number`` is on disk, for good."""
        assert self.writes_completed < number <= self._writes_made
        self.writes_completed = number
        if self._promise_write is not None and self._promise_write <= number:
            self._durable_promise_s, self._promise_write = self._promise_goal_s, None
        moved = self.log.completed(number)
        while self._held and self._held[0][0] <= number:
            self._release(self._held.popleft()[1], now)
        if moved and self.role is Role.LEADER:
            self._advance_commit(now)

    def _send_when_durable(self, message: Message) -> None:
        self._unheld.append(message)

    def _release(self, message: Message, now: float) -> None:
        """What was claimed in an older term is of no use to anybody: it is not sent, only what still holds is."""
        if message.term != self.term:
            return
        if message.to == self.id:
            self._heard_itself = True
            self.step(message, now)
        else:
            self._outbox.append(message)

    # -- output ------------------------------------------------------------------------------------------------------

    def ready(self, now: float) -> Ready | None:
        """Everything that is to be done since the last call, or None. Called at the end of each turn: what came together
        leaves together, one append for each peer, one write for the disk."""
        self._heard_itself = False
        if self.role is Role.LEADER:
            self._replicate(now)
        if self._acknowledgement is not None:
            self._unheld.append(self._acknowledgement)
            self._acknowledgement = None
        write = self._take_write()
        if self._unheld:
            held, self._unheld = self._unheld, []
            if self._writes_made > self.writes_completed:
                self._held.extend((self._writes_made, message) for message in held)
            else:
                for message in held:
                    self._release(message, now)
        deliverable = self.deliverable_index
        if (
            write is None
            and deliverable == self._delivered_index
            and not (self._outbox or self._events or self._read_results or self._snapshots or self._restored)
        ):
            return None
        ready = Ready(
            self._outbox, write, self._snapshots, self._restored, deliverable, self._read_results, self._events, again=self._heard_itself
        )
        self._outbox, self._snapshots, self._restored, self._read_results, self._events = [], [], None, [], []
        self._delivered_index = deliverable
        return ready

    def _take_write(self) -> Write | None:
        number = self._writes_made + 1
        entries = self.log.take_unwritten(number)
        state = (self.term, self.vote, self.cluster_id, self._promise_goal_s)
        changed = state != self._written_state
        if not (changed or entries or self._pending_restore or self._pending_snapshot):
            return None
        if self._promise_goal_s != self._written_state[3]:
            self._promise_write = number
        if changed:
            self._state_write = number
        self._writes_made, self._written_state = number, state
        restore, snapshot = self._pending_restore, self._pending_restore or self._pending_snapshot
        write = Write(
            number=number,
            hard_state=HardState(self.term, self.vote, self.commit_index, self._promise_goal_s, self.cluster_id),
            restore=restore is not None,
            entries=entries,
            snapshot=snapshot,
            compact_to=self._pending_compaction,
        )
        self._pending_restore, self._pending_snapshot, self._pending_compaction = None, None, 0
        return write

    # -- messages ----------------------------------------------------------------------------------------------------

    def step(self, message: Message, now: float) -> None:
        """A message arrived. One for another store, or of another cluster, is counted and ignored: a wiped disk must not
        answer for what the old one said, and two clusters must not mix."""
        if message.to != self.id or not self._accepts_cluster(message):
            self.dropped += 1
            return
        if isinstance(message, messages.VoteRequest):
            if message.pre_vote:
                self._handle_pre_vote(message, now)
                return
            # Section 4.2.3: within the minimum election timeout of hearing from a leader a server neither votes nor takes
            # up the term, unless that leader itself asked for the election.
            if not message.leadership_transfer and self._is_bound_by_promise(now):
                return
        if message.term > self.term:
            if isinstance(message, messages.VoteResponse) and message.pre_vote and message.granted:
                self._handle_vote_response(message, now)
                return
            from_leader = isinstance(message, messages.AppendRequest | messages.SnapshotInstalled | messages.TimeoutNow)
            self._become_follower(message.term, message.sender if from_leader else None, now, "a newer term was seen")
        elif message.term < self.term:
            if isinstance(message, messages.AppendRequest):
                # So that a leader of the past learns of it: its term may be lower only because it was cut off.
                self._outbox.append(messages.AppendResponse(*self._header(message.sender), round=0, success=False, match_index=0))
            elif isinstance(message, messages.VoteRequest):
                self._send_vote(message, False, "the term has passed")
            return
        self._step_in_term(message, now)

    def _step_in_term(self, message: Message, now: float) -> None:
        match message:
            case messages.AppendRequest():
                self._handle_append(message, now)
            case messages.AppendResponse():
                self._handle_append_response(message, now)
            case messages.VoteRequest():
                self._handle_vote_request(message, now)
            case messages.VoteResponse():
                self._handle_vote_response(message, now)
            case messages.SnapshotInstalled():
                self._handle_snapshot(message, now)
            case messages.TimeoutNow():
                self._handle_timeout_now(message, now)
            case messages.ReadIndexQuery():
                self._handle_read_query(message, now)
            case messages.ReadIndexReply():
                if message.context in self._forwarded_reads:
                    self._forwarded_reads.discard(message.context)
                    self._read_results.append(ReadResult(message.context, message.index))
            case _:
                assert_never(message)

    def _accepts_cluster(self, message: Message) -> bool:
        if message.cluster_id == self.cluster_id:
            return bool(self.cluster_id)
        if self.cluster_id or not message.cluster_id:
            return False
        if isinstance(message, messages.AppendRequest | messages.SnapshotInstalled):
            # An empty store joins the first cluster whose leader knows this very store as its member.
            self.cluster_id = message.cluster_id
            return True
        return False

    def _header(self, to: PeerId, term: int | None = None) -> tuple[str, PeerId, PeerId, int]:
        return self.cluster_id, self.id, to, self.term if term is None else term

    # -- elections (sections 3.4, 4.2.3, 9.6) ------------------------------------------------------------------------

    def _may_campaign(self) -> bool:
        """A voter may stand; so may one whose removal is not committed: nobody else may have that entry (section 4.2.2)."""
        if self.id in self.configuration.voters:
            return True
        return self.history.latest_index > self.commit_index and self.id in self.history.at(self.commit_index)[1].voters

    def _is_alone_for_certain(self) -> bool:
        """Whether this is the only voter, and that is committed (or it began so). Then no lease is left that leans on a promise of
        this server: whoever had one was followed in office by this server, or has stepped down for having removed itself. While
        that removal is not known to be committed here, it may still be in office."""
        return self.configuration.voters == {self.id} and self.history.latest_index <= max(self.commit_index, 1)

    def _is_bound_by_promise(self, now: float) -> bool:
        return self.role is Role.LEADER or now < self._promised_until

    def _campaign(self, now: float, *, pre_vote: bool, leadership_transfer: bool = False) -> None:
        if pre_vote:
            self.role = Role.PRE_CANDIDATE
        else:
            self.role = Role.CANDIDATE
            self.term += 1
            self.vote = self.id
        self._lose_sight_of_leader()
        self._votes = {}
        self._election_at = self._randomised(now, self.timing.election_timeout_s)
        term = self.term + pre_vote
        voters = self.configuration.voters
        self._emit(events.BecameCandidate(term, pre_vote))
        self._emit(events.VotesNeeded(term, majority(len(voters)), pre_vote))
        for voter in sorted(voters):
            if voter != self.id:
                request = messages.VoteRequest(
                    *self._header(voter, term),
                    last_index=self.log.last_index,
                    last_term=self.log.last_term,
                    pre_vote=pre_vote,
                    leadership_transfer=leadership_transfer,
                )
                if pre_vote:
                    self._outbox.append(request)
                else:
                    # A vote is won with the log as it is in memory, so that must be on disk before anyone is asked.
                    self._send_when_durable(request)
        if self.id in voters:
            own = messages.VoteResponse(*self._header(self.id, term), granted=True, pre_vote=pre_vote)
            if pre_vote:
                self._handle_vote_response(own, now)
            else:
                self._send_when_durable(own)

    def _handle_pre_vote(self, request: messages.VoteRequest, now: float) -> None:
        """Changes nothing here: it only tells whether a vote could be had."""
        if self._is_bound_by_promise(now):
            self._send_vote(request, False, "a leader was heard within the minimum election timeout")
        elif request.term <= self.term:
            self._send_vote(request, False, "the term has passed")
        elif not self._is_up_to_date(request):
            self._send_vote(request, False, "the candidate's log is behind")
        else:
            self._send_vote(request, True, "")

    def _handle_vote_request(self, request: messages.VoteRequest, now: float) -> None:
        if self.vote not in (None, request.sender):
            self._send_vote(request, False, "voted for another candidate")
        elif self.leader is not None:
            self._send_vote(request, False, "the term has a leader")
        elif not self._is_up_to_date(request):
            self._send_vote(request, False, "the candidate's log is behind")
        else:
            if self.vote is None:
                self._emit(events.VoteGiven(self.term, request.sender))
            if self.role is Role.PRE_CANDIDATE:
                self._become_follower(self.term, None, now, "voted for another candidate")
            self.vote = request.sender
            self._election_at = self._randomised(now, self.timing.heartbeat_timeout_s)
            self._send_vote(request, True, "")

    def _send_vote(self, request: messages.VoteRequest, granted: bool, reason: str) -> None:
        term = request.term if granted else self.term
        response = messages.VoteResponse(*self._header(request.sender, term), granted=granted, pre_vote=request.pre_vote, reason=reason)
        if granted and not request.pre_vote:
            self._send_when_durable(response)
        else:
            self._outbox.append(response)

    def _is_up_to_date(self, request: messages.VoteRequest) -> bool:
        """Section 3.6.1: the later term wins, within one term the longer log."""
        return (request.last_term, request.last_index) >= (self.log.last_term, self.log.last_index)

    def _handle_vote_response(self, response: messages.VoteResponse, now: float) -> None:
        asked = Role.PRE_CANDIDATE if response.pre_vote else Role.CANDIDATE
        term = self.term + response.pre_vote
        voters = self.configuration.voters
        if self.role is not asked or (response.granted and response.term != term) or response.sender not in voters:
            return
        if response.sender in self._votes:
            return
        self._votes[response.sender] = response.granted
        tally = sum(self._votes.values())
        self._emit(events.VoteTallied(response.sender, response.granted, term, tally, response.pre_vote, response.reason))
        needed = majority(len(voters))
        if tally >= needed:
            if response.pre_vote:
                self._campaign(now, pre_vote=False)
            else:
                self._emit(events.ElectionWon(term, tally))
                self._become_leader(now)
        elif len(self._votes) - tally > len(voters) - needed:
            self._become_follower(self.term, None, now, "a quorum refused its vote")

    def _handle_timeout_now(self, message: messages.TimeoutNow, now: float) -> None:
        if self.role is Role.LEADER or self.id not in self.configuration.voters:
            return
        self._emit(events.AskedToStand(message.sender, self.term))
        self._campaign(now, pre_vote=False, leadership_transfer=True)

    def _become_follower(self, term: int, leader: PeerId | None, now: float, reason: str) -> None:
        was, left = self.role, self.term
        if term > self.term:
            self.term, self.vote = term, None
        self.role = Role.FOLLOWER
        self._lose_sight_of_leader()
        self.leader = leader
        if was is Role.LEADER:
            self._leave_office(left, now, reason)
        if was is not Role.FOLLOWER:
            self._emit(events.BecameFollower(self.term, leader, reason))
        elif leader is not None:
            self._emit(events.LeaderKnown(self.term, leader))

    def _leave_office(self, term: int, now: float, reason: str) -> None:
        for context in self._reads.fail():
            self._answer_read(context, 0)
        self._reads = ReadQueue()
        self._progress = {}
        self._transfer = None
        self._uncommitted.clear()
        self._uncommitted_bytes = 0
        self._election_at = self._randomised(now, self.timing.heartbeat_timeout_s)
        self._emit(events.LeaderLost(term, reason))

    def _become_leader(self, now: float) -> None:
        self.role = Role.LEADER
        self.leader = self.id
        self._lease_given_up = False
        self._progress = {}
        self._synchronise_progress(now)
        self._heartbeat_at = now
        self._heartbeat_due = True
        index = self.log.last_index + 1
        self._term_start_index = index
        # The no-op of section 6.4: until an entry of its term is committed a leader does not know what is.
        self._append([Entry(index, self.term, int(EntryKind.NO_OP), self.log.last_time_ns, b"")])
        self._emit(events.BecameLeader(self.term, index))

    def _lose_sight_of_leader(self) -> None:
        self.leader = None
        for context in sorted(self._forwarded_reads):
            self._read_results.append(ReadResult(context, 0))
        self._forwarded_reads.clear()

    def _randomised(self, now: float, timeout_s: float) -> float:
        return now + timeout_s * (1 + self._random.random())

    # -- followers (section 3.5) -------------------------------------------------------------------------------------

    def _hear_leader(self, sender: PeerId, now: float) -> float:
        """A leader of this term spoke. Returns the promise that goes with the answer: no vote for that long from now."""
        assert self.role is not Role.LEADER, f"two leaders in term {self.term}: {self.id} and {sender}"
        if self.role is not Role.FOLLOWER:
            self._become_follower(self.term, sender, now, "another server was elected")
        elif self.leader is None:
            self.leader = sender
            self._emit(events.LeaderKnown(self.term, sender))
        assert self.leader == sender, f"two leaders in term {self.term}: {self.leader} and {sender}"
        self.leader_contact_at = now
        self._election_at = self._randomised(now, self.timing.heartbeat_timeout_s)
        self._promised_until = max(self._promised_until, now + self.timing.heartbeat_timeout_s)
        return min(self.timing.heartbeat_timeout_s, self._durable_promise_s)

    def _handle_append(self, request: messages.AppendRequest, now: float) -> None:
        previous, entries = request.previous_index, request.entries
        if entries and not previous + 1 == entries[0].index == entries[-1].index + 1 - len(entries):
            self.dropped += 1
            return
        promise_s = self._hear_leader(request.sender, now)
        if entries and self.log.unstable_bytes > self.options.max_unstable_bytes:
            return  # The disk does not keep up: as good as lost, the leader repeats it.
        if previous < self.commit_index and entries:
            # What is committed here matches the leader's log (leader completeness); only the rest is news.
            entries = entries[self.commit_index - previous :]
            previous = min(self.commit_index, request.previous_index + len(request.entries))
        elif previous > self.commit_index and self.log.term(previous) != request.previous_term:
            if request.round != NO_ANSWER:
                self._reject_append(request, promise_s)
            return
        last_new = previous + len(entries)
        if entries and (last_new > self.log.last_index or self.log.term(last_new) != entries[-1].term):
            self._take_entries(entries, now)
        if request.commit_index > self.commit_index:
            self.commit_index = max(self.commit_index, min(request.commit_index, last_new))
        if request.round == NO_ANSWER:
            return
        acknowledgement = messages.AppendResponse(
            *self._header(request.sender),
            round=request.round,
            success=True,
            match_index=last_new,
            promise_s=promise_s,
            command_level=self.options.command_level,
        )
        waiting = self._acknowledgement
        if last_new == 0 or (last_new <= self.log.stable_index and self._is_term_durable()):
            self._outbox.append(acknowledgement)
        elif waiting is None or waiting.term != self.term or waiting.match_index <= last_new:
            self._acknowledgement = acknowledgement

    def _is_term_durable(self) -> bool:
        return self._written_state[0] == self.term and self.writes_completed >= self._state_write

    def _take_entries(self, entries: Sequence[Entry], now: float) -> None:
        """Adds the entries that are not there, in place of any that contradict them."""
        configurations = [(entry.index, decode_configuration(entry.data)) for entry in entries if entry.kind == EntryKind.CONFIGURATION]
        for _, configuration in configurations:
            configuration.require_level(self.options.command_level)
        last_index = self.log.last_index
        if entries[0].index <= last_index:
            conflict = self.log.find_conflict(entries)
            assert conflict > self.commit_index, f"a committed entry, {conflict}, is contradicted by the leader of term {self.term}"
            if conflict <= last_index:
                self.log.cut(conflict)
                self.history.truncate(conflict)
                self._emit(events.LogTruncated(conflict, self.term))
            entries = entries[conflict - entries[0].index :]
        self.log.append(entries, size_of(entries))
        for index, configuration in configurations:
            if index >= entries[0].index:
                self._use_configuration(index, configuration)

    def _reject_append(self, request: messages.AppendRequest, promise_s: float) -> None:
        """With the first index of the conflicting term, so that the leader skips that whole term (section 3.5)."""
        previous = request.previous_index
        if previous > self.log.last_index:
            hint, term = self.log.last_index + 1, 0
        else:
            term = self.log.term(previous) or 0
            hint = max(self.log.first_index_of_term(previous), self.commit_index + 1)
        self._outbox.append(
            messages.AppendResponse(
                *self._header(request.sender),
                round=request.round,
                success=False,
                match_index=hint,
                conflict_term=term,
                promise_s=promise_s,
                command_level=self.options.command_level,
            )
        )

    def _handle_snapshot(self, message: messages.SnapshotInstalled, now: float) -> None:
        """Thesis figure 5.3. If the log already holds the entry that the snapshot ends with, what follows it is kept."""
        promise_s = self._hear_leader(message.sender, now)
        meta = message.meta
        configuration = decode_configuration(meta.configuration)
        configuration.require_level(self.options.command_level)
        if meta.index > self.commit_index:
            self.commit_index = meta.index
            if self.log.term(meta.index) != meta.term:
                self.log.restore(meta.index, meta.term, meta.time_ns)
                self.history.restore(meta.configuration_index, configuration)
                self._pending_restore = self.snapshot = self._restored = meta
                self._pending_snapshot = None
                self._emit(events.SnapshotRestored(meta.index, meta.term))
                self._emit(events.ConfigurationChanged(meta.configuration_index, configuration))
        self._send_when_durable(
            messages.AppendResponse(
                *self._header(message.sender),
                round=0,
                success=True,
                match_index=self.commit_index,
                promise_s=promise_s,
                command_level=self.options.command_level,
            )
        )

    # -- the leader (sections 3.5, 3.6, 10.2.1) ----------------------------------------------------------------------

    def _append(self, entries: Sequence[Entry]) -> None:
        size = size_of(entries)
        self.log.append(entries, size)
        self._uncommitted.append((entries[-1].index, size))
        self._uncommitted_bytes += size

    def _replicate(self, now: float) -> None:
        """Sends each peer what it may have, once a turn; everything sent in one turn is of one round."""
        if not self._progress:
            return
        round_ = self._round + 1
        sent = len(self._outbox)
        shared: dict[int, list[Entry]] = {}
        asked: Collection[PeerId] = ()
        if self._heartbeat_due:
            asked = self._progress.keys()
        elif self._reads.wants_round:
            asked = self._quickest_quorum()
        for peer, progress in self._progress.items():
            if progress.verify:
                self._verify(peer, progress, round_)
            while progress.can_send() and self._send_append(peer, progress, round_, shared):
                pass
            if peer in asked:
                self._send_heartbeat(peer, progress, round_)
            elif progress.sent_commit < min(progress.match_index, self.commit_index):
                self._send_heartbeat(peer, progress, NO_ANSWER)
        if len(self._outbox) > sent:
            self._round = round_
            self._send_times.sent(round_, now)
        if self._heartbeat_due:
            self._doubt_who_was_asked()
            self._heartbeat_due = False
            self._heartbeat_at = now + self.timing.heartbeat_interval_s
            self._ask_all_at = math.inf
        elif asked:
            self._asked, self._asked_round = asked, round_
            self._ask_all_at = now + READ_PATIENCE_S
        if asked:
            self._reads.round_sent(round_)
        if self._transfer is not None:
            self._ask_target_to_stand()
        self._dismiss_removed(now)

    def _quickest_quorum(self) -> Sequence[PeerId]:
        """Whom a round for reads is sent to: no more than have to answer it, and the same as before unless others are twice as quick.
        If one of them does not, a heartbeat soon asks everybody; and every answer to that is one to this round."""
        voters = self.configuration.voters

        def takes(voter: PeerId) -> tuple[float, PeerId]:
            return self._progress[voter].answer_s * (0.5 if voter in self._asked else 1.0), voter

        others = sorted((voters & self._progress.keys()) - {self.id}, key=takes)
        return others[: majority(len(voters)) - (self.id in voters)]

    def _doubt_who_was_asked(self) -> None:
        """Everybody is asked now: who was asked for reads and has not answered is the last to be asked again."""
        for peer in self._asked:
            progress = self._progress.get(peer)
            if progress is not None and progress.acked_round < self._asked_round:
                progress.answer_s = math.inf

    def _send_append(self, peer: PeerId, progress: Progress, round_: int, shared: dict[int, list[Entry]]) -> bool:
        """Sends the next entries. False if there is nothing (more) to send now."""
        next_index = progress.next_index
        if next_index > self.log.last_index and progress.state is not PeerState.PROBE:
            return False
        if self.log.term(next_index - 1) is None:
            return self._send_snapshot(peer, progress)
        entries = shared.get(next_index)
        if entries is None:
            entries = []
            if next_index <= self.log.last_index:
                options = self.options
                entries = self.log.slice(
                    next_index, self.log.last_index + 1, max_bytes=options.max_append_bytes, max_count=options.max_append_entries
                )
            shared[next_index] = entries
        is_partial = next_index + len(entries) > self.log.last_index and len(entries) < self.options.max_append_entries
        if is_partial and progress.inflight >= self.options.max_inflight_partial:
            return False
        self._send_entries(peer, progress, round_, entries)
        return progress.state is PeerState.REPLICATE

    def _verify(self, peer: PeerId, progress: Progress, round_: int) -> None:
        """Asks with an empty append whether what is in the pipeline has arrived. If its end was cut from the log meanwhile,
        there is no such question: back to where the peer is known to be."""
        progress.verify = False
        if self.log.term(progress.next_index - 1) is not None:
            self._send_entries(peer, progress, round_, [])
        else:
            progress.become_probe(progress.match_index + 1, self._round)
            self._emit(events.PeerStateChanged(peer, progress.state.value, progress.next_index))

    def _send_entries(self, peer: PeerId, progress: Progress, round_: int, entries: Sequence[Entry]) -> None:
        previous = progress.next_index - 1
        term = self.log.term(previous)
        assert term is not None
        self._outbox.append(
            messages.AppendRequest(
                *self._header(peer),
                round=round_,
                previous_index=previous,
                previous_term=term,
                commit_index=self.commit_index,
                entries=entries,
            )
        )
        progress.sent(round_, previous + len(entries), size_of(entries), self.commit_index)

    def _send_heartbeat(self, peer: PeerId, progress: Progress, round_: int) -> None:
        """An empty append after the match index: the peer can say yes without its disk, whatever else is under way. One that only
        brings the commit index needs no answer."""
        previous, commit_index = progress.match_index, min(progress.match_index, self.commit_index)
        term = self.log.term(previous)
        progress.sent_commit = max(progress.sent_commit, commit_index)
        if term is None:
            # Cut behind a snapshot: nothing can be said about the commit index, but that this server leads.
            previous, term, commit_index = 0, 0, 0
        self._outbox.append(
            messages.AppendRequest(
                *self._header(peer), round=round_, previous_index=previous, previous_term=term, commit_index=commit_index
            )
        )

    def _send_snapshot(self, peer: PeerId, progress: Progress) -> bool:
        if progress.acked_round and self.snapshot is not None:
            progress.become_snapshot(self.snapshot.index, self._round)
            self._snapshots.append((peer, self.snapshot))
            self._emit(events.PeerStateChanged(peer, progress.state.value, progress.next_index))
        return False

    def _handle_append_response(self, response: messages.AppendResponse, now: float) -> None:
        progress = self._progress.get(response.sender)
        if self.role is not Role.LEADER or progress is None or response.match_index > self.log.last_index + 1:
            return
        progress.command_level = response.command_level
        progress.answered(response.round, now, self._send_times.sent_at(response.round), response.promise_s)
        if not response.success:
            if progress.conflicts(response.round):
                self._step_back(response, progress)
        elif progress.matched(min(response.match_index, self.log.last_index)):
            self._follow_match(response.sender, progress)
            self._advance_commit(now)
        else:
            if progress.state is PeerState.PROBE and response.match_index + 1 >= progress.next_index and response.round:
                self._follow_match(response.sender, progress)
            progress.heartbeat_answered(response.round)
        self._confirm_reads()

    def _step_back(self, response: messages.AppendResponse, progress: Progress) -> None:
        """Where the logs part: after the leader's last entry of the follower's conflicting term, if it has one."""
        next_index = response.match_index
        if response.conflict_term:
            candidate = self.log.last_index_of_term_up_to(response.conflict_term, progress.next_index - 1)
            if self.log.term(candidate) == response.conflict_term:
                next_index = candidate + 1
        progress.become_probe(min(next_index, self.log.last_index + 1), self._round)
        self._emit(events.PeerStateChanged(response.sender, progress.state.value, progress.next_index))

    def _follow_match(self, peer: PeerId, progress: Progress) -> None:
        """The match index is known or has moved: pipeline, unless a snapshot is still needed."""
        if progress.state is PeerState.REPLICATE:
            return
        if progress.state is PeerState.SNAPSHOT and progress.match_index < progress.snapshot_index:
            return
        progress.become_replicate(self._round)
        self._emit(events.PeerStateChanged(peer, progress.state.value, progress.next_index))

    def _advance_commit(self, now: float) -> None:
        """Counts replicas, for entries of the own term only (section 3.6.2); those before them are committed with them."""
        index = quorum_value([self._match_of(voter) for voter in self.configuration.voters])
        if index <= self.commit_index or index < self._term_start_index:
            return
        confirms_term = self.commit_index < self._term_start_index
        self.commit_index = index
        while self._uncommitted and self._uncommitted[0][0] <= index:
            self._uncommitted_bytes -= self._uncommitted.popleft()[1]
        if confirms_term:
            self._emit(events.TermConfirmed(self.term, index))
            for context in self._reads.take_early():
                self._reads.add(context, index)
            self._confirm_reads()
        if self.history.latest_index <= index and self.id not in self.configuration.voters:
            # Section 4.2.2: a leader that removed itself manages the cluster until that is committed, and no longer.
            self._replicate(now)
            self._become_follower(self.term, None, now, "removed from the configuration")

    def _match_of(self, voter: PeerId) -> int:
        return self.log.stable_index if voter == self.id else self._progress[voter].match_index

    def _lease_of(self, voter: PeerId) -> float:
        return math.inf if voter == self.id else self._progress[voter].promised_until

    def quorum_contact_at(self) -> float:
        return quorum_value([math.inf if voter == self.id else self._progress[voter].contact_at for voter in self.configuration.voters])

    def _renew_cut_off(self) -> float:
        """When this leader has to give up if it hears nobody any more. Contacts only move that on, so until it is renewed it may be early
        but never late; among other voters it is another time altogether."""
        self._cut_off_at = self.quorum_contact_at() + self.timing.lease_timeout_s
        return self._cut_off_at

    def _require_office(self) -> None:
        """As for leadership; but one that is being handed over takes no more entries."""
        self._require_leadership()
        if self._transfer is not None:
            raise NotLeader(self._transfer.target.node_id)

    def _require_leadership(self) -> None:
        if self.role is not Role.LEADER:
            raise NotLeader("" if self.leader is None else self.leader.node_id)

    # -- reads (section 6.4) -----------------------------------------------------------------------------------------

    def _handle_read_query(self, query: messages.ReadIndexQuery, now: float) -> None:
        context: ReadContext = (query.sender, query.context)
        if self.role is Role.LEADER:
            self._read(context, ReadMode.QUORUM if query.quorum else ReadMode.LEASE, now)
        else:
            self._answer_read(context, 0)

    def _read(self, context: ReadContext, mode: ReadMode, now: float) -> None:
        if self.commit_index < self._term_start_index:
            self._reads.add_early(context)
        elif mode is ReadMode.LEASE and self.lease_holds(now):
            self._answer_read(context, self.commit_index)
        else:
            self._reads.add(context, self.commit_index)
            self._confirm_reads()

    def _confirm_reads(self) -> None:
        if self.role is not Role.LEADER:
            return
        if self.configuration.voters == {self.id}:
            self._reads.round_sent(self._round)
        rounds = [self._round if voter == self.id else self._progress[voter].acked_round for voter in self.configuration.voters]
        for context, index in self._reads.confirmed(quorum_value(rounds)):
            self._answer_read(context, index)
        if not self._reads.awaits_round:
            self._ask_all_at = math.inf

    def _answer_read(self, context: ReadContext, index: int) -> None:
        reader, number = context
        if reader is None:
            self._read_results.append(ReadResult(number, index))
        else:
            self._outbox.append(messages.ReadIndexReply(*self._header(reader), context=number, index=index))

    # -- membership (chapter 4) and transfer (section 3.10) ----------------------------------------------------------

    def _recover_configurations(self, recovered: Recovered) -> None:
        if recovered.snapshot is not None:
            self.history.restore(recovered.snapshot.configuration_index, decode_configuration(recovered.snapshot.configuration))
        for index, data in recovered.configurations:
            if index > self.history.latest_index:
                self.history.append(index, decode_configuration(data))

    def _use_configuration(self, index: int, configuration: Configuration) -> None:
        self.history.append(index, configuration)
        self._emit(events.ConfigurationChanged(index, configuration))

    def _synchronise_progress(self, now: float) -> None:
        """One progress for each other member. A removed one keeps its own until it has been told (see _dismiss_removed)."""
        options = self.options
        for peer in self.configuration.by_id:
            if peer != self.id and peer not in self._progress:
                self._progress[peer] = Progress(self.log.last_index + 1, now, options.max_inflight, options.max_inflight_bytes)
        for peer, progress in self._progress.items():
            if peer in self.configuration.by_id:
                progress.leaving_at = None
            elif progress.leaving_at is None:
                progress.leaving_at = self.history.latest_index
        self._heartbeat_at = min(self._heartbeat_at, now)
        self._renew_cut_off()

    def _dismiss_removed(self, now: float) -> None:
        """Lets go of removed members once they could know of it, so that they stop instead of standing for election."""
        for peer in [peer for peer, progress in self._progress.items() if progress.leaving_at is not None]:
            progress = self._progress[peer]
            assert progress.leaving_at is not None
            told = progress.sent_commit >= progress.leaving_at
            silent = now - progress.contact_at > self.timing.heartbeat_timeout_s
            if self.commit_index >= progress.leaving_at and (told or silent):
                del self._progress[peer]

    def _ask_target_to_stand(self) -> None:
        assert self._transfer is not None
        target = self._transfer.target
        progress = self._progress.get(target)
        if progress is None or target not in self.configuration.voters:
            self._transfer = None
            self._emit(events.TransferEnded(target, self.term, "the target is no longer a voter"))
        elif progress.match_index == self.log.last_index and not self._transfer.asked:
            # From here on the target may stand whenever this message reaches it, and it will be voted for in spite of
            # every promise: there is no lease for the rest of this term, even if the transfer is given up.
            self._transfer.asked = self._lease_given_up = True
            self._outbox.append(messages.TimeoutNow(*self._header(target)))

    def _emit(self, event: events.Event) -> None:
        self._events.append(event)
