"""What a leader knows of one peer, and how much it may send (thesis sections 3.5 and 10.2.1).

*Probe*: the match index is unknown, one append at a time until one succeeds. *Replicate*: appends are pipelined, next
index runs ahead of the acknowledgements, within a window. *Snapshot*: the entries it needs are gone; nothing is sent but
heartbeats until a snapshot is there.
"""

from __future__ import annotations

import enum
import math
from collections import deque

from rostra.consensus.lease import promised_until


class PeerState(enum.Enum):
    """How a leader replicates to a peer."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


class Progress:
    """One peer as the leader sees it. ``match_index`` only grows; ``next_index`` is always beyond it."""

    __slots__ = (
        "_inflight",
        "_inflight_bytes",
        "_max_inflight",
        "_max_inflight_bytes",
        "_probe_outstanding",
        "_since_round",
        "_took_s",
        "acked_round",
        "answer_s",
        "append_took_s",
        "command_level",
        "contact_at",
        "entries_sent",
        "heartbeat_took_s",
        "last_append_round",
        "leaving_at",
        "match_index",
        "next_index",
        "promised_until",
        "sent_commit",
        "snapshot_index",
        "state",
        "verify",
    )

    def __init__(self, next_index: int, now: float, max_inflight: int, max_inflight_bytes: int) -> None:
        self.state = PeerState.PROBE
        self.match_index = 0
        self.next_index = next_index
        self.sent_commit = 0
        self.snapshot_index = 0
        self.acked_round = 0
        self.contact_at = now
        self.answer_s = math.inf
        """How long it takes to answer, smoothed; infinity until it has, and once it did not when it was asked."""
        self.promised_until = -math.inf
        self.command_level = 0
        """What the peer says that it understands; 0 until it has said so."""
        self.last_append_round = 0
        self.verify = False
        """An empty append at the end of the pipeline is due: it finds out whether what was sent has arrived."""
        self.leaving_at: int | None = None
        """Index of the configuration that removed this peer, until it has that one or is given up."""
        self.entries_sent = 0
        self.append_took_s: float | None = None
        self.heartbeat_took_s: float | None = None
        """From sending to the latest answer, until somebody has looked: that entries are on the peer's disk, or else that it is there."""
        self._inflight: deque[tuple[int, int]] = deque()
        self._inflight_bytes = 0
        self._max_inflight = max_inflight
        self._max_inflight_bytes = max_inflight_bytes
        self._probe_outstanding = False
        self._since_round = 0
        self._took_s: float | None = None

    @property
    def inflight(self) -> int:
        """Number of appends sent and not acknowledged."""
        return len(self._inflight)

    def can_send(self) -> bool:
        """Whether an append may leave now."""
        if self.state is PeerState.REPLICATE:
            return len(self._inflight) < self._max_inflight and self._inflight_bytes < self._max_inflight_bytes
        return self.state is PeerState.PROBE and not self._probe_outstanding

    def sent(self, round_: int, last_index: int, size: int, commit_index: int) -> None:
        """An append with entries up to ``last_index`` (``next_index - 1`` if it had none) leaves now."""
        self.last_append_round = round_
        self.verify = False
        self.sent_commit = max(self.sent_commit, min(commit_index, last_index))
        if self.state is PeerState.PROBE:
            self._probe_outstanding = True
        elif last_index >= self.next_index:
            self.entries_sent += last_index + 1 - self.next_index
            self.next_index = last_index + 1
            self._inflight.append((last_index, size))
            self._inflight_bytes += size

    def answered(self, round_: int, now: float, sent_at: float | None, promise_s: float) -> None:
        """The peer answered an append of that round: it is alive and follows this leader."""
        self.contact_at = now
        self.acked_round = max(self.acked_round, round_)
        self._took_s = None if sent_at is None else now - sent_at
        if sent_at is not None:
            took_s = now - sent_at
            self.answer_s = took_s if self.answer_s == math.inf else self.answer_s + (took_s - self.answer_s) / 8
            self.promised_until = max(self.promised_until, promised_until(sent_at, promise_s))

    def matched(self, match_index: int) -> bool:
        """The peer has everything up to ``match_index`` on disk. True if that is news."""
        while self._inflight and self._inflight[0][0] <= match_index:
            self._inflight_bytes -= self._inflight.popleft()[1]
        news = match_index > self.match_index
        if news:
            self.match_index = match_index
            self.append_took_s = self._took_s
            self.next_index = max(self.next_index, match_index + 1)
        return news

    def conflicts(self, round_: int) -> bool:
        """Whether a rejection of that round tells anything: one that was sent before the last change of state does not."""
        return round_ > self._since_round and self.state is not PeerState.SNAPSHOT

    def heartbeat_answered(self, round_: int) -> None:
        """The answer brought no news, so what was sent before that round may be lost: a probe is tried again, and
        behind a pipeline an empty append asks whether it arrived (a slow disk delays its acknowledgement as well)."""
        self.heartbeat_took_s = self._took_s
        if round_ <= self.last_append_round:
            return
        self._probe_outstanding = False
        self.verify = self.state is PeerState.REPLICATE and self.match_index + 1 < self.next_index

    def become_probe(self, next_index: int, round_: int, *, wait: bool = False) -> None:
        """Go back to one append at a time; ``round_`` is the last one sent. ``wait``: not before the next sign of life."""
        self.state = PeerState.PROBE
        self.next_index = max(next_index, self.match_index + 1)
        self._probe_outstanding = wait
        self._forget_inflight(round_)

    def become_replicate(self, round_: int) -> None:
        """The match index is known: pipeline from there."""
        self.state = PeerState.REPLICATE
        self.next_index = self.match_index + 1
        self._forget_inflight(round_)

    def become_snapshot(self, snapshot_index: int, round_: int) -> None:
        """A snapshot is on its way."""
        self.state = PeerState.SNAPSHOT
        self.snapshot_index = snapshot_index
        self._forget_inflight(round_)

    def _forget_inflight(self, round_: int) -> None:
        self._inflight.clear()
        self._inflight_bytes = 0
        self._since_round = round_
