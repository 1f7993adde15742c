"""From settings to a process: each role is built here, and nowhere else is it known that they share one.

A builder takes what its role needs by interface; order of the list is order of start: gossip, consensus,
catalog, views, local, dns, gateway, then the doors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from rostra.agent.any_catalog import AnyCatalog
from rostra.agent.assembly import Assembly
from rostra.agent.datacenters import Datacenters
from rostra.agent.doors import build_doors
from rostra.agent.members import RaftByConsensus, RaftByGossip, ServersByGossip, ServersElsewhere
from rostra.agent.parts import FollowServers, ViewsPart
from rostra.agent.process import Door as ProcessDoor
from rostra.agent.process import Role
from rostra.agent.snapshots import SnapshotsOfCatalogs
from rostra.clients.agent import AgentClient
from rostra.clients.consensus import ConsensusClient
from rostra.clients.dns import DnsClient
from rostra.config import Settings
from rostra.errors import ConfigError
from rostra.model.addresses import host_port
from rostra.model.autopilot import AutopilotConfiguration
from rostra.model.catalog import Node
from rostra.model.servers import consul_service, tagged_addresses
from rostra.rpc.strangers import Strangers
from rostra.tls.contexts import server_context
from rostra.v1 import (
    agent_pb2_grpc,
    catalog_pb2_grpc,
    catalog_stream_pb2_grpc,
    consensus_pb2_grpc,
    dns_pb2_grpc,
    gossip_pb2_grpc,
    raft_pb2_grpc,
    snapshot_pb2_grpc,
)
from rostra.views.hub import Hub
from rostra.views.upstreams import Upstreams

HEARTBEAT_S: Final = 0.1
"""Raft's heartbeat interval at a multiplier of 1 (``rostra.consensus.timing``)."""


def compose(assembly: Assembly) -> tuple[Sequence[Role], Sequence[ProcessDoor]]:
    """Builds the roles of ``settings.roles.run`` in order of start, and the doors in front of them."""
    run = assembly.settings.roles.run
    for name, build in _BUILDERS.items():
        if name in run:
            if name in ("local", "dns", "gateway") and assembly.hub is None:
                _build_views(assembly)
            build(assembly)
    assembly.control.roles = assembly.parts
    return assembly.parts, build_doors(assembly)


def _build_gossip(assembly: Assembly) -> None:
    from rostra.agent.pools import pool_configs
    from rostra.gossip.role import GossipRole

    settings, identity, join = assembly.settings, assembly.identity, assembly.settings.join
    pools = pool_configs(settings, identity, assembly.path)
    alone = identity.server and settings.server.voters_expected == 1 and not (join.start_join or join.retry_join)
    ends_with_leave = settings.roles.run == ("gossip",)
    role = GossipRole(identity, pools, alone=alone, ends_with_leave=ends_with_leave, rng=assembly.rng)
    assembly.wiring.handlers.add(gossip_pb2_grpc.add_GossipServiceServicer_to_server, role.servicer)
    assembly.parts.append(role)


def _build_consensus(assembly: Assembly) -> None:
    from rostra.consensus.role import ConsensusRole, ConsensusSettings
    from rostra.consensus.timing import DEVELOPMENT_TIMING, scaled_timing

    settings, identity = assembly.settings, assembly.identity
    role = ConsensusRole(
        identity,
        ConsensusSettings(
            timing=DEVELOPMENT_TIMING if settings.dev else scaled_timing(settings.server.raft_multiplier),
            folder=assembly.path / "consensus" if assembly.path is not None else None,
            expect=settings.server.voters_expected,
            server_address=host_port(identity.address, settings.ports.server),
            snapshot_threshold=settings.server.raft_snapshot_threshold,
            snapshot_interval_s=settings.server.raft_snapshot_interval_s,
            trailing_logs=settings.server.raft_trailing_logs,
        ),
        assembly.gossip(),
        assembly.wiring.connector,
        assembly.rng,
    )
    assembly.wiring.handlers.add(raft_pb2_grpc.add_RaftServiceServicer_to_server, role.raft_servicer)
    assembly.wiring.handlers.add(consensus_pb2_grpc.add_ConsensusServiceServicer_to_server, role.servicer)
    assembly.parts.append(role)
    if settings.ports.server > 0:
        assembly.parts.append(Strangers(settings.ports.server, settings.addresses.bind))


def _build_catalog(assembly: Assembly) -> None:
    from rostra.catalog.role import CatalogRole

    settings = assembly.settings.autopilot
    role = CatalogRole(
        assembly.identity,
        ConsensusClient(assembly.wiring.channel("consensus")),
        assembly.gossip(),
        observer=assembly.settings.roles.observer,
        hold_s=assembly.settings.server.rpc_hold_timeout_s,
        autopilot=AutopilotConfiguration(
            cleanup_dead_servers=settings.cleanup_dead_servers,
            last_contact_threshold_s=settings.last_contact_threshold_s,
            max_trailing_logs=settings.max_trailing_logs,
            min_quorum=settings.min_quorum,
            server_stabilization_time_s=settings.server_stabilization_time_s,
        ),
        heartbeat_s=0.0 if assembly.settings.dev else HEARTBEAT_S * assembly.settings.server.raft_multiplier,
        connect_elsewhere=assembly.wiring.connect_elsewhere,
    )
    assembly.wiring.handlers.add(catalog_pb2_grpc.add_CatalogServiceServicer_to_server, role.servicer)
    assembly.wiring.handlers.add(catalog_stream_pb2_grpc.add_CatalogStreamServiceServicer_to_server, role.stream_servicer)
    assembly.wiring.handlers.add(snapshot_pb2_grpc.add_SnapshotServiceServicer_to_server, role.snapshot_servicer)
    assembly.parts.append(role)


def _build_views(assembly: Assembly) -> None:
    """The hub that local, dns and gateway of this process share."""
    settings = assembly.settings
    upstreams: Upstreams = assembly.wiring.catalogs()
    if settings.roles.catalog_by_gossip and not assembly.wiring.is_here("catalog"):
        upstreams = servers = ServersByGossip(assembly.gossip(), assembly.identity, assembly.wiring.connector, _joins(settings))
        assembly.parts.append(FollowServers(servers))
    role = next(name for name in ("gateway", "dns", "local") if name in settings.roles.run)

    def make_hub(datacenter: str = "") -> Hub:
        hold_s = settings.server.rpc_hold_timeout_s
        return Hub(upstreams, assembly.identity, role=role, datacenter=datacenter, hold_s=hold_s, rng=assembly.rng)

    assembly.hub, assembly.upstreams = make_hub(), upstreams
    assembly.parts.append(ViewsPart(assembly.hub))
    assembly.catalogs = AnyCatalog(upstreams)
    if role != "local":
        assembly.datacenters = Datacenters(assembly.identity.datacenter, assembly.catalogs, make_hub)
        assembly.parts.append(assembly.datacenters)


def _joins(settings: Settings) -> Sequence[str]:
    return tuple(dict.fromkeys((*settings.join.start_join, *settings.join.retry_join)))


def _build_local(assembly: Assembly) -> None:
    from rostra.local.role import LocalRole, LocalSettings

    settings, identity = assembly.settings, assembly.identity
    assert assembly.hub is not None
    node = Node(
        name=identity.name,
        address=identity.address,
        id=identity.id,
        tagged_addresses=tagged_addresses(identity.address, identity.wan_address),
        meta=settings.identity.node_meta,
    )
    role = LocalRole(
        node,
        [consul_service(settings.ports.server)] if identity.server else [],
        LocalSettings(
            folder=assembly.path / "local" if assembly.path is not None else None,
            services=settings.discovery.services,
            checks=settings.discovery.checks,
            enable_script_checks=settings.discovery.enable_script_checks,
            enable_local_script_checks=settings.discovery.enable_local_script_checks,
            check_update_interval_s=settings.discovery.check_update_interval_s,
            check_output_max_size=settings.discovery.check_output_max_size,
            discard_check_output=settings.discovery.discard_check_output,
        ),
        assembly.hub,
        assembly.hub,
        assembly.control,
        assembly.rng,
    )

    async def reload(new: Settings) -> None:
        discovery = new.discovery
        await role.reload(discovery.services, discovery.checks, discard_check_output=discovery.discard_check_output)

    assembly.control.reload_local = reload
    assembly.wiring.handlers.add(agent_pb2_grpc.add_AgentServiceServicer_to_server, role.servicer)
    assembly.parts.append(role)


def _build_dns(assembly: Assembly) -> None:
    from rostra.agent.dns import dns_settings
    from rostra.dns.near import Near
    from rostra.dns.role import DnsRole
    from rostra.dns.settings import DnsSettings

    wiring, hub = assembly.wiring, assembly.hub
    assert hub is not None
    https = wiring.certificates.https
    tls = server_context(https, protocols=("dot",), ask_clients=False) if https is not None else None

    def settings_of(settings: Settings) -> DnsSettings:
        # A gateway whose dns is elsewhere answers DNS over gRPC and HTTPS only, so that the node's public doors are whole.
        return dns_settings(settings, datacenter=assembly.identity.datacenter, listens=wiring.is_here("dns"), tls=tls)

    first = settings_of(assembly.settings)

    def prepare(new: Settings) -> Callable[[], None]:
        return role.prepare(replace(settings_of(new), domain=first.domain, alt_domain=first.alt_domain))

    near = Near(assembly.identity.name, assembly.gossip())
    role = DnsRole(hub, first, source=assembly.rng, datacenters=assembly.datacenters, near=near)
    assembly.control.prepare_dns = prepare
    wiring.handlers.add(dns_pb2_grpc.add_DnsServiceServicer_to_server, role.servicer)
    assembly.parts.append(role)
    if assembly.settings.dns.workers > 1 and first.addresses:
        _add_dns_workers(assembly)


def _add_dns_workers(assembly: Assembly) -> None:
    from rostra.agent.workers import DnsWorkers

    wiring, control = assembly.wiring, assembly.control
    if assembly.path is None:
        raise ConfigError(["dns_config.workers: more than one needs -data-dir: they find gossip and catalog by its sockets"])
    upstreams = []
    for name in ("gossip", "catalog"):
        addresses = [f"unix:{assembly.path}/{name}.sock"] if wiring.is_here(name) else wiring.addresses(name)
        if addresses:
            upstreams.append(f"-{name}={','.join(addresses)}")
    workers = DnsWorkers(assembly.settings.dns.workers - 1, assembly.identity, assembly.path, upstreams, assembly.rng)
    workers.configure(json.loads(control.config_json()))
    control.reloaded = lambda: workers.configure(json.loads(control.config_json()))
    assembly.parts.append(workers)


def _build_gateway(assembly: Assembly) -> None:
    from rostra.gateway.role import GatewayRole
    from rostra.gateway.settings import GatewaySettings, Limits

    def limits_of(settings: Settings) -> Limits:
        http = settings.http
        return Limits(
            connections_per_client=settings.limits.http_max_conns_per_client,
            header_bytes=http.max_header_bytes,
            body_bytes=http.max_body_bytes,
            header_timeout_s=http.header_timeout_s,
            body_timeout_s=http.body_timeout_s,
            tls_handshake_timeout_s=settings.limits.https_handshake_timeout_s,
            idle_timeout_s=http.idle_timeout_s,
            write_timeout_s=http.write_timeout_s,
            write_buffer_bytes=http.write_buffer_bytes,
            blocked_queries=http.max_blocked_queries,
            answer_bytes=http.max_answer_bytes,
        )

    settings, identity, wiring, hub = assembly.settings, assembly.identity, assembly.wiring, assembly.hub
    assert hub is not None
    assert assembly.upstreams is not None
    https = wiring.certificates.https
    tls = server_context(https, protocols=("http/1.1",), ask_clients=https.settings.verify_incoming) if https is not None else None
    raft = (
        RaftByConsensus(ConsensusClient(wiring.channel("consensus")), hub)
        if identity.server and wiring.reaches("consensus")
        else RaftByGossip(assembly.gossip(), identity, wiring.connector, hub)
    )
    gateway_settings = GatewaySettings(
        http_addresses=settings.addresses.http,
        http_port=settings.ports.http,
        https_addresses=settings.addresses.https,
        https_port=settings.ports.https,
        datacenter=identity.datacenter,
        node_name=identity.name,
        pretty=settings.dev,
        default_query_time_s=settings.queries.default_query_time_s,
        max_query_time_s=settings.queries.max_query_time_s,
        busy_poll_s=settings.http.busy_poll_s,
        response_headers=settings.http.response_headers,
        block_endpoints=settings.http.block_endpoints,
        allow_write_http_from=settings.http.allow_write_http_from,
        limits=limits_of(settings),
    )
    if not wiring.is_here("dns"):
        _build_dns(assembly)
    agent, dns = AgentClient(wiring.channel("local")), DnsClient(wiring.in_process)
    gossip, datacenters, catalogs = assembly.gossip(), assembly.datacenters, assembly.catalogs
    assert catalogs is not None
    servers_elsewhere = partial(ServersElsewhere, catalogs)
    snapshots = SnapshotsOfCatalogs(assembly.upstreams, hub)
    role = GatewayRole(hub, hub, agent, gossip, raft, dns, gateway_settings, tls, datacenters, catalogs, snapshots, servers_elsewhere)
    assembly.control.reload_gateway = lambda new: role.reload(limits_of(new))
    assembly.parts.append(role)


_BUILDERS: Final = {
    "gossip": _build_gossip,
    "consensus": _build_consensus,
    "catalog": _build_catalog,
    "local": _build_local,
    "dns": _build_dns,
    "gateway": _build_gateway,
}
