"""Certificates as asyncio takes them: contexts for HTTPS and DNS over TLS, which follow a reload, and one to look at another agent."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from typing import Final

from rostra.tls.certificates import Certificates
from rostra.tls.material import Material

MIN_VERSIONS: Final = {
    "tls_auto": ssl.TLSVersion.TLSv1_2,
    "tlsv1_2": ssl.TLSVersion.TLSv1_2,
    "tlsv1_3": ssl.TLSVersion.TLSv1_3,
}


def server_context(certificates: Certificates, *, protocols: Sequence[str], ask_clients: bool) -> ssl.SSLContext:
    """For a listener. The context stays; each handshake is handed on to one that is made anew when the certificates change.

    OpenSSL calls the server-name callback in every handshake, with a name or without, before it chooses a certificate.
    """
    shown = certificates.material
    inner = _server(certificates, protocols, ask_clients=ask_clients)

    def follow(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, outer: ssl.SSLContext) -> None:
        nonlocal shown, inner
        if certificates.material is not shown:
            shown = certificates.material
            inner = _server(certificates, protocols, ask_clients=ask_clients)
        connection.context = inner

    outer = _server(certificates, protocols, ask_clients=ask_clients)
    outer.sni_callback = follow
    return outer


def _server(certificates: Certificates, protocols: Sequence[str], *, ask_clients: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = MIN_VERSIONS[certificates.settings.tls_min_version]
    context.set_alpn_protocols(list(protocols))
    show(context, certificates.material)
    if ask_clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=certificates.material.authorities.decode("ascii", "ignore"))
    return context


def inquiry_context(material: Material | None) -> ssl.SSLContext:
    """For a look at what another agent shows: it takes any name, from our authorities only; without ``material`` anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    if material is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=material.authorities.decode("ascii", "ignore"))
        show(context, material)
    return context


def show(context: ssl.SSLContext, material: Material) -> None:
    """Has the context show the certificate. OpenSSL wants files: these are in memory, so they are what was checked."""
    chain, key = os.memfd_create("chain", os.MFD_CLOEXEC), os.memfd_create("key", os.MFD_CLOEXEC)
    try:
        os.write(chain, material.chain)
        os.write(key, material.key)
        context.load_cert_chain(f"/proc/self/fd/{chain}", f"/proc/self/fd/{key}")
    finally:
        os.close(chain)
        os.close(key)
