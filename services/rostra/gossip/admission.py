"""Who may be a member of which pool: a rule is asked for every living member that is heard of, before it is believed or passed on.

A LAN pool is one datacenter, the WAN pool is servers. Rules look at tags and addresses only; in a LAN pool, what has no tags of ours (a
plain Serf agent) is let in, for it can do no harm: only members with our tags are ever taken for servers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from rostra.gossip.address import Address
from rostra.gossip.membership import Admit
from rostra.gossip.wire.tags import decode_tags

Networks: TypeAlias = Callable[[bytes], bool]
"""Is this IP address, as it travels, in one of the networks?"""


def same_datacenter(datacenter: str) -> Admit:
    """For a LAN pool."""

    def admit(name: str, address: Address, meta: bytes) -> str:
        theirs = decode_tags(meta).get("dc", datacenter)
        return "" if theirs == datacenter else f"it is of datacenter {theirs!r}"

    return admit


def servers_only(server_roles: frozenset[str]) -> Admit:
    """For the WAN pool: one client in it, joined by mistake, would connect whole datacenters' clients."""

    def admit(name: str, address: Address, meta: bytes) -> str:
        role = decode_tags(meta).get("role", "")
        return "" if role in server_roles else f"its role {role!r} is not a server's"

    return admit


def named_by_datacenter() -> Admit:
    """For the WAN pool: a name is NODE.DATACENTER there, so that a LAN pool joined by mistake does not leak its members into it."""

    def admit(name: str, address: Address, meta: bytes) -> str:
        datacenter = decode_tags(meta).get("dc", "")
        return "" if datacenter and name.endswith(f".{datacenter}") else f"its name does not end with its datacenter {datacenter!r}"

    return admit


def within(networks: Sequence[str]) -> Networks:
    """Networks in CIDR notation; without any, every address is in them. An IPv4 address in 16 bytes counts as the IPv4 address."""
    known = [ipaddress.ip_network(network, strict=False) for network in networks]

    def contains(ip: bytes) -> bool:
        if not known:
            return True
        if len(ip) not in (4, 16):
            return False
        address = ipaddress.ip_address(ip)
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in known)

    return contains


ANYWHERE: Final = within(())


def from_networks(networks: Networks) -> Admit:
    """The address that a member tells of itself is in the networks."""

    def admit(name: str, address: Address, meta: bytes) -> str:
        return "" if networks(address.ip) else f"its address {address.host} is in none of the networks allowed"

    return admit


def every(*rules: Admit) -> Admit:
    """All rules hold; the reason is that of the first that does not."""

    def admit(name: str, address: Address, meta: bytes) -> str:
        return next(filter(None, (rule(name, address, meta) for rule in rules)), "")

    return admit
