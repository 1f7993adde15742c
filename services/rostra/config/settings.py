"""The agent's settings, typed: what ``load`` returns and the composition builds the roles from.

Defaults and their reasons are in the table (``keys``), not here: only ``load`` makes settings, so there is one place for them. Durations
are seconds, with ``_s`` at the end of the name. What the table marks as harmless or refused keeps its default here until it works.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of settings."""


class Identity(Group, frozen=True):
    """Who this node is. The process with the role gossip decides it; elsewhere an empty name, ID or datacenter means: ask gossip."""

    node_name: str
    node_id: str
    """Empty where gossip is to make or to remember one."""
    node_meta: dict[str, str]
    datacenter: str


class Addresses(Group, frozen=True):
    """Where the doors are. All are plain IP addresses; ``advertise`` is empty only where gossip is not in this process."""

    bind: str
    advertise: str
    advertise_wan: str
    serf_lan: str
    serf_wan: str
    client: tuple[str, ...]
    dns: tuple[str, ...]
    http: tuple[str, ...]
    https: tuple[str, ...]
    grpc: tuple[str, ...]


class Ports(Group, frozen=True):
    """-1 turns a door off, where it can be."""

    dns: int
    dns_tls: int
    http: int
    https: int
    grpc: int
    grpc_tls: int
    serf_lan: int
    serf_wan: int
    server: int


class Join(Group, frozen=True):
    """How this node finds the others, and how it goes."""

    retry_join: tuple[str, ...]
    retry_interval_s: float
    retry_max: int
    """0 for no end."""
    retry_join_wan: tuple[str, ...]
    retry_interval_wan_s: float
    retry_max_wan: int
    start_join: tuple[str, ...]
    start_join_wan: tuple[str, ...]
    rejoin_after_leave: bool
    leave_on_terminate: bool
    skip_leave_on_interrupt: bool
    reconnect_timeout_s: float
    reconnect_timeout_wan_s: float
    advertise_reconnect_timeout_s: float
    """0 for the others' own."""


class Server(Group, frozen=True):
    """The server, its log, and Raft's timing."""

    enabled: bool
    bootstrap: bool
    bootstrap_expect: int
    voters_expected: int
    """How many servers the first election waits for; 1: this one elects itself; 0: an existing cluster takes it in."""
    data_dir: str
    """Empty where nothing is kept."""
    raft_multiplier: int
    heartbeat_timeout_s: float
    election_timeout_s: float
    leave_drain_time_s: float
    rpc_hold_timeout_s: float
    raft_snapshot_threshold: int
    raft_snapshot_interval_s: float
    raft_trailing_logs: int


class Autopilot(Group, frozen=True):
    """When servers are added and removed."""

    cleanup_dead_servers: bool
    last_contact_threshold_s: float
    max_trailing_logs: int
    min_quorum: int
    server_stabilization_time_s: float


class GossipTiming(Group, frozen=True):
    """The pace of one gossip pool."""

    gossip_interval_s: float
    gossip_nodes: int
    probe_interval_s: float
    probe_timeout_s: float
    retransmit_mult: int
    suspicion_mult: int


class Gossip(Group, frozen=True):
    """Both pools."""

    lan: GossipTiming
    wan: GossipTiming
    encrypt: str
    encrypt_verify_incoming: bool
    encrypt_verify_outgoing: bool
    disable_keyring_file: bool
    lan_allowed_cidrs: tuple[str, ...]
    wan_allowed_cidrs: tuple[str, ...]


class Discovery(Group, frozen=True):
    """This node's services and checks: dictionaries in Consul's snake_case, durations as text, a service's checks in ``checks``."""

    services: tuple[dict[str, Any], ...]
    checks: tuple[dict[str, Any], ...]
    enable_script_checks: bool
    enable_local_script_checks: bool
    check_update_interval_s: float
    check_output_max_size: int
    discard_check_output: bool


class Soa(Group, frozen=True):
    """The SOA record's numbers."""

    refresh_s: int
    retry_s: int
    expire_s: int
    min_ttl_s: int


class DnsCompat(Group, frozen=True):
    """Which of Consul's departures from the RFCs are wanted."""

    all_critical_nxdomain: bool
    empty_names_nxdomain: bool
    node_nodata_without_soa: bool
    apex_records_everywhere: bool
    address_of_any_type: bool
    txt_gives_addresses: bool
    primary_domain_only: bool
    repeated_additional: bool
    unknown_reverse_servfail: bool
    alias_ttl: bool
    alias_addresses: bool
    lenient_questions: bool


class Dns(Group, frozen=True):
    """How DNS answers. Domains are in lower case and end with a dot; no ``alt_domain`` is empty."""

    domain: str
    alt_domain: str
    recursors: tuple[str, ...]
    recursor_timeout_s: float
    recursor_strategy: str
    allow_stale: bool
    max_stale_s: float
    node_ttl_s: float
    service_ttl_s: dict[str, float]
    only_passing: bool
    enable_truncate: bool
    udp_answer_limit: int
    a_record_limit: int
    disable_compression: bool
    enable_additional_node_meta_txt: bool
    nearest_first: bool
    allow_recursion: tuple[str, ...]
    edns_size_max: int
    response_rate_limit: int
    max_pending: int
    tcp_idle_s: float
    max_connections: int
    max_connections_per_client: int
    workers: int
    reuse_port: bool
    compat: DnsCompat
    soa: Soa


class Queries(Group, frozen=True):
    """How long blocking queries wait."""

    default_query_time_s: float
    max_query_time_s: float
    session_ttl_min_s: float


class Limits(Group, frozen=True):
    """How much one client may take."""

    http_max_conns_per_client: int
    https_handshake_timeout_s: float
    kv_max_value_size: int
    txn_max_req_len: int


class Http(Group, frozen=True):
    """The HTTP door."""

    block_endpoints: tuple[str, ...]
    response_headers: dict[str, str]
    allow_write_http_from: tuple[str, ...]
    max_header_bytes: int
    max_body_bytes: int
    header_timeout_s: float
    body_timeout_s: float
    idle_timeout_s: float
    write_timeout_s: float
    write_buffer_bytes: int
    max_blocked_queries: int
    max_answer_bytes: int
    busy_poll_s: float


class Logs(Group, frozen=True):
    """The log. ``level`` is trace, debug, info, warn or error."""

    level: str
    json: bool
    file: str
    rotate_bytes: int
    rotate_duration_s: float
    rotate_max_files: int
    syslog: bool
    syslog_facility: str
    pid_file: str


class Telemetry(Group, frozen=True):
    """Metrics; an empty address turns them off."""

    metrics_addr: str


class TlsSettings(Group, frozen=True):
    """TLS of one listener, or none where it has no certificate. Files are paths as given."""

    ca_file: str
    ca_path: str
    cert_file: str
    key_file: str
    tls_min_version: str
    verify_incoming: bool
    verify_server_hostname: bool = False
    """Of agents only: see ``rostra.tls.connector``."""

    @property
    def is_on(self) -> bool:
        return bool(self.cert_file)


class Tls(Group, frozen=True):
    """``https`` also serves DNS over TLS; ``internal_rpc`` is the server port, role doors on TCP, and connections to them."""

    https: TlsSettings
    grpc: TlsSettings
    internal_rpc: TlsSettings

    @property
    def is_on(self) -> bool:
        """Whether any of them has a certificate."""
        return self.https.is_on or self.grpc.is_on or self.internal_rpc.is_on


class Roles(Group, frozen=True):
    """Which roles run here, and where the others are. An upstream is empty where its role runs here, or nothing here needs it."""

    run: tuple[str, ...]
    gossip: tuple[str, ...]
    consensus: tuple[str, ...]
    catalog: tuple[str, ...]
    local: tuple[str, ...]
    catalog_by_gossip: bool
    """The catalogs are those of the servers that gossip shows; ``catalog`` is empty then."""
    grpc_addr: str
    """Empty: the role door is the socket in the data folder, or there is none."""
    observer: bool


class Settings(Group, frozen=True):
    """Everything that one process is told."""

    dev: bool
    roles: Roles
    identity: Identity
    addresses: Addresses
    ports: Ports
    join: Join
    server: Server
    autopilot: Autopilot
    gossip: Gossip
    discovery: Discovery
    dns: Dns
    queries: Queries
    limits: Limits
    http: Http
    logs: Logs
    telemetry: Telemetry
    tls: Tls
