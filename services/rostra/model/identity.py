"""Which node a process belongs to. The process with gossip decides it; the others ask."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """``id`` is a UUID; ``address`` is what the node advertises."""

    name: str
    id: str
    datacenter: str
    address: str = ""
    wan_address: str = ""
    server: bool = False
