"""Which gossip pools a node takes part in, and how: the LAN pool of its datacenter, and on servers the WAN pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rostra.config import Settings
from rostra.config.durations import format_duration
from rostra.config.settings import GossipTiming
from rostra.gossip.admission import every, from_networks, named_by_datacenter, same_datacenter, servers_only, within
from rostra.gossip.joining import RetryJoin
from rostra.gossip.keyring import decode_key
from rostra.gossip.pool import PoolConfig
from rostra.gossip.serf_members import RECONNECT_TIMEOUT_TAG
from rostra.gossip.storage import PoolStorage
from rostra.gossip.timing import DEV, LAN, WAN, Timing
from rostra.model.identity import Identity
from rostra.model.servers import CLIENT_ROLE, ROLE_TAG, SERVER_ROLE
from rostra.version import VERSION


def pool_configs(settings: Settings, identity: Identity, data: Path | None) -> list[PoolConfig]:
    """``data`` is the data folder; None: nothing is kept."""
    lan = _lan(settings, identity, data)
    if identity.server and settings.ports.serf_wan > 0:
        return [lan, _wan(lan, settings, identity, data)]
    return [lan]


def gossip_tags(settings: Settings, identity: Identity) -> dict[str, str]:
    """What our member carries on the wire: rostra's own role, Consul's names for the rest."""
    tags = {
        ROLE_TAG: SERVER_ROLE if identity.server else CLIENT_ROLE,
        "dc": identity.datacenter,
        "id": identity.id,
        "build": VERSION,
        "vsn": "2",
        "vsn_min": "2",
        "vsn_max": "3",
    }
    if identity.server:
        tags["port"] = str(settings.ports.server)
        tags["wan_join_port"] = str(settings.ports.serf_wan)
        if settings.server.bootstrap:
            tags["bootstrap"] = "1"
        elif settings.server.bootstrap_expect > 1:
            tags["expect"] = str(settings.server.bootstrap_expect)
    if settings.join.advertise_reconnect_timeout_s:
        tags[RECONNECT_TIMEOUT_TAG] = format_duration(settings.join.advertise_reconnect_timeout_s)
    return tags


def _lan(settings: Settings, identity: Identity, data: Path | None) -> PoolConfig:
    gossip, join = settings.gossip, settings.join
    networks = within(gossip.lan_allowed_cidrs)
    return PoolConfig(
        pool="lan",
        name=identity.name,
        bind_host=settings.addresses.serf_lan,
        bind_port=settings.ports.serf_lan,
        advertise_host=identity.address,
        tags=gossip_tags(settings, identity),
        timing=_timing(DEV if settings.dev else LAN, gossip.lan, join.reconnect_timeout_s),
        keys=(decode_key(gossip.encrypt),) if gossip.encrypt else (),
        verify_incoming=gossip.encrypt_verify_incoming,
        verify_outgoing=gossip.encrypt_verify_outgoing,
        admit=every(same_datacenter(identity.datacenter), from_networks(networks)),
        networks=networks,
        start_join=join.start_join,
        retry_join=_retry(join.retry_join, join.retry_interval_s, join.retry_max),
        storage=_storage("lan", settings, data),
        rejoins_after_leave=join.rejoin_after_leave,
    )


def _wan(lan: PoolConfig, settings: Settings, identity: Identity, data: Path | None) -> PoolConfig:
    """The same, where it does not differ."""
    gossip, join = settings.gossip, settings.join
    networks = within(gossip.wan_allowed_cidrs)
    return replace(
        lan,
        pool="wan",
        name=f"{identity.name}.{identity.datacenter}",
        bind_host=settings.addresses.serf_wan,
        bind_port=settings.ports.serf_wan,
        advertise_host=identity.wan_address,
        timing=_timing(DEV if settings.dev else WAN, gossip.wan, join.reconnect_timeout_wan_s),
        admit=every(servers_only(frozenset({SERVER_ROLE})), named_by_datacenter(), from_networks(networks)),
        networks=networks,
        start_join=join.start_join_wan,
        retry_join=_retry(join.retry_join_wan, join.retry_interval_wan_s, join.retry_max_wan),
        storage=_storage("wan", settings, data),
    )


def _timing(profile: Timing, keys: GossipTiming, reconnect_timeout_s: float) -> Timing:
    """What ``gossip_lan`` and ``gossip_wan`` can set, over the profile's other timings."""
    return replace(
        profile,
        gossip_interval_s=keys.gossip_interval_s,
        gossip_nodes=keys.gossip_nodes,
        probe_interval_s=keys.probe_interval_s,
        probe_timeout_s=keys.probe_timeout_s,
        retransmit_mult=keys.retransmit_mult,
        suspicion_mult=keys.suspicion_mult,
        reconnect_timeout_s=reconnect_timeout_s,
    )


def _retry(addresses: Sequence[str], interval_s: float, attempts: int) -> RetryJoin | None:
    return RetryJoin(addresses, interval_s, attempts) if addresses else None


def _storage(pool: str, settings: Settings, data: Path | None) -> PoolStorage | None:
    return PoolStorage(data / "gossip", pool, keeps_keys=not settings.gossip.disable_keyring_file) if data is not None else None
