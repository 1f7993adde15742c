"""What a server looks like to others: the words its member carries in gossip, and its service in the catalog.

The tags are rostra's own, so that a real Consul never takes a rostra server for its own, nor rostra a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rostra.model.addresses import host_port
from rostra.model.catalog import CONSUL_SERVICE, Service
from rostra.model.members import Member, MemberStatus

ROLE_TAG: Final = "role"
SERVER_ROLE: Final = "rostra"
CLIENT_ROLE: Final = "rostra-client"


@dataclass(frozen=True, slots=True)
class Datacenter:
    """One that the WAN pool knows. ``servers``: ``HOST:PORT`` of the port 8300 of each that is alive."""

    name: str
    servers: Sequence[str] = ()


def server_address(member: Member) -> str:
    """HOST:PORT of a server's port 8300."""
    return host_port(member.address, member.tags["port"])


def is_server(tags: Mapping[str, str], datacenter: str) -> bool:
    """Whether a member with these tags is a server of ours in that datacenter."""
    return tags.get(ROLE_TAG) == SERVER_ROLE and tags.get("dc") == datacenter and tags.get("port", "").isdecimal()


def bearer_of(claims: Sequence[Member], known_address: str) -> Member | None:
    """Which of the servers that carry one node ID is meant: the one that is alive at the address where it is known to be, else the one that
    is alive. None where several are, all elsewhere: one of them runs on a copy of the other's data folder, and nobody can tell which."""
    alive = [member for member in claims if member.status is MemberStatus.ALIVE]
    at_home = [member for member in alive or claims if server_address(member) == known_address]
    if at_home or len(alive) > 1:
        return at_home[0] if at_home else None
    return alive[0] if alive else claims[-1]


def is_ours(tags: Mapping[str, str], datacenter: str) -> bool:
    """Whether a member with these tags is a rostra agent of that datacenter, server or client."""
    return tags.get(ROLE_TAG) in (SERVER_ROLE, CLIENT_ROLE) and tags.get("dc") == datacenter


def consul_service(server_port: int) -> Service:
    """The service that every server carries, as the leader and the server itself both register it."""
    return Service(id=CONSUL_SERVICE, name=CONSUL_SERVICE, port=server_port)


def tagged_addresses(address: str, wan_address: str = "") -> dict[str, str]:
    """A node's addresses under Consul's tags: ``lan`` and ``wan``, each also by its family."""
    tagged = {}
    for tag, host in (("lan", address), ("wan", wan_address or address)):
        if host:
            tagged[tag] = host
            tagged[f"{tag}_{'ipv6' if ':' in host else 'ipv4'}"] = host
    return tagged
