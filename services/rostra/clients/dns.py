"""Client of DnsService."""

from __future__ import annotations

from typing import NamedTuple

from grpc import aio

from rostra.rpc.status import error_from_rpc
from rostra.v1 import dns_pb2, dns_pb2_grpc

DEFAULT_TIMEOUT_S = 5.0


class DnsAnswer(NamedTuple):
    """A DNS message, and for how many seconds it may be kept."""

    message: bytes
    ttl_s: int


class DnsClient:
    """Asks DNS questions over gRPC. ``channel`` is a gRPC channel or one within the process."""

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = dns_pb2_grpc.DnsServiceStub(channel)

    async def query(self, message: bytes, *, over_udp: bool = False, timeout_s: float = DEFAULT_TIMEOUT_S) -> bytes:
        """The answer to a DNS message, both in wire format; ``over_udp``: cut to UDP's size. Raises ``BadRequest`` for bytes that
        are no question."""
        transport = dns_pb2.DNS_TRANSPORT_UDP if over_udp else dns_pb2.DNS_TRANSPORT_TCP
        return (await self._query(dns_pb2.QueryRequest(message=message, transport=transport), timeout_s)).message

    async def query_for(self, message: bytes, client: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> DnsAnswer:
        """The same on behalf of ``client``, an address, without UDP's limits."""
        request = dns_pb2.QueryRequest(message=message, transport=dns_pb2.DNS_TRANSPORT_TCP, client=client)
        response = await self._query(request, timeout_s)
        return DnsAnswer(response.message, response.ttl_s)

    async def _query(self, request: dns_pb2.QueryRequest, timeout_s: float) -> dns_pb2.QueryResponse:
        try:
            return await self._stub.Query(request, timeout=timeout_s)
        except aio.AioRpcError as error:
            raise error_from_rpc(error) from None
