"""The bounds of the driver, each with what happens at it."""

from __future__ import annotations

from dataclasses import dataclass

HOLD_TIMEOUT_S = 7.0
"""Consul's ``rpc_hold_timeout``: how long a request may wait for a leader."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``max_command_bytes``: ``BadRequest``. ``max_pending_proposals`` and ``max_pending_bytes`` (not decided yet), and
    ``max_pending_reads``: ``Busy``. ``max_inbox``: further messages are dropped, which the protocol survives.
    ``snapshot_threshold`` (Consul's ``raft_snapshot_threshold``): with so many entries since the last snapshot the primary is
    asked for one, looked at every ``snapshot_interval_s``. ``primary_grace_s``: a leader without a primary hands over.
    """

    max_command_bytes: int = 512 * 1024
    max_pending_proposals: int = 65_536
    max_pending_bytes: int = 32 * 1024 * 1024
    max_pending_reads: int = 65_536
    max_inbox: int = 65_536
    snapshot_threshold: int = 16_384
    snapshot_interval_s: float = 30.0
    primary_grace_s: float = 2.0
