"""The messages of Raft (thesis figures 3.1, 3.10, 3.13; section 6.4 for reads, 9.6 for pre-vote).

Each carries the cluster, both ends and the sender's term. A message is immutable once made, so an entry list may be
shared by all the peers that it goes to.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rostra.consensus.model import Entry, PeerId, SnapshotMeta

NO_ANSWER = 0
"""The round of an append that brings nothing but the commit index: it is not answered."""


class Header(msgspec.Struct, frozen=True):
    """What every message begins with. ``term`` is the sender's; of a pre-vote, the term it would campaign in."""

    cluster_id: str
    sender: PeerId
    to: PeerId
    term: int


class VoteRequest(Header, frozen=True, tag=True):
    """Asks for a vote; with ``pre_vote``, whether one would be given."""

    last_index: int
    last_term: int
    pre_vote: bool = False
    leadership_transfer: bool = False


class VoteResponse(Header, frozen=True, tag=True):
    """Answers a ``VoteRequest``."""

    granted: bool
    pre_vote: bool = False
    reason: str = ""


class AppendRequest(Header, frozen=True, tag=True):
    """Entries after ``previous_index``; without entries a heartbeat or a probe.

    ``round`` grows with everything the leader sends, so that the response tells which send time it confirms; ``NO_ANSWER``: there
    is no response.
    """

    round: int
    previous_index: int
    previous_term: int
    commit_index: int
    entries: Sequence[Entry] = ()

    @property
    def is_notice(self) -> bool:
        """Whether all it brings is the commit index."""
        return self.round == NO_ANSWER and not self.entries


class AppendResponse(Header, frozen=True, tag=True):
    """On success everything up to ``match_index`` is on the sender's disk and as the leader has it.

    On conflict ``match_index`` is the first index of the conflicting term and ``conflict_term`` that term, or the place
    after the sender's last entry and 0 (thesis section 3.5, at its end). ``promise_s``: from receipt of the request the
    sender grants no vote for that long. ``command_level``: the newest commands that the sender understands.
    """

    round: int
    success: bool
    match_index: int
    conflict_term: int = 0
    promise_s: float = 0.0
    command_level: int = 1


class SnapshotInstalled(Header, frozen=True, tag=True):
    """The leader's snapshot has arrived whole and is on this server's disk: made by the receiving driver, not sent."""

    meta: SnapshotMeta


class TimeoutNow(Header, frozen=True, tag=True):
    """The receiver is to start an election at once (thesis section 3.10)."""


class ReadIndexQuery(Header, frozen=True, tag=True):
    """A follower's round of reads, for the leader."""

    context: int
    quorum: bool


class ReadIndexReply(Header, frozen=True, tag=True):
    """The leader's answer; ``index`` 0 when it could not say."""

    context: int
    index: int


Message = VoteRequest | VoteResponse | AppendRequest | AppendResponse | SnapshotInstalled | TimeoutNow | ReadIndexQuery | ReadIndexReply
