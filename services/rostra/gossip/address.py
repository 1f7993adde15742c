"""Where a member listens: the same IP address and port for datagrams and streams."""

from __future__ import annotations

import functools
import ipaddress
from typing import NamedTuple


class Address(NamedTuple):
    """``ip`` as it travels, 4 or 16 bytes. Comparison is bytewise: an IPv4 address in 16 bytes is another address."""

    ip: bytes
    port: int

    @classmethod
    def parse(cls, host: str, port: int) -> Address:
        """Raises ``ValueError`` unless ``host`` is a literal address."""
        return cls(ipaddress.ip_address(host.partition("%")[0]).packed, port)

    @property
    def host(self) -> str:
        return _host(self.ip)

    @property
    def is_usable(self) -> bool:
        """Can something be sent there?"""
        return len(self.ip) in (4, 16) and self.port > 0

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if len(self.ip) == 16 else f"{self.host}:{self.port}"


@functools.lru_cache(maxsize=16384)
def _host(ip: bytes) -> str:
    return str(ipaddress.ip_address(ip)) if len(ip) in (4, 16) else ip.hex()
