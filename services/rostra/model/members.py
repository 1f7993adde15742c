"""A member of a gossip pool, as everyone outside the gossip role sees it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class MemberStatus(enum.Enum):
    """Serf's view of a member. The values are the words of ``rostra members`` and of Consul."""

    ALIVE = "alive"
    LEAVING = "leaving"
    LEFT = "left"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Member:
    """One member at one moment.

    ``incarnation`` is what the member last said of itself: a higher one is newer, whatever order news arrive in. ``status_ltime`` is
    the Lamport time of the intent that last changed the status. The six version numbers are memberlist's (p) and Serf's (d).
    """

    name: str
    address: str
    port: int
    tags: Mapping[str, str]
    status: MemberStatus
    incarnation: int
    status_ltime: int = 0
    pmin: int = 1
    pmax: int = 5
    pcur: int = 2
    dmin: int = 2
    dmax: int = 5
    dcur: int = 4


class MemberChangeKind(enum.Enum):
    """What happened to a member. REAPED: its record is gone, because it was failed or left for long enough or was pruned."""

    JOINED = "joined"
    UPDATED = "updated"
    LEAVING = "leaving"
    LEFT = "left"
    FAILED = "failed"
    RETURNED = "returned"
    REAPED = "reaped"


@dataclass(frozen=True, slots=True)
class MemberChange:
    """One change; ``member`` is the member after it (for REAPED: as it last was)."""

    kind: MemberChangeKind
    member: Member
