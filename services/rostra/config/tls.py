"""The ``tls`` block: sections laid over ``tls.defaults`` and over the keys that Consul had before 1.12, and what must hold in each.

No file is opened here: whether a certificate is good is for ``rostra.tls`` to say, at the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from rostra.config.given import Findings
from rostra.config.keys import SETTINGS
from rostra.config.machine import is_local, is_unspecified
from rostra.config.merged import Merged
from rostra.model.addresses import host_port

SECTIONS: Final = ("https", "grpc", "internal_rpc")
OLDER: Final[Mapping[tuple[str, str], str]] = {
    ("https", "verify_incoming"): "verify_incoming_https",
    ("internal_rpc", "verify_incoming"): "verify_incoming_rpc",
}
"""Keys of old for one section; the others bear the name of the section's key."""
FILES: Final = ("ca_file", "ca_path", "cert_file", "key_file")
DEMANDS: Final = ("verify_incoming", "verify_outgoing", "verify_server_hostname")
OLDER_VERSIONS: Final = {"tls12": "tlsv1_2", "tls13": "tlsv1_3"}


def settle_tls(merged: Merged, findings: Findings) -> None:
    """Gives every section its effective values. Comes after the addresses are settled."""
    for section in SECTIONS:
        _inherit(merged, section)
        _check(merged, section, findings)
    _check_ports(merged, findings)
    _warn_of_plaintext(merged, findings)


def _inherit(merged: Merged, section: str) -> None:
    for path in [path for path in SETTINGS if path.startswith(f"tls.{section}.")]:
        source = _source(merged, section, path.rpartition(".")[2])
        if source:
            value = merged.values[source]
            merged.derive(path, OLDER_VERSIONS.get(value, value) if isinstance(value, str) else value, merged.origins[source])
    if section == "internal_rpc" and not _source(merged, section, "verify_incoming"):
        has_certificate = bool(merged.values["tls.internal_rpc.cert_file"])
        merged.derive("tls.internal_rpc.verify_incoming", has_certificate, "with a certificate" if has_certificate else "default")
    if f"tls.{section}.cert_file" in merged.given and not merged.values[f"tls.{section}.cert_file"]:
        # Said to be empty: this listener has no TLS, whatever the defaults are.
        for name in FILES:
            merged.derive(f"tls.{section}.{name}", "", merged.origins[f"tls.{section}.cert_file"])


def _source(merged: Merged, section: str, name: str) -> str:
    """The path whose value counts for a key of a section; empty where nobody gave one."""
    ways = (f"tls.{section}.{name}", f"tls.defaults.{name}", OLDER.get((section, name), ""), name)
    return next((path for path in ways if path in merged.given), "")


def _check(merged: Merged, section: str, findings: Findings) -> None:
    """Half a set of files, and a demand without certificates, are mistakes and not plaintext."""
    here = {name: merged.values[f"tls.{section}.{name}"] for name in FILES}
    has_authority = bool(here["ca_file"] or here["ca_path"])
    for name, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if here[name] and not here[other]:
            findings.problem(merged.origin(_source(merged, section, name)), f"tls.{section}.{name} is of no use without {other}")
    if section == "internal_rpc" and has_authority != bool(here["cert_file"]):
        given = next(name for name in FILES if here[name])
        findings.problem(merged.origin(_source(merged, section, given)), "tls.internal_rpc needs all of ca_file (or ca_path), cert_file "
                         "and key_file: agents show their certificates to each other, and check them")  # fmt: skip
    for name in DEMANDS:
        source = _source(merged, section, name)
        is_for_all = source in (f"tls.defaults.{name}", name)
        if not source or not merged.values[source] or (is_for_all and section != "internal_rpc"):
            continue
        if f"tls.{section}.{name}" in SETTINGS and not here["cert_file"]:
            findings.problem(merged.origin(source), f"{source} asks for TLS, and tls.{section} has no cert_file and key_file")
    if section != "internal_rpc" and here["cert_file"] and not has_authority and merged.values[f"tls.{section}.verify_incoming"]:
        findings.problem(merged.origin(_source(merged, section, "verify_incoming")), f"tls.{section}.verify_incoming needs a ca_file or "
                         "ca_path to check the certificates of clients with")  # fmt: skip
    hostname = merged.values.get(f"tls.{section}.verify_server_hostname")
    if hostname and not merged.values["datacenter"]:
        findings.problem("-datacenter", "verify_server_hostname checks for names with the datacenter in them: give it here too")
    if section != "https" and here["cert_file"] and merged.values[f"tls.{section}.tls_min_version"] == "tlsv1_3":
        findings.problem(merged.origin(_source(merged, section, "tls_min_version")), f"tls.{section}.tls_min_version: gRPC speaks TLS 1.2 "
                         "and 1.3 and cannot be told to leave out 1.2: set tlsv1_2 here")  # fmt: skip


def _check_ports(merged: Merged, findings: Findings) -> None:
    for path, role in (("ports.https", "gateway"), ("ports.dns_tls", "dns")):
        if merged.values[path] > 0 and role in merged.values["roles"] and not merged.values["tls.https.cert_file"]:
            findings.problem(merged.origin(path), f"{path}: there is no certificate for it: add tls.https.cert_file and key_file")


def _warn_of_plaintext(merged: Merged, findings: Findings) -> None:
    """Names each door that others reach without TLS."""
    for door, path, address, means in _plaintext_doors(merged):
        host = address.rpartition(":")[0].strip("[]")
        if not is_local(host) or is_unspecified(host):
            findings.warn(merged.origin(path), f"the {door} at {address} is neither encrypted nor authenticated: {means}")
    if merged.values["tls.internal_rpc.cert_file"] and not merged.values["tls.internal_rpc.verify_incoming"]:
        source = _source(merged, "internal_rpc", "verify_incoming")
        findings.warn(merged.origin(source), "the server port and role doors on TCP take clients without a certificate: whoever reaches "
                      "them can do everything with this node")  # fmt: skip


def _plaintext_doors(merged: Merged) -> Iterator[tuple[str, str, str, str]]:
    """Name, the key that says where, ``HOST:PORT``, and what that means."""
    values = merged.values
    has_agents_tls = bool(values["tls.internal_rpc.cert_file"])
    if values["grpc_addr"] and not has_agents_tls:
        yield "role door", "grpc_addr", values["grpc_addr"], "whoever reaches it can do everything with this node"
    if "consensus" in values["roles"] and not has_agents_tls:
        address = host_port(values["bind_addr"], values["ports.server"])
        yield "server port", "bind_addr", address, "whoever reaches it can write to the catalog and take part in Raft"
    if "gateway" in values["roles"]:
        for door, name, is_secure in (("HTTP port", "http", False), ("gRPC port", "grpc", bool(values["tls.grpc.cert_file"]))):
            for host in values[f"addresses.{name}"] if values[f"ports.{name}"] > 0 and not is_secure else ():
                path = f"addresses.{name}" if f"addresses.{name}" in merged.given else "client_addr"
                yield door, path, host_port(host, values[f"ports.{name}"]), "whoever reaches it can read and write the catalog"
