"""What a server looks like to others: the words its member carries in gossip, and its service in the catalog.

The tags are rostra's own (DESIGN section 1), so that a real Consul never takes a rostra server for its own, nor rostra a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rostra.model.catalog import CONSUL_SERVICE, Service

ROLE_TAG: Final = "role"
SERVER_ROLE: Final = "rostra"
CLIENT_ROLE: Final = "rostra-client"


def is_server(tags: Mapping[str, str], datacenter: str) -> bool:
    """Whether a member with these tags is a server of ours in that datacenter."""
    return tags.get(ROLE_TAG) == SERVER_ROLE and tags.get("dc") == datacenter and tags.get("port", "").isdecimal()


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
