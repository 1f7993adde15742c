"""The six version numbers of a member: memberlist's range and current one, Serf's range and current one (gossip-wire section 8)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from rostra.gossip.wire.errors import Reason, WireError

CHECKSUM_PMAX: Final = 5
RELAY_PMAX: Final = 5
NACK_PMAX: Final = 4
STREAM_PING_PMAX: Final = 3


class Versions(NamedTuple):
    """The least, the highest and the current version of each protocol."""

    pmin: int
    pmax: int
    pcur: int
    dmin: int
    dmax: int
    dcur: int

    @classmethod
    def parse(cls, versions: bytes) -> Versions:
        """Exactly six bytes, or a refusal: peers exist that crash on any other number, so we never pass one on."""
        if len(versions) != 6:
            raise WireError(Reason.BAD_VERSIONS, "not six bytes")
        parsed = cls(*versions)
        if parsed.pmin == 0 or parsed.pmax == 0 or parsed.pmin > parsed.pmax:
            raise WireError(Reason.BAD_VERSIONS, "empty range")
        return parsed

    def __bytes__(self) -> bytes:
        return bytes(tuple(self))


OURS: Final = Versions(pmin=1, pmax=5, pcur=2, dmin=2, dmax=5, dcur=4)
"""What Consul says of itself."""


def check_compatible(alive: Iterable[Versions], everyone: Iterable[Versions]) -> None:
    """Refuse a merge unless every member speaks a version that all living ones understand."""
    ranges = list(alive)
    if not ranges:
        return
    pmin, pmax = max(version.pmin for version in ranges), min(version.pmax for version in ranges)
    dmin, dmax = max(version.dmin for version in ranges), min(version.dmax for version in ranges)
    for version in everyone:
        if not pmin <= version.pcur <= pmax or not dmin <= version.dcur <= dmax:
            raise WireError(Reason.BAD_VERSIONS, "no common version")
