"""What the DNS role can be told, with Consul's defaults and units (docs/reference/configuration.md); times in seconds."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Final

DEFAULT_PORT: Final = 8600
TEN_YEARS_S: Final = 87600 * 3600.0


@dataclass(frozen=True, slots=True)
class SoaSettings:
    """Timers of the SOA record. ``min_ttl_s`` is its TTL too: how long resolvers keep a negative answer (RFC 2308)."""

    refresh_s: int = 3600
    retry_s: int = 600
    expire_s: int = 86400
    min_ttl_s: int = 0


@dataclass(frozen=True, slots=True)
class Compatibility:
    """Consul's departures from the RFCs, each to be had for those who depend on it; ``docs/differences.md`` explains them."""

    all_critical_nxdomain: bool = False
    """A service whose instances are all critical does not exist (RFC 2308: a name that exists has NODATA)."""
    empty_names_nxdomain: bool = False
    """Names that only have names under them, the apex among them, do not exist for other types (against RFC 8020), nor does ``ns``."""
    node_nodata_without_soa: bool = False
    """A node without a record of the type asked: no SOA in the answer (RFC 2308 section 2.2 wants it)."""
    apex_records_everywhere: bool = False
    """A question for SOA or NS gets the apex's records whatever name in the zone it asks."""
    address_of_any_type: bool = False
    """A name under ``addr`` gives its address, and a reversed one its name, even when another type was asked."""
    txt_gives_addresses: bool = False
    """A service asked for TXT gives its addresses."""
    primary_domain_only: bool = False
    """Names within answers are in the primary domain, also when the alternative one was asked."""
    repeated_additional: bool = False
    """The address of a node with several instances comes once for each."""
    unknown_reverse_servfail: bool = False
    """An address of nobody gives SERVFAIL, not REFUSED, and says that recursion is available (RA) although it is not."""
    alias_ttl: bool = False
    """Records that the CNAME of a service leads to within our domains have the CNAME's TTL, not their own."""
    alias_addresses: bool = False
    """A CNAME within our domains brings A records, whatever type was asked."""
    lenient_questions: bool = False
    """Other classes than IN and other EDNS versions than 0 are answered as if they were not."""


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """Everything the role needs to know. Times in seconds; 0 means no limit where a limit is meant."""

    addresses: tuple[str, ...] = ("127.0.0.1",)
    port: int = DEFAULT_PORT
    reuse_port: bool = False
    """Several processes share the port (SO_REUSEPORT): each takes a share of the questions."""
    tls: ssl.SSLContext | None = None
    """With it, DNS over TLS (RFC 7858) is served too, on ``tls_port``."""
    tls_port: int = 853
    domain: str = "consul."
    alt_domain: str = ""
    datacenter: str = "dc1"

    node_ttl_s: float = 0.0
    service_ttl_s: Mapping[str, float] = field(default_factory=dict)
    """By service: an exact name, else the longest ``prefix*``, else ``*``."""
    soa: SoaSettings = SoaSettings()

    allow_stale: bool = True
    max_stale_s: float = TEN_YEARS_S
    only_passing: bool = False
    enable_truncate: bool = True
    """Sets TC when an answer was cut. Consul's default is off, which hides the loss (RFC 2181 section 9)."""
    udp_answer_limit: int = 3
    """Records of an answer over UDP to a client without EDNS."""
    a_record_limit: int = 0
    """Address records of an answer on every transport."""
    disable_compression: bool = False
    enable_additional_node_meta_txt: bool = True

    nearest_first: bool = False
    """Instances of a service in order of round trip from this agent's node, by network coordinates, instead of at random."""

    recursors: tuple[str, ...] = ()
    """``host`` or ``host:port`` (``[host]:port`` for IPv6) of resolvers for names outside the domains."""
    recursor_timeout_s: float = 2.0
    recursor_strategy: str = "sequential"
    allow_recursion: tuple[IPv4Network | IPv6Network, ...] = (
        IPv4Network("127.0.0.0/8"),
        IPv6Network("::1/128"),
        IPv4Network("10.0.0.0/8"),
        IPv4Network("172.16.0.0/12"),
        IPv4Network("192.168.0.0/16"),
        IPv4Network("169.254.0.0/16"),
        IPv6Network("fc00::/7"),
        IPv6Network("fe80::/10"),
    )
    """Who may use the recursors: by default nobody from a public address, so that no agent becomes an open resolver."""

    edns_size_max: int = 4096
    """Largest answer over UDP, whatever the client allows."""
    response_rate_limit: int = 0
    """Answers a second to one source network (/24 or /56) over UDP; what exceeds it is dropped or told to use TCP."""
    max_pending: int = 1024
    """Questions that wait for a view or a recursor; more are dropped."""
    view_timeout_s: float = 1.0
    """How long a question waits for a view that is not here yet."""
    tcp_idle_s: float = 10.0
    max_connections: int = 1024
    max_connections_per_client: int = 128
    max_cached_bytes: int = 32 << 20
    """Finished answers kept in memory."""
    compat: Compatibility = Compatibility()
