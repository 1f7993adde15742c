"""What an answerer gets and what it gives: a question, and RRsets before anything is fitted anywhere."""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass

from rostra.dns.choices import NO_CHOICES, Choices, Distance
from rostra.dns.glance import Glance
from rostra.dns.names import Form
from rostra.dns.records import Record
from rostra.dns.settings import DnsSettings
from rostra.dns.wire import Rcode, Request
from rostra.dns.zone import Zone


class ErrorCode(enum.IntEnum):
    """The extended errors (RFC 8914 section 4) that are given here."""

    OTHER = 0
    STALE_ANSWER = 3
    NOT_READY = 14
    PROHIBITED = 18
    STALE_NXDOMAIN = 19
    NOT_AUTHORITATIVE = 20
    NOT_SUPPORTED = 21
    NO_REACHABLE_AUTHORITY = 22


@dataclass(frozen=True, slots=True)
class ExtendedError:
    """Why an answer is empty: a code for programs and a text for people."""

    code: ErrorCode
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """RRsets. ``answer`` comes first and in order; then some or all of ``choices``, owned by ``owner`` (empty: the name asked)."""

    rcode: Rcode = Rcode.NOERROR
    authoritative: bool = True
    answer: tuple[Record, ...] = ()
    choices: Choices = NO_CHOICES
    distance: Distance | None = None
    """The nearest of ``choices`` come first; None: as chance has it."""
    owner: bytes = b""
    limit: int = 0
    """How many of ``choices`` to give at most, as a matter of policy; 0: all. That is not truncation."""
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    error: ExtendedError | None = None
    alias: tuple[bytes, ...] | None = None
    """The name that the last CNAME of ``answer`` leads to and that is still to be followed."""
    targets: tuple[tuple[bytes, ...], ...] = ()
    """Names that SRV records lead to and that may be in our domains: their addresses are still to be added."""
    outside: tuple[bytes, ...] | None = None
    """The name that is left to find outside of our domains, for a recursor if there is one."""
    offers_recursion: bool = False
    """Says that recursion is available even where the client may not have it."""
    lasting: bool = True
    """Whether it may be given again while its ground stands."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an answerer works from. ``zone`` is None outside of the domains, and ``form`` then means nothing."""

    request: Request
    labels: tuple[bytes, ...]
    zone: Zone | None
    form: Form
    world: World

    @property
    def qtype(self) -> int:
        return self.request.qtype

    @property
    def glance(self) -> Glance:
        return self.world.glance

    @property
    def settings(self) -> DnsSettings:
        return self.world.settings


@dataclass(frozen=True, slots=True)
class World:
    """What all questions share: settings, domains, chance; and the reading of the views for this one."""

    settings: DnsSettings
    zones: tuple[Zone, ...]
    source: random.Random
    glance: Glance
    distance: Distance | None = None
    """How far a node is, where the nearest are to come first."""
