"""Both lists of the Consul surface (its sections 2.2 and 2.3, and the DNS settings of 3.5), written down by hand: every flag and key
works, is accepted with one warning, or is refused by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rostra.config import Loaded, load
from rostra.config.key import Key, Kind, Standing
from rostra.config.keys import DEFINITION_FIELDS, FLAGS, GROUPS, SETTINGS, VARIABLES
from rostra.config.machine import Machine
from rostra.errors import ConfigError


def words(text: str) -> list[str]:
    return text.split()


FLAGS_OF_2_2 = words("""
    server bootstrap bootstrap-expect dev data-dir config-file config-dir config-format node node-id node-meta datacenter domain
    alt-domain bind client advertise advertise-wan serf-lan-bind serf-lan-port serf-wan-port server-port http-port https-port dns-port
    grpc-port grpc-tls-port recursor retry-join retry-interval retry-max retry-join-wan rejoin encrypt log-level log-json log-file
    log-rotate-bytes log-rotate-duration log-rotate-max-files pid-file ui enable-script-checks enable-local-script-checks
    default-query-time max-query-time hcl allow-write-http-from check_output_max_size disable-host-node-id disable-keyring-file syslog
    serf-lan-allowed-cidrs auto-reload-config join join-wan
""")

KEYS_OF_2_3 = words("""
    node_name node_id node_meta datacenter primary_datacenter disable_host_node_id

    bind_addr client_addr advertise_addr advertise_addr_ipv4 advertise_addr_ipv6 advertise_addr_wan addresses.dns addresses.http
    addresses.https addresses.grpc addresses.grpc_tls ports.dns ports.http ports.https ports.grpc ports.grpc_tls ports.serf_lan
    ports.serf_wan ports.server translate_wan_addrs unix_sockets.user unix_sockets.group unix_sockets.mode

    retry_join retry_interval retry_max retry_join_wan rejoin_after_leave leave_on_terminate skip_leave_on_interrupt reconnect_timeout
    advertise_reconnect_timeout

    server bootstrap bootstrap_expect data_dir autopilot.cleanup_dead_servers autopilot.last_contact_threshold
    autopilot.max_trailing_logs autopilot.min_quorum autopilot.server_stabilization_time performance.raft_multiplier
    performance.leave_drain_time performance.rpc_hold_timeout raft_protocol raft_snapshot_threshold raft_snapshot_interval
    raft_trailing_logs raft_logstore server_rejoin_age_max

    encrypt encrypt_verify_incoming encrypt_verify_outgoing serf_lan_allowed_cidrs
    gossip_lan.gossip_interval gossip_lan.gossip_nodes gossip_lan.probe_interval gossip_lan.probe_timeout gossip_lan.retransmit_mult
    gossip_lan.suspicion_mult gossip_wan.gossip_interval gossip_wan.gossip_nodes gossip_wan.probe_interval gossip_wan.probe_timeout
    gossip_wan.retransmit_mult gossip_wan.suspicion_mult

    service services check checks enable_script_checks enable_local_script_checks check_update_interval check_output_max_size
    discard_check_output discovery_max_stale watches

    domain alt_domain recursors

    default_query_time max_query_time use_streaming_backend rpc.enable_streaming cache.entry_fetch_rate cache.entry_fetch_max_burst

    limits.http_max_conns_per_client limits.https_handshake_timeout limits.rpc_handshake_timeout limits.rpc_rate limits.rpc_max_burst
    limits.rpc_max_conns_per_client limits.kv_max_value_size limits.txn_max_req_len limits.request_limits.mode
    limits.request_limits.read_rate limits.request_limits.write_rate

    http_config.block_endpoints http_config.response_headers http_config.allow_write_http_from http_config.use_cache
    http_config.max_header_bytes

    acl.enabled acl.default_policy acl.down_policy acl.policy_ttl acl.token_ttl acl.role_ttl acl.enable_key_list_policy
    acl.tokens.default acl.tokens.agent acl.tokens.dns acl.tokens.replication acl.tokens.agent_recovery
    acl.tokens.initial_management acl.tokens.config_file_service_registration
    tls.defaults.ca_file tls.defaults.cert_file tls.defaults.key_file tls.defaults.verify_incoming tls.defaults.verify_outgoing
    tls.https.cert_file tls.https.verify_incoming tls.grpc.cert_file tls.grpc.use_auto_cert tls.internal_rpc.cert_file
    tls.internal_rpc.verify_server_hostname auto_encrypt auto_config

    telemetry.prometheus_retention_time telemetry.statsd_address telemetry.dogstatsd_addr telemetry.metrics_prefix
    telemetry.prefix_filter telemetry.disable_hostname telemetry.enable_host_metrics

    ui_config.enabled ui_config.dir ui_config.content_path ui_config.metrics_provider ui_config.metrics_proxy
    ui_config.dashboard_url_templates

    session_ttl_min

    log_level log_json log_file log_rotate_bytes log_rotate_duration log_rotate_max_files enable_syslog
""")

KEYS_OF_3_5 = words("""
    dns_config.allow_stale dns_config.max_stale dns_config.only_passing dns_config.node_ttl dns_config.service_ttl dns_config.use_cache
    dns_config.cache_max_age dns_config.recursor_timeout dns_config.recursor_strategy dns_config.disable_compression
    dns_config.enable_truncate dns_config.udp_answer_limit dns_config.a_record_limit dns_config.soa.expire dns_config.soa.min_ttl
    dns_config.soa.refresh dns_config.soa.retry dns_config.enable_additional_node_meta_txt dns_config.prefer_namespace
""")

SECURITY = ("acl", "auto_encrypt", "auto_config", "enable_acl", "server_name", "tls_cipher_suites", "tls_prefer", "tls.grpc.use_auto_cert")
TLS = (*(path for path in SETTINGS if path.startswith(("tls", "verify_"))), "ca_file", "ca_path", "cert_file", "key_file")
SECTIONS_OF_TLS = ("tls.https.", "tls.grpc.", "tls.internal_rpc.")
CERTIFICATES = ("ca_file", "cert_file", "key_file")
WITH_CERTIFICATES = {
    path: [name for name in CERTIFICATES if path not in (name, f"tls.defaults.{name}")] for path in (*TLS, "ports.https", "ports.dns_tls")
}
"""What these settings mean nothing without, or half of something: keys of ``tls.defaults`` to load them beside."""

SPECIAL: dict[str, Any] = {
    "node_id": "0a0b0c0d-0000-4000-8000-000000000001",
    "node_meta": {"rack": "r1"},
    "service": {"name": "web"},
    "services": [{"name": "web"}],
    "check": {"name": "alive", "ttl": "30s"},
    "checks": [{"name": "alive", "ttl": "30s"}],
    "dns_config.service_ttl": {"*": "5s"},
    "roles": "gossip,consensus,catalog",
    "encrypt": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ=",
    "dns_config.edns_size_max": 1232,
    "domain": "example.",
    "datacenter": "dc2",
    "http_config.max_header_bytes": 8192,
    "http_config.max_body_bytes": 8192,
    "http_config.write_buffer_bytes": 8192,
    "protocol": 3,
    "bootstrap_expect": 1,
    "cache.entry_fetch_max_burst": 3,
    "advertise_addr_ipv6": "fd00::1",
    "tls.internal_rpc.verify_incoming": False,
    "verify_incoming_rpc": False,
    "tls_min_version": "tls12",
}
"""Values for settings that take less than their kind says."""


SAME_WITH_DEV = frozenset({"server", "data_dir", "tls_min_version"})
"""Settings that work but change nothing beside ``-dev``: it is a server, it keeps nothing, and TLS 1.2 is the oldest anyway."""


def another(key: Key) -> Any:
    """A value for ``key`` as a file spells it, other than its default."""
    if key.path in SPECIAL:
        return SPECIAL[key.path]
    if key.choices:
        return next(choice for choice in key.choices if choice != key.default)
    values: dict[Kind, Any] = {
        Kind.STRING: "other",
        Kind.BOOL: not key.default,
        Kind.INT: 2,
        Kind.FLOAT: 7.5,
        Kind.DURATION: "100h",
        Kind.PORT: 18000,
        Kind.ADDRESS: "127.0.0.9",
        Kind.ADDRESSES: "127.0.0.9",
        Kind.LISTEN: "127.0.0.1:9000",
        Kind.STRINGS: ["other"],
        Kind.HOSTS: ["10.0.0.9"],
        Kind.NETWORKS: ["10.0.0.0/8"],
        Kind.TABLE: {"any": "thing"},
        Kind.LIST: [{"any": "thing"}],
        Kind.MAP: {"any": "thing"},
    }
    return values[key.kind]


def nested(path: str, value: Any) -> dict[str, Any]:
    """A document with only this key. The only dot inside a name is that of ``disable_compat_1.9``."""
    parts = path.replace("1.9", "1#9").split(".")
    for part in reversed(parts):
        value = {part.replace("1#9", "1.9"): value}
    return value  # type: ignore[no-any-return]


def outcome(key: Key, argv: list[str], machine: Machine, culprit: str) -> Standing:
    """What became of one setting beside ``-dev``: told by what a user sees, not by the table."""
    beside = ["-dev", *(f'-hcl=tls {{ defaults {{ {name} = "some.pem" }} }}' for name in WITH_CERTIFICATES.get(key.path, ()))]
    try:
        result = load([*beside, *argv], {}, machine=machine)
    except ConfigError as error:
        refusals = [problem for problem in error.problems if culprit in problem and "not in this version" in problem]
    else:
        told = [warning for warning in result.warnings if culprit in warning and "no effect" in warning]
        assert len(told) <= 1
        unchanged = _changes_nothing(result, beside, machine)
        assert told or not unchanged or key.path in SAME_WITH_DEV
        return Standing.HARMLESS if told else Standing.WORKS
    assert len(refusals) == 1
    return Standing.REFUSED


def _changes_nothing(result: Loaded, beside: list[str], machine: Machine) -> bool:
    try:
        return result.settings == load(beside, {}, machine=machine).settings
    except ConfigError:  # it is what was missing
        return False


@pytest.mark.parametrize("path", [*KEYS_OF_2_3, *KEYS_OF_3_5])
def test_each_key_of_the_surface_works_or_is_warned_of_or_is_refused_by_name(
    path: str, write: Callable[[str, str], str], machine: Machine
) -> None:
    key = SETTINGS[path]
    write("one.json", json.dumps(nested(path, another(key))))
    assert outcome(key, ["-config-file", "one.json"], machine, path) is key.standing


FURTHER = sorted(path for path in set(SETTINGS) - set(KEYS_OF_2_3) - set(KEYS_OF_3_5) if not path.startswith("upstreams."))


@pytest.mark.parametrize("path", FURTHER)
def test_each_further_key_of_the_table_does_what_its_row_says(path: str, write: Callable[[str, str], str], machine: Machine) -> None:
    key = SETTINGS[path]
    argv = ["-config-file", write("one.json", json.dumps(nested(path, another(key))))]
    assert outcome(key, argv, machine, path) is key.standing


@pytest.mark.parametrize("flag", FLAGS_OF_2_2)
def test_each_flag_of_the_surface_works_or_is_warned_of_or_is_refused_by_name(
    flag: str, write: Callable[[str, str], str], machine: Machine
) -> None:
    key = FLAGS[flag]
    sources = {"dev": "true", "config-file": "empty.json", "config-dir": ".", "config-format": "json", "hcl": "log_json = true"}
    write("empty.json", "{}")
    if not key.path:
        assert load(["-dev", f"-{flag}={sources[flag]}"], {}, machine=machine).settings.dev
        return
    value = another(key)
    text = "rack:r1" if flag == "node-meta" else value[0] if isinstance(value, list) else str(value)
    assert outcome(key, [f"-{flag}={text}"], machine, f"-{flag}") is key.standing


def test_the_table_marks_each_security_setting_as_refused_whatever_its_value(
    write: Callable[[str, str], str], problems: Callable[..., tuple[str, ...]]
) -> None:
    paths = [path for path in SETTINGS if path.startswith(SECURITY)]
    assert len(paths) > 30
    for path in paths:
        key = SETTINGS[path]
        assert key.standing is Standing.REFUSED, path
        quiet = {Kind.BOOL: False, Kind.INT: 0, Kind.DURATION: "0s", Kind.TABLE: {}, Kind.LIST: []}.get(key.kind, "")
        write("quiet.json", json.dumps(nested(path, quiet)))
        assert problems("-dev", "-config-file=quiet.json")[0].startswith(f"quiet.json:1: {path} is not in this version")


def test_an_empty_encryption_key_asks_for_nothing(loaded: Callable[..., Any]) -> None:
    assert loaded("-dev", "-encrypt=").warnings == ()


def test_a_harmless_or_refused_setting_that_asks_for_what_happens_anyway_is_passed_over(loaded: Callable[..., Any]) -> None:
    assert loaded("-dev", "-ui=false", "-https-port=-1", "-disable-host-node-id", "-enable-script-checks=false").warnings == ()


def test_each_variable_and_each_flag_belongs_to_one_setting() -> None:
    keys = [key for _, rows in GROUPS for key in rows]
    shared = [key.path for key in keys if key.variable and VARIABLES[key.variable] is not key]
    assert shared == ["acl.default_policy", "acl.down_policy", "acl.enable_key_list_policy"]  # with acl_default_policy, ...: refused alike
    assert len(FLAGS) == sum(len(key.flags) for key in keys)
    assert len(SETTINGS) == sum(1 for key in keys if key.path)


def test_each_row_that_works_is_read_by_somebody() -> None:
    used_while_loading = {"advertise_addr_ipv4", "advertise_addr_ipv6"} | {path for path in TLS if not path.startswith(SECTIONS_OF_TLS)}
    used_while_loading -= {path for path in used_while_loading if SETTINGS[path].standing is not Standing.WORKS}
    idle = [key.path for key in SETTINGS.values() if key.standing is Standing.WORKS and not key.field]
    assert set(idle) == used_while_loading


def test_no_row_is_both_a_value_and_a_table() -> None:
    for table in (SETTINGS, DEFINITION_FIELDS):
        assert not [path for path in table for other in table if other.startswith(path + ".")]
