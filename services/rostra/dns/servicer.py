"""DnsService: the same answers over gRPC."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Final

from rostra.dns.desk import Desk
from rostra.dns.lifetime import lifetime_s
from rostra.dns.wire import Transport
from rostra.errors import BadRequest
from rostra.rpc.inprocess import IN_PROCESS
from rostra.v1 import dns_pb2, dns_pb2_grpc

_NO_CLIENT: Final = "0.0.0.0"  # noqa: S104 - an address that is in no network that may use recursors


class DnsServicer(dns_pb2_grpc.DnsServiceServicer):
    """Who asks over gRPC has no address that says whether it may use the recursors, so it may not; only a role of this process
    is believed when it says for whom it asks."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def Query(self, request: dns_pb2.QueryRequest, context: Any) -> dns_pb2.QueryResponse:
        transport = Transport.UDP if request.transport == dns_pb2.DNS_TRANSPORT_UDP else Transport.TCP
        client = _address(request.client) if request.client and context.peer() == IN_PROCESS else _NO_CLIENT
        response = await self._desk.answer(request.message, transport, client)
        if response is None:
            raise BadRequest("message is no DNS question", field="message")
        return dns_pb2.QueryResponse(message=response, ttl_s=lifetime_s(response))


def _address(text: str) -> str:
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        raise BadRequest("client is no IP address", field="client") from None
