"""Access control and TLS. Until they work, every one of these is refused, whatever its value: an operator who wrote it down
counts on it."""

from __future__ import annotations

from rostra.config.key import Key, Kind, Standing, Value

REFUSED = Standing.REFUSED
STRING, BOOL, INT, DURATION = Kind.STRING, Kind.BOOL, Kind.INT, Kind.DURATION

NO_ACL = "there is no access control yet"
NO_TLS = "there is no TLS yet"


def _refused(path: str, kind: Kind, default: Value, about: str, note: str, *, secret: bool = False) -> Key:
    return Key(REFUSED, path, kind, default, about, note=note, strict=True, secret=secret)


TOKENS = (
    "initial_management", "master", "replication", "agent_recovery", "agent_master", "default", "agent", "dns",
    "config_file_service_registration",
)  # fmt: skip

ACL = (
    _refused("acl.enabled", BOOL, False, "Access control.", NO_ACL),
    _refused("acl.default_policy", STRING, "allow", "What holds without a rule.", NO_ACL),
    _refused("acl.down_policy", STRING, "extend-cache", "What holds while no server answers.", NO_ACL),
    _refused("acl.policy_ttl", DURATION, 30.0, "How long policies are cached.", NO_ACL),
    _refused("acl.token_ttl", DURATION, 30.0, "How long tokens are cached.", NO_ACL),
    _refused("acl.role_ttl", DURATION, 30.0, "How long roles are cached.", NO_ACL),
    _refused("acl.enable_key_list_policy", BOOL, False, "Listing keys needs its own right.", NO_ACL),
    _refused("acl.enable_token_persistence", BOOL, False, "Keep tokens that the API set.", NO_ACL),
    _refused("acl.enable_token_replication", BOOL, False, "Replicate tokens.", NO_ACL),
    _refused("acl.tokens.managed_service_provider", Kind.LIST, (), "Tokens of a hosted service.", NO_ACL, secret=True),
    *(_refused(f"acl.tokens.{name}", STRING, "", f"The {name} token.", NO_ACL, secret=True) for name in TOKENS),
    *(_refused(f"acl_{name}", STRING, "", "Access control of old.", NO_ACL, secret=name.endswith("token"))
      for name in ("agent_master_token", "agent_token", "datacenter", "default_policy", "down_policy", "master_token",
                   "replication_token", "token")),
    _refused("acl_ttl", DURATION, 30.0, "Access control of old.", NO_ACL),
    _refused("acl_enable_key_list_policy", BOOL, False, "Access control of old.", NO_ACL),
    _refused("enable_acl_replication", BOOL, False, "Access control of old.", NO_ACL),
)  # fmt: skip

_MATERIAL: tuple[tuple[str, Kind, Value, str], ...] = (
    ("ca_file", STRING, "", "Certificate of the authority."),
    ("ca_path", STRING, "", "Folder of authorities."),
    ("cert_file", STRING, "", "Certificate."),
    ("key_file", STRING, "", "Private key."),
    ("tls_min_version", STRING, "", "Oldest TLS version."),
    ("tls_cipher_suites", STRING, "", "Cipher suites."),
    ("verify_incoming", BOOL, False, "Ask clients for certificates."),
    ("verify_outgoing", BOOL, False, "Check certificates of servers."),
    ("verify_server_hostname", BOOL, False, "Check names of servers."),
)
_SECTIONS = {
    "defaults": frozenset({"verify_server_hostname"}),
    "https": frozenset({"verify_server_hostname"}),
    "grpc": frozenset({"verify_outgoing", "verify_server_hostname"}),
    "internal_rpc": frozenset[str](),
}
"""The sections of ``tls``, each with what Consul does not know there."""

TLS = (
    *(_refused(path, kind, default, about, NO_TLS) for path, kind, default, about in _MATERIAL),
    _refused("tls_prefer_server_cipher_suites", BOOL, False, "The server chooses the cipher suite.", NO_TLS),
    _refused("verify_incoming_rpc", BOOL, False, "Ask agents for certificates.", NO_TLS),
    _refused("verify_incoming_https", BOOL, False, "Ask HTTPS clients for certificates.", NO_TLS),
    *(_refused(f"tls.{section}.{path}", kind, default, about, NO_TLS)
      for section, unknown in _SECTIONS.items() for path, kind, default, about in _MATERIAL if path not in unknown),
    _refused("tls.grpc.use_auto_cert", BOOL, False, "Use the certificate of auto_encrypt.", NO_TLS),
    _refused("server_name", STRING, "", "Name in the certificate.", NO_TLS),
    _refused("auto_encrypt", Kind.TABLE, None, "Servers give clients their certificates.", NO_TLS),
    _refused("auto_config", Kind.TABLE, None, "Servers give clients their configuration.", NO_TLS),
)  # fmt: skip
