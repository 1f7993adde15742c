"""Which doors a process opens, and what each shows (docs/design/doors.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import grpc

from rostra.agent.assembly import Assembly
from rostra.agent.parts import MetricsPart
from rostra.agent.process import Door as ProcessDoor
from rostra.agent.process import Role
from rostra.agent.wiring import Wiring
from rostra.model.addresses import host_port
from rostra.rpc.doors import Door, Readiness
from rostra.rpc.forward import forward, readiness
from rostra.rpc.handlers import Handlers
from rostra.tls.certificates import Certificates
from rostra.tls.credentials import server_credentials

SERVICES_OF: Final[Mapping[str, Sequence[str]]] = {
    "gossip": ("GossipService",),
    "consensus": ("ConsensusService",),
    "catalog": ("CatalogService", "CatalogStreamService", "SnapshotService"),
    "local": ("AgentService",),
    "dns": ("DnsService",),
}
PUBLIC_GOSSIP_METHODS: Final = ("GetStatus", "ListMembers", "WatchMembers", "WatchUserEvents", "ListCoordinates")
"""The rest of GossipService is on the role door."""
PUBLIC_SERVICES: Final = ("CatalogService", "CatalogStreamService", "SnapshotService", "AgentService", "DnsService")
BETWEEN_AGENTS: Final = (
    "/rostra.v1.RaftService/*",
    "/rostra.v1.CatalogStreamService/*",
    "/rostra.v1.CatalogService/*",
    "/rostra.v1.SnapshotService/*",
    "/rostra.v1.ConsensusService/Propose",
    "/rostra.v1.ConsensusService/GetStatus",
    "/rostra.v1.ConsensusService/GetConfiguration",
    "/rostra.v1.ConsensusService/ChangeMember",
    "/rostra.v1.ConsensusService/TransferLeadership",
)
"""Port 8300: Raft, what followers and client agents hand on, and the catalog for client agents."""
HANDED_ON: Final = ("gossip", "catalog", "local")
"""Roles whose public services a gateway shows although they run elsewhere."""


def build_doors(assembly: Assembly) -> list[ProcessDoor]:
    """In order of start."""
    settings, wiring = assembly.settings, assembly.wiring
    here = {f"rostra.v1.{service}": _asking(part) for part in assembly.parts for service in SERVICES_OF.get(part.name, ())}
    doors: list[ProcessDoor] = []
    if wiring.is_here("gateway") and settings.ports.grpc > 0:
        addresses = [host_port(host, settings.ports.grpc) for host in settings.addresses.grpc]
        doors.append(Door("gRPC port", addresses, *_public(wiring, here), _credentials(wiring.certificates.grpc)))
    if wiring.is_here("consensus") and settings.ports.server > 0:
        served = _between_agents(wiring)
        address = host_port(settings.addresses.bind, settings.ports.server)
        doors.append(Door("server port", [address], served, here, _credentials(wiring.certificates.internal_rpc)))
    role_doors = [assembly.folder.socket(role) for role in settings.roles.run] if assembly.folder is not None else []
    if settings.roles.grpc_addr:
        role_doors.append(settings.roles.grpc_addr)
    if role_doors:
        doors.append(Door("role door", role_doors, wiring.handlers, here, _credentials(wiring.certificates.internal_rpc)))
    if settings.telemetry.metrics_addr:
        doors.append(MetricsPart(settings.telemetry.metrics_addr, assembly.parts))
    return doors


def _credentials(certificates: Certificates | None) -> grpc.ServerCredentials | None:
    if certificates is None:
        return None
    return server_credentials(certificates, ask_clients=certificates.settings.verify_incoming)


def _asking(part: Role) -> Callable[[], bool]:
    return lambda: part.ready


def _between_agents(wiring: Wiring) -> Handlers:
    """What port 8300 shows. A catalog that runs apart is handed on to, so that client agents find one on every server."""
    handlers = Handlers()
    if not wiring.is_here("catalog") and wiring.addresses("catalog"):
        handlers.merge(forward(SERVICES_OF["catalog"], wiring.channel("catalog")))
    handlers.merge(wiring.handlers)
    return handlers.only(BETWEEN_AGENTS)


def _public(wiring: Wiring, here: Readiness) -> tuple[Handlers, Readiness]:
    """What port 8502 shows: the public services, from here or handed on to where they are, and whether they are ready."""
    handlers, ready = Handlers(), dict(here)
    for role in HANDED_ON:
        if not wiring.is_here(role) and wiring.addresses(role):
            handlers.merge(forward(SERVICES_OF[role], wiring.channel(role)))
            ready |= readiness(SERVICES_OF[role], wiring.channel(role))
    handlers.merge(wiring.handlers)
    public = [f"/rostra.v1.GossipService/{method}" for method in PUBLIC_GOSSIP_METHODS]
    shown = handlers.only([*public, *(f"/rostra.v1.{service}/*" for service in PUBLIC_SERVICES)])
    return shown, {service: ask for service, ask in ready.items() if service in shown.services}
