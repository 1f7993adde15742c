"""How fresh a read must be, and how fresh the one who answers is (docs/architecture.md, "A read")."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Consistency(enum.Enum):
    """The value is the number in the contract."""

    DEFAULT = 1
    """Linearizable while clocks run at a sane rate: covered by the leader's lease."""
    CONSISTENT = 2
    """Linearizable whatever the clocks do: the leader asks a quorum first."""
    STALE = 3
    """What is here, at once, leader or not."""

    __hash__ = object.__hash__  # Enum's own is a Python function, and reads look up by this


@dataclass(frozen=True, slots=True)
class Contact:
    """How fresh a server is. ``last_contact_ms`` is 0 on the leader itself; ``leader`` is a node name, or empty. ``caught_up``: it
    has been as fresh as the leader at least once since it started; before that, what it lacks may exist."""

    known_leader: bool = False
    last_contact_ms: int = 0
    applied_index: int = 0
    leader: str = ""
    leader_address: str = ""
    caught_up: bool = False
