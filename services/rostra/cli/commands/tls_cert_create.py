"""``rostra tls cert create``: a certificate for an agent, or for those who ask one."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rostra.cli import exits
from rostra.cli.files import FOR_ALL, FOR_OWNER, write_new
from rostra.cli.flags import Parser
from rostra.errors import BadRequest

KINDS = ("server", "client", "cli")
DOMAIN = "#DOMAIN#"
WARNING = """==> WARNING: Server Certificates grants authority to become a
    server and access all state in the cluster including root keys
    and all ACL tokens. Do not distribute them to production hosts
    that are not server nodes. Store them as securely as CA keys."""


def run(arguments: Sequence[str]) -> int:
    parser = _parser()
    options = parser.parse(arguments)
    chosen = [kind for kind in KINDS if vars(options)[kind]]
    if len(chosen) != 1:
        raise BadRequest("Please provide either -server, -client, or -cli")
    if options.node and not options.server:
        raise BadRequest("-node requires -server")
    ca_file, ca_key_file = (path.replace(DOMAIN, options.domain) for path in (options.ca, options.key))
    from rostra.tls.authority import Pair, make_certificate
    from rostra.tls.material import utc_now

    authority = Pair(_read("CA", ca_file), _read("CA key", ca_key_file))
    names, addresses = _names(chosen[0], options)
    made = make_certificate(authority, chosen[0], utc_now(), options.days, names, addresses)
    certificate_file, key_file = _free_names(f"{options.dc}-{chosen[0]}-{options.domain}")
    write_new(key_file, made.key, FOR_OWNER)
    write_new(certificate_file, made.certificate, FOR_ALL)
    if options.server:
        print(WARNING)
    print(f"==> Using {ca_file} and {ca_key_file}\n==> Saved {certificate_file}\n==> Saved {key_file}")
    return exits.OK


def _parser() -> Parser:
    parser = Parser(
        "tls cert create",
        """
        Makes a certificate and its key in the working folder, signed by the
        authority of rostra tls ca create: DC-KIND-DOMAIN-N.pem and
        DC-KIND-DOMAIN-N-key.pem, N being the first number that is free.
        """,
    )
    parser.switch("server", "For a server agent: with the name server.DC.DOMAIN that verify_server_hostname asks for.")
    parser.switch("client", "For a client agent.")
    parser.switch("cli", "For a person or a program that asks an agent which has verify_incoming.")
    parser.value("dc", "The datacenter.", default="dc1", metavar="name")
    parser.value("domain", "The domain of the cluster.", default="consul", metavar="name")
    parser.value("node", "With -server: also the name NODE.server.DC.DOMAIN.", metavar="name")
    parser.number("days", "Days for which the certificate is valid, from now on.", default=365)
    parser.values("additional-dnsname", "Another name; localhost is always one; may be repeated.", metavar="name")
    parser.values("additional-ipaddress", "Another IP address; 127.0.0.1 is always one for agents; may be repeated.", metavar="address")
    parser.value("ca", "File of the authority's certificate.", default=f"{DOMAIN}-agent-ca.pem", metavar="path")
    parser.value("key", "File of the authority's key.", default=f"{DOMAIN}-agent-ca-key.pem", metavar="path")
    return parser


def _names(kind: str, options: Namespace) -> tuple[list[str], list[str]]:
    """DNS names, the certificate's own first, and addresses: as Consul gives them."""
    own = f"{kind}.{options.dc}.{options.domain}"
    of_node = [f"{options.node}.{own}"] if options.node else []
    addresses = options.additional_ipaddress if kind == "cli" else [*options.additional_ipaddress, "127.0.0.1"]
    return [own, *of_node, *options.additional_dnsname, "localhost"], addresses


def _read(what: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadRequest(f"Error reading {what}: open {path}: {(error.strerror or str(error)).lower()}") from None


def _free_names(prefix: str) -> tuple[str, str]:
    """Of a certificate and its key, neither of which is there."""
    number = 0
    while True:
        names = f"{prefix}-{number}.pem", f"{prefix}-{number}-key.pem"
        if not any(os.path.lexists(name) for name in names):
            return names
        number += 1
