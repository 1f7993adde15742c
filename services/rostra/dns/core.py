"""The whole of the role between a datagram and its answer, without I/O: parse, answer, fit; and keep what is finished.

A finished answer is kept under the question's own bytes, all but the ID, for as long as what it was made from stands. Where
the answer is one of many orders, a message that came alone gets one drawn anew. Among many at once, up to ``ROTATION`` orders are
kept and given in turn, and one in ``RENEWAL`` is replaced by a new one. What was found standing is not looked at again within
the same *epoch*, in which no view has changed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

from rostra.dns.answer import Answer, ErrorCode, ExtendedError, World
from rostra.dns.answers import answer_request
from rostra.dns.choices import Distance
from rostra.dns.glance import Glance, Ground, Lacking, Look
from rostra.dns.message import allowance_of, fit
from rostra.dns.names import datacenter_of
from rostra.dns.settings import DnsSettings
from rostra.dns.wire import HEADER, QR, RD, TC, Rcode, Request, Transport, parse_request
from rostra.dns.zone import Zone, find_zone

ROTATION: Final = 64
RENEWAL: Final = 17
_MAX_KEY: Final = 320
"""Longer questions are not kept; a name of 255 bytes with EDNS and a client subnet is shorter."""
_OVERHEAD: Final = 768
"""What a finished answer takes beside its bytes, its question's among it. A name that does not exist is answered in a tenth of that."""


@dataclass(frozen=True, slots=True)
class Outside:
    """A name outside of our domains is left to find, for a client that may use the recursors. ``answer`` is what is known."""

    request: Request
    labels: tuple[bytes, ...]
    answer: Answer


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A name in another datacenter that is known: it is answered from views of that one."""

    datacenter: str


Outcome: TypeAlias = bytes | Lacking | Outside | Elsewhere | None
"""The answer; what it lacks; what is left for a recursor; where it is known; None: no answer is due, the message is dropped."""


class _Finished:
    """A question's finished answers, without their ID. ``size`` is what they may come to take."""

    __slots__ = ("_compose", "_grounds", "_orders", "_turn", "epoch", "only", "size")

    def __init__(self, grounds: tuple[Ground, ...], first: bytes, compose: Callable[[], bytes] | None) -> None:
        self.epoch = 0
        self.only = first if compose is None else None
        """The answer, where there is but one order."""
        self.size = _OVERHEAD + len(first) * (ROTATION if compose else 1)
        self._grounds = grounds
        self._compose = compose
        self._orders = [first]
        self._turn = 0

    def stands(self, look: Look) -> bool:
        for ground in self._grounds:  # noqa: SIM110 - a generator costs more than the check itself
            if not ground.stands(look):
                return False
        return True

    def next(self, *, anew: bool) -> bytes:
        """The answer to give now; drawn ``anew`` if asked so, if fewer orders than ``ROTATION`` are kept, or if its turn has come."""
        if self._compose is None:
            return self._orders[0]
        self._turn = turn = self._turn + 1
        index = turn % ROTATION
        if index >= len(self._orders):
            self._orders.append(self._compose())
            return self._orders[-1]
        if anew or turn % RENEWAL == 0:
            self._orders[index] = self._compose()
        return self._orders[index]


class _Store:
    """Finished answers by question, bounded by size: what was not asked for since the other half filled is forgotten."""

    def __init__(self, max_bytes: int) -> None:
        self._half = max_bytes // 2
        self._young: dict[bytes, _Finished] = {}
        self._old: dict[bytes, _Finished] = {}
        self._size = 0

    def get(self, key: bytes) -> _Finished | None:
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: bytes, finished: _Finished) -> None:
        held = self._young.get(key)
        self._size += finished.size - (held.size if held else 0)
        self._young[key] = finished
        if self._size > self._half:
            self._old, self._young, self._size = self._young, {}, 0


class Core:
    """Answers messages from views. ``recursion`` says, with each, whether its client may use recursors."""

    def __init__(self, settings: DnsSettings, source: random.Random, knows: Callable[[str], bool] = lambda _datacenter: False) -> None:
        """``knows``: whether another datacenter of that name can be reached."""
        self.settings = settings
        self._knows = knows
        self._source = source
        domains = [settings.domain] + ([settings.alt_domain] if settings.alt_domain.strip(".") else [])
        self._zones = tuple(Zone(domain, settings) for domain in domains)
        self._store = _Store(settings.max_cached_bytes)
        self._distance: Distance | None = None

    def prefer_near(self, distance: Distance | None) -> None:
        """From now on the nearest instances come first, by ``distance``; None: as chance has it."""
        self._distance = distance
        self._store = _Store(self.settings.max_cached_bytes)

    def respond(
        self,
        message: bytes,
        transport: Transport,
        look: Look,
        *,
        recursion: bool = False,
        cut_off: bool = False,
        epoch: int = 0,
        alone: bool = True,
    ) -> Outcome:
        """What becomes of ``message``. ``epoch`` is the same number for messages between which no view can have changed, 0 where
        that is not known; ``alone``: there is no crowd of messages; ``cut_off``: no leader is known, so the answer may be old."""
        is_plain = transport is Transport.UDP and not recursion and not cut_off
        key = message[2:] if is_plain else message[2:] + _variant(transport, recursion, cut_off)
        finished = self._store.get(key)
        if finished is not None and ((epoch and finished.epoch == epoch) or finished.stands(look)):
            finished.epoch = epoch
            return message[:2] + (finished.only or finished.next(anew=alone))
        request = parse_request(message)
        if request is None:
            return None
        fault = self._fault(request)
        if fault is not None:
            return self._fit(request, Answer(fault, authoritative=False), transport, recursion)
        datacenter = self._datacenter_of(request)
        if datacenter and self._knows(datacenter):
            return Elsewhere(datacenter)
        glance = Glance(look)
        try:
            answer = answer_request(request, World(self.settings, self._zones, self._source, glance, self._distance))
        except Lacking as lacking:
            return lacking
        if cut_off and answer.authoritative:
            answer = replace(answer, error=_stale(answer))
        if answer.outside is not None and recursion and request.recursion_desired:
            return Outside(request, answer.outside, answer)
        response = self._fit(request, answer, transport, recursion)
        if answer.lasting and not datacenter and len(key) <= _MAX_KEY:
            compose = partial(self._compose, request, answer, transport, recursion) if len(answer.choices) > 1 else None
            self._store.put(key, _Finished(tuple(glance.grounds), response[2:], compose))
        return response

    def fail(self, message: bytes, transport: Transport, error: ExtendedError, *, recursion: bool = False) -> bytes | None:
        """SERVFAIL, with the reason."""
        request = parse_request(message)
        if request is None:
            return None
        return self._fit(request, Answer(Rcode.SERVFAIL, authoritative=False, error=error), transport, recursion)

    def complete(self, outside: Outside, answer: Answer, transport: Transport) -> bytes:
        """The message for a question that a recursor was asked about."""
        return self._fit(outside.request, answer, transport, recursion=True)

    def truncated(self, message: bytes) -> bytes | None:
        """An empty answer that sends the client to TCP; None where no answer is due."""
        request = parse_request(message)
        if request is None or request.fault is not Rcode.NOERROR:
            return None
        return HEADER.pack(request.id, QR | TC | request.flags & RD, 1, 0, 0, 0) + request.question

    def _datacenter_of(self, request: Request) -> str:
        """The other datacenter that the name is in, known or not; empty where it is in none."""
        zone = find_zone(self._zones, request.labels)
        if zone is None:
            return ""
        datacenter = datacenter_of(request.labels[: len(request.labels) - len(zone.labels)])
        return datacenter if datacenter != self.settings.datacenter.lower() else ""

    def _fault(self, request: Request) -> Rcode | None:
        if request.fault is not Rcode.NOERROR:
            return request.fault
        if request.edns is not None and request.edns.version and not self.settings.compat.lenient_questions:
            return Rcode.BADVERS
        return None

    def _compose(self, request: Request, answer: Answer, transport: Transport, recursion: bool) -> bytes:
        return self._fit(request, answer, transport, recursion)[2:]

    def _fit(self, request: Request, answer: Answer, transport: Transport, recursion: bool) -> bytes:
        allowance = allowance_of(request, transport, self.settings)
        return fit(request, answer, allowance, self.settings, self._source, recursion=recursion)


def _stale(answer: Answer) -> ExtendedError:
    """RFC 8914 sections 4.4 and 4.20; what else there is to say comes along."""
    code = ErrorCode.STALE_NXDOMAIN if answer.rcode is Rcode.NXDOMAIN else ErrorCode.STALE_ANSWER
    return ExtendedError(code, f"{answer.error.text}; no leader is known" if answer.error else "no leader is known")


def _variant(transport: Transport, recursion: bool, cut_off: bool) -> bytes:
    """Tells apart answers to the same bytes. A question with bytes after its end is never kept, so these mix with no other."""
    return b"%d%d%d" % (transport is Transport.TCP, recursion, cut_off)
