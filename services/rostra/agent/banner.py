"""What an agent says when it starts."""

from __future__ import annotations

from rostra.config import Settings
from rostra.model.identity import Identity
from rostra.version import VERSION


def banner(settings: Settings, identity: Identity) -> str:
    """Text of several lines, Consul's layout."""
    ports, addresses = settings.ports, settings.addresses
    agents = settings.tls.internal_rpc
    encrypted, outgoing, incoming = (
        str(is_on).lower() for is_on in (bool(settings.gossip.encrypt), agents.is_on, agents.is_on and agents.verify_incoming)
    )
    rows = [
        ("Version", f"'{VERSION}'"),
        ("Node name", f"'{identity.name}'"),
        ("Node ID", f"'{identity.id}'"),
        ("Datacenter", f"'{identity.datacenter}'"),
        ("Server", f"{str(settings.server.enabled).lower()} (Bootstrap: {str(settings.server.bootstrap).lower()})"),
        ("Roles", ", ".join(settings.roles.run)),
        ("Client Addr", f"[{' '.join(addresses.client)}] (HTTP: {ports.http}, HTTPS: {ports.https}, gRPC: {ports.grpc}, DNS: {ports.dns})"),
        ("Cluster Addr", f"{addresses.advertise} (LAN: {ports.serf_lan}, WAN: {ports.serf_wan})"),
        ("Encrypt", f"Gossip: {encrypted}, TLS-Outgoing: {outgoing}, TLS-Incoming: {incoming}, Auto-Encrypt-TLS: false"),
    ]
    lines = ["==> Starting rostra agent..."]
    if settings.dev:
        lines.append("==> This is an agent for development: nothing is kept, and it is not for production.")
    lines += [f"{name:>18}: {text}" for name, text in rows]
    return "\n".join([*lines, "", "==> Log data will now stream in as it occurs:", ""])
