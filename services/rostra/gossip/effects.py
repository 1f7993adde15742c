"""What the core asks of its driver: reports, datagrams, streams."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from rostra.gossip.address import Address
from rostra.gossip.departure import LeaveProgress
from rostra.gossip.dissemination import SendPacket
from rostra.gossip.serf import SerfEvent


class ExchangeKind(enum.Enum):
    """Why we open a stream."""

    JOIN = "join"
    PUSH_PULL = "push-pull"
    PING = "ping"


class OpenStream(NamedTuple):
    """Dial ``address``, write ``data``, read one message, and report to ``on_stream_answer`` or ``on_stream_failure``."""

    exchange: int
    kind: ExchangeKind
    address: Address
    data: bytes
    deadline: float


@dataclass(frozen=True, slots=True)
class ExchangeDone:
    """A stream that we opened came to its end; ``error`` is empty when all went well."""

    exchange: int
    kind: ExchangeKind
    address: Address
    error: str


CoreEvent: TypeAlias = SerfEvent | LeaveProgress | ExchangeDone


@dataclass(slots=True)
class Output:
    """What the driver must do, in field order, and each list in its order."""

    events: list[CoreEvent] = field(default_factory=list)
    """1. Report. First, because new keys must be on disk before an answer says that they are installed."""

    packets: list[SendPacket] = field(default_factory=list)
    """2. Send."""

    streams: list[OpenStream] = field(default_factory=list)
    """3. Dial."""
