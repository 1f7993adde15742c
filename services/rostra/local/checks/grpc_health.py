"""gRPC: passing when the health protocol says SERVING (https://grpc.io/docs/guides/health-checking/)."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from grpc import aio
from grpc_health.v1 import health_pb2

from rostra.local.checks.dialing import Dialer, DialError, Tls, split_address
from rostra.local.checks.outcome import DEFAULT_TIMEOUT_S, Outcome, critical, passing
from rostra.model.catalog import CheckDefinition

METHOD: Final = "/grpc.health.v1.Health/Check"
OPTIONS: Final = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0)]
"""A connection of its own for each run: one that is shared would wait out a back-off after the server is up again."""


class GrpcCheck:
    """``HOST:PORT``, or ``HOST:PORT/SERVICE`` for one of the server's services."""

    def __init__(self, definition: CheckDefinition, dialer: Dialer) -> None:
        self._target = definition.grpc
        self._address, _, self._service = definition.grpc.partition("/")
        self._uses_tls = definition.grpc_use_tls
        self._verify = not definition.tls_skip_verify
        self._server_name = definition.tls_server_name
        self._timeout_s = definition.timeout_s or DEFAULT_TIMEOUT_S
        self._dialer = dialer

    async def run(self) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_s), await self._channel() as channel:
                ask = channel.unary_unary(
                    METHOD,
                    request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                    response_deserializer=health_pb2.HealthCheckResponse.FromString,
                )
                answer = await ask(health_pb2.HealthCheckRequest(service=self._service))
        except TimeoutError:
            return critical("rpc error: code = DeadlineExceeded desc = context deadline exceeded")
        except aio.AioRpcError as error:
            code = "".join(word.capitalize() for word in error.code().name.split("_"))
            return critical(f"rpc error: code = {code} desc = {error.details()}")
        except DialError as error:
            return critical(f"rpc error: code = Unavailable desc = {error}")
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            return critical("gRPC application didn't report service healthy")
        return passing(f"gRPC check {self._target}: success")

    async def _channel(self) -> aio.Channel:
        if not self._uses_tls:
            return aio.insecure_channel(self._address, options=OPTIONS)
        options: list[tuple[str, Any]] = list(OPTIONS)
        if self._verify:
            if self._server_name:
                options.append(("grpc.ssl_target_name_override", self._server_name))
            return aio.secure_channel(self._address, grpc.ssl_channel_credentials(), options=options)
        certificate, name = await self._shown_certificate()
        options.append(("grpc.ssl_target_name_override", name))
        return aio.secure_channel(self._address, grpc.ssl_channel_credentials(certificate), options=options)

    async def _shown_certificate(self) -> tuple[bytes, str]:
        """What the server shows, and a name in it. grpc has no way not to verify: so whatever is shown is what is trusted."""
        _, writer = await self._dialer.connect(
            *split_address(self._address), Tls(verify=False, server_name=self._server_name, protocols=("h2",))
        )
        try:
            session: ssl.SSLObject = writer.get_extra_info("ssl_object")
            shown = session.getpeercert(binary_form=True)
        finally:
            writer.transport.abort()
        if shown is None:
            raise DialError("the server shows no certificate")
        certificate = x509.load_der_x509_certificate(shown)
        return certificate.public_bytes(Encoding.PEM), _a_name(certificate) or split_address(self._address)[0]


def _a_name(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        subject = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(subject[0].value) if subject else ""
    found = [*names.get_values_for_type(x509.DNSName), *(str(each) for each in names.get_values_for_type(x509.IPAddress))]
    return found[0].replace("*", "x") if found else ""
