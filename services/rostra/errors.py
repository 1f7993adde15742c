"""What can go wrong, as one small tree. An error carries data, not only text.

::

    RostraError
    ├── BadRequest            the caller's input is wrong: names the field; nothing was changed
    │   └── ConfigError       a flag, key or file: every problem found, not only the first
    ├── NotFound              a thing the caller named does not exist
    ├── Conflict              it contradicts what is there (a name taken, a store of another cluster)
    ├── Busy                  a bounded queue is full: try again after ``retry_after_s``
    ├── Unavailable           cannot be answered here or now
    │   ├── NotLeader         this server is not the leader; ``leader`` is, when known
    │   ├── NoLeader          there is no leader, or none that answered within the hold time
    │   ├── NoServers         no server is known; ``tried`` lists the addresses
    │   ├── NoPath            no server of the datacenter can be reached from here
    │   ├── NotReady          this role is starting, stopping, or has not caught up once
    │   └── UnknownOutcome    a write was handed on and its fate was not learned in time
    ├── Resync                a stream lost its place: take a new snapshot
    ├── Timeout               the caller's deadline passed
    └── Unsupported           understood, but not in this version

A peer's bad bytes are none of these: they are counted and dropped where they arrive. A broken invariant is an
``assert`` and ends the process. How each becomes a gRPC status or an HTTP code is one table, in ``rostra.rpc.status``.
"""

from __future__ import annotations

from collections.abc import Sequence


class RostraError(Exception):
    """The root. ``str(error)`` is one line for a person."""


class BadRequest(RostraError):
    """The caller's input is wrong. ``field`` names where, in the caller's own spelling."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class ConfigError(BadRequest):
    """Every problem found in flags, environment and files, each one line that names its culprit."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class NotFound(RostraError):
    """A thing the caller named does not exist."""


class Conflict(RostraError):
    """The request contradicts what is there."""


class Busy(RostraError):
    """A bounded queue is full."""

    def __init__(self, message: str, *, retry_after_s: float = 0.1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(RostraError):
    """It cannot be answered here or now; another server or a later try may."""


class NotLeader(Unavailable):
    """This server is not the leader. Nothing was proposed: the caller may try ``leader`` (a node name), if known."""

    def __init__(self, leader: str = "") -> None:
        super().__init__(f"not the leader; the leader is {leader}" if leader else "not the leader")
        self.leader = leader


class NoLeader(Unavailable):
    """Consul's clients match on this text."""

    def __init__(self, message: str = "No cluster leader") -> None:
        super().__init__(message)


class NoServers(Unavailable):
    """Consul's clients match on the first three words of this text."""

    def __init__(self, tried: Sequence[str] = ()) -> None:
        super().__init__("No known servers" + (f" (tried {', '.join(tried)})" if tried else ""))
        self.tried = tuple(tried)


class NoPath(Unavailable):
    """No server of that datacenter is known to be alive. Consul's clients match on this text."""

    def __init__(self, message: str = "No path to datacenter") -> None:
        super().__init__(message)


class NotReady(Unavailable):
    """The role is starting, stopping, or has not caught up once."""


class UnknownOutcome(Unavailable):
    """A write was handed on and its fate was not learned in time. It may or may not have happened."""


class Resync(RostraError):
    """A stream lost its place; the reader takes a new snapshot."""


class Timeout(RostraError):
    """The caller's deadline passed."""


class Unsupported(RostraError):
    """Understood, but not in this version."""
