"""From the process's settings to those of the dns role."""

from __future__ import annotations

import ssl
from ipaddress import ip_network

from rostra.config import Settings
from rostra.dns.settings import Compatibility, DnsSettings, SoaSettings


def dns_settings(settings: Settings, *, datacenter: str, listens: bool, tls: ssl.SSLContext | None) -> DnsSettings:
    """``datacenter`` is the node's, which gossip may have told; without ``listens`` no port is opened."""
    dns = settings.dns
    compat = dns.compat
    return DnsSettings(
        addresses=settings.addresses.dns if listens and settings.ports.dns > 0 else (),
        port=settings.ports.dns,
        reuse_port=dns.reuse_port or dns.workers > 1,
        tls=tls if settings.ports.dns_tls > 0 else None,
        tls_port=settings.ports.dns_tls,
        domain=dns.domain,
        alt_domain=dns.alt_domain,
        datacenter=datacenter,
        node_ttl_s=dns.node_ttl_s,
        service_ttl_s=dns.service_ttl_s,
        soa=SoaSettings(dns.soa.refresh_s, dns.soa.retry_s, dns.soa.expire_s, dns.soa.min_ttl_s),
        allow_stale=dns.allow_stale,
        max_stale_s=dns.max_stale_s,
        only_passing=dns.only_passing,
        enable_truncate=dns.enable_truncate,
        udp_answer_limit=dns.udp_answer_limit,
        a_record_limit=dns.a_record_limit,
        disable_compression=dns.disable_compression,
        enable_additional_node_meta_txt=dns.enable_additional_node_meta_txt,
        nearest_first=dns.nearest_first,
        recursors=dns.recursors,
        recursor_timeout_s=dns.recursor_timeout_s,
        recursor_strategy=dns.recursor_strategy,
        allow_recursion=tuple(ip_network(network) for network in dns.allow_recursion),
        edns_size_max=dns.edns_size_max,
        response_rate_limit=dns.response_rate_limit,
        max_pending=dns.max_pending,
        tcp_idle_s=dns.tcp_idle_s,
        max_connections=dns.max_connections,
        max_connections_per_client=dns.max_connections_per_client,
        compat=Compatibility(**{quirk: getattr(compat, quirk) for quirk in compat.__struct_fields__}),
    )
