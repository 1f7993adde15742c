"""The way to the other servers, as the driver needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rostra.consensus.messages import Message
from rostra.consensus.model import PeerId, SnapshotMeta
from rostra.consensus.proposals import Outcome
from rostra.consensus.snapshots import SnapshotStore
from rostra.errors import NotLeader


class Transport(Protocol):
    """Messages may be lost, doubled and reordered: the protocol repeats what matters."""

    def send(self, peer: PeerId, batch: Sequence[Message], *, unhurried: bool = False) -> None:
        """Sends in order if it can, drops if it cannot; never blocks. A broken connection: ``Consensus.unreachable``.
        ``unhurried``: nobody waits for these, so they may leave with what is sent next, or some milliseconds later."""
        ...

    async def send_snapshot(self, peer: PeerId, meta: SnapshotMeta, term: int, snapshots: SnapshotStore) -> bool:
        """Sends a snapshot in chunks, resuming where the peer already is. True once the peer has installed it."""
        ...

    async def forward(self, leader: PeerId, commands: Sequence[bytes], only_in_term: int, level: int, timeout_s: float) -> list[Outcome]:
        """Has the leader propose; it does not forward again. A loss on the way is ``UnknownOutcome``."""
        ...

    def led_by(self, leader: PeerId) -> None:
        """Another leads than before: what was forwarded to a former leader is no longer waited for. That one may hang and never answer."""
        ...


class NoTransport:
    """For a server that is alone."""

    def send(self, peer: PeerId, batch: Sequence[Message], *, unhurried: bool = False) -> None:
        """There is nobody."""

    async def send_snapshot(self, peer: PeerId, meta: SnapshotMeta, term: int, snapshots: SnapshotStore) -> bool:
        """There is nobody."""
        return False

    async def forward(self, leader: PeerId, commands: Sequence[bytes], only_in_term: int, level: int, timeout_s: float) -> list[Outcome]:
        """There is nobody."""
        raise NotLeader(leader.node_id)

    def led_by(self, leader: PeerId) -> None:
        """It has always been led by itself."""
