"""Who may be a member of which pool: a rule is asked for every living member that is heard of, before it is believed or passed on.

A LAN pool is one datacenter, the WAN pool is servers. Rules look at tags only; what has none of ours (a plain Serf agent) is let in, for it
can do no harm: only members with our tags are ever taken for servers.
"""

from __future__ import annotations

from rostra.gossip.address import Address
from rostra.gossip.membership import Admit
from rostra.gossip.wire.tags import decode_tags


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
