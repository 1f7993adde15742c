"""DnsService: the same answers over gRPC."""

from __future__ import annotations

from typing import Any

from rostra.dns.desk import Desk
from rostra.dns.wire import Transport
from rostra.errors import BadRequest
from rostra.v1 import dns_pb2, dns_pb2_grpc

_NO_CLIENT = "0.0.0.0"  # noqa: S104 - an address that is in no network that may use recursors


class DnsServicer(dns_pb2_grpc.DnsServiceServicer):
    """Who asks over gRPC has no address that says whether it may use the recursors, so it may not."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def Query(self, request: dns_pb2.QueryRequest, context: Any) -> dns_pb2.QueryResponse:
        transport = Transport.UDP if request.transport == dns_pb2.DNS_TRANSPORT_UDP else Transport.TCP
        response = await self._desk.answer(request.message, transport, _NO_CLIENT)
        if response is None:
            raise BadRequest("message is no DNS question", field="message")
        return dns_pb2.QueryResponse(message=response)
