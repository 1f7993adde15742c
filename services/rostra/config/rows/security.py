"""Access control and TLS. What does not work yet is refused, whatever its value: an operator who wrote it down counts on it."""

from __future__ import annotations

from rostra.config.key import Key, Kind, Standing, Value

WORKS, REFUSED = Standing.WORKS, Standing.REFUSED
STRING, BOOL, INT, DURATION = Kind.STRING, Kind.BOOL, Kind.INT, Kind.DURATION

NO_ACL = "there is no access control yet"
NO_AUTO = "no agent gives out certificates or configuration yet"


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

CIPHERS = "OpenSSL's own choice of safe cipher suites stands"
ALWAYS_CHECKED = "agents always check each other's certificates, where they have any"
MUTUAL = "agents show each other their certificates unless told otherwise"

_MATERIAL: tuple[tuple[str, Kind, Value, str], ...] = (
    ("ca_file", STRING, "", "Certificates of the authorities that are trusted, PEM."),
    ("ca_path", STRING, "", "Folder of such files."),
    ("cert_file", STRING, "", "Certificate that is shown, PEM, with what is between it and the authority."),
    ("key_file", STRING, "", "Its private key, PEM; not readable by everybody."),
)
_SECTIONS = {"defaults": "all of these", "https": "HTTPS", "grpc": "the public gRPC port", "internal_rpc": "the server port and role doors"}
_VERSIONS = ("tls_auto", "tlsv1_2", "tlsv1_3")


def _section(section: str, about: str) -> tuple[Key, ...]:
    """What every section has. ``tls.defaults`` is laid under the others while loading, so nothing else reads it."""
    path = f"tls.{section}"

    def field(name: str) -> str:
        return "" if section == "defaults" else f"{path}.{name}"

    return (
        *(Key(WORKS, f"{path}.{name}", kind, default, f"{text} For {about}.", field=field(name))
          for name, kind, default, text in _MATERIAL),
        Key(WORKS, f"{path}.tls_min_version", STRING, "tlsv1_2", f"Oldest TLS version. For {about}.", field=field("tls_min_version"),
            choices=_VERSIONS),
        _refused(f"{path}.tls_cipher_suites", STRING, "", "Cipher suites.", CIPHERS),
        Key(WORKS, f"{path}.verify_incoming", BOOL, None if section == "internal_rpc" else False,
            f"Ask clients for certificates. For {about}.", field=field("verify_incoming"), why=MUTUAL if section == "internal_rpc" else ""),
    )  # fmt: skip


TLS = (
    *(key for section, about in _SECTIONS.items() for key in _section(section, about)),
    Key(REFUSED, "tls.defaults.verify_outgoing", BOOL, True, "Check certificates of servers.", note=ALWAYS_CHECKED, why=ALWAYS_CHECKED),
    Key(REFUSED, "tls.internal_rpc.verify_outgoing", BOOL, True, "Check certificates of servers.", note=ALWAYS_CHECKED, why=ALWAYS_CHECKED),
    _refused("tls.https.verify_outgoing", BOOL, False, "Check certificates of HTTPS servers.", "the agent asks nobody over HTTPS"),
    Key(WORKS, "tls.internal_rpc.verify_server_hostname", BOOL, False, "Servers have to show a name of server.DATACENTER.DOMAIN.",
        field="tls.internal_rpc.verify_server_hostname"),
    _refused("tls.grpc.use_auto_cert", BOOL, False, "Use the certificate of auto_encrypt.", NO_AUTO),
    *(Key(WORKS, path, kind, default, text, deprecated=f"tls.defaults.{path}") for path, kind, default, text in _MATERIAL),
    Key(WORKS, "tls_min_version", STRING, "tls12", "Oldest TLS version.", choices=("tls12", "tls13"),
        deprecated="tls.defaults.tls_min_version"),
    Key(WORKS, "verify_incoming", BOOL, False, "Ask clients for certificates.", deprecated="tls.defaults.verify_incoming"),
    Key(WORKS, "verify_incoming_rpc", BOOL, False, "Ask agents for certificates.", deprecated="tls.internal_rpc.verify_incoming"),
    Key(WORKS, "verify_incoming_https", BOOL, False, "Ask HTTPS clients for certificates.", deprecated="tls.https.verify_incoming"),
    Key(REFUSED, "verify_outgoing", BOOL, True, "Check certificates of servers.", note=ALWAYS_CHECKED, why=ALWAYS_CHECKED),
    Key(WORKS, "verify_server_hostname", BOOL, False, "Servers have to show a name of server.DATACENTER.DOMAIN.",
        deprecated="tls.internal_rpc.verify_server_hostname"),
    _refused("tls_cipher_suites", STRING, "", "Cipher suites.", CIPHERS),
    _refused("tls_prefer_server_cipher_suites", BOOL, False, "The server chooses the cipher suite.", CIPHERS),
    _refused("server_name", STRING, "", "Name in the certificate.", "the certificate says its names itself"),
    _refused("auto_encrypt", Kind.TABLE, None, "Servers give clients their certificates.", NO_AUTO),
    _refused("auto_config", Kind.TABLE, None, "Servers give clients their configuration.", NO_AUTO),
)  # fmt: skip
