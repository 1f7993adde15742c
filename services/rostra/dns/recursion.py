"""What the desk needs of a recursor, and having none."""

from __future__ import annotations

import random
from typing import Protocol

from rostra.dns.answer import Answer
from rostra.dns.core import Outside
from rostra.dns.settings import DnsSettings


class Recursion(Protocol):
    """Finds names outside of our domains."""

    def serves(self, client: str) -> bool:
        """Whether ``client``, an address, may have such names found."""
        ...

    async def complete(self, outside: Outside) -> Answer:
        """What was found, after what is known already."""
        ...


class NoRecursion:
    """Serves nobody."""

    def serves(self, client: str) -> bool:
        return False

    async def complete(self, outside: Outside) -> Answer:
        return outside.answer


def make_recursion(settings: DnsSettings, source: random.Random) -> Recursion:
    """By the settings' recursors. Raises ``ConfigError`` for one that is no address."""
    if not settings.recursors:
        return NoRecursion()
    from rostra.dns.recursor import Recursor  # its library is too big for those who have no recursors

    return Recursor(settings, source)
