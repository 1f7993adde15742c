"""Certificates as gRPC takes them. A server asks for them at each handshake; a channel has those it was made with."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import grpc

from rostra.tls.certificates import Certificates
from rostra.tls.material import Material


def server_credentials(certificates: Certificates, *, ask_clients: bool) -> grpc.ServerCredentials:
    """For a door. With ``ask_clients`` a client without a certificate from our authorities is refused in the handshake."""
    served = certificates.material

    def current() -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC on a thread of its own; None: as before."""
        nonlocal served
        material = certificates.material
        if material is served:
            return None
        served = material
        return _configuration(material)

    # types-grpcio does not know that None is allowed.
    fetcher = cast("Callable[[], grpc.ServerCertificateConfiguration]", current)
    return grpc.dynamic_ssl_server_credentials(_configuration(served), fetcher, ask_clients)


def channel_credentials(material: Material) -> grpc.ChannelCredentials:
    """For a connection to another agent: it shows our certificate, and takes only one from our authorities."""
    return grpc.ssl_channel_credentials(material.authorities, material.key, material.chain)


def _configuration(material: Material) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(material.key, material.chain)], material.authorities or None)
